"""Arguments of tools that are written in another way than the schema says, and names that are not ASCII."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.dialects import OPENAI
from pydantic import BaseModel, Field

from alloy import ConfigurationError, command, parse, tool
from alloy._typed.json.calls import tool_name
from alloy._typed.schemas.dialects import to_wire
from alloy._typed.types.signature import ArgumentsError, Signature, compile_signature


@dataclass
class Point:
    x: int
    labels: dict[str, int] | None = None


class View(BaseModel):
    command: Literal["view"]
    path: str


class Make(BaseModel):
    command: Literal["make"]
    path: str


def note(
    text: str,
    n: int = 1,
    tags: list[str] | None = None,
    at: Point | None = None,
    counts: dict[str, int] | None = None,
    either: str | list[str] = "",
    points: list[Point] = [],  # noqa: B006
    action: Annotated[View | Make, Field(discriminator="command")] | None = None,
    pair: tuple[int, str] = (1, "a"),
) -> str:
    return ""


NOTE = compile_signature(note)
WIRE = to_wire(NOTE.schema, OPENAI)


def both(arguments: str, signature: Signature = NOTE) -> dict[str, Any]:
    """What is read of *arguments*, in the plain form and in OpenAI's strict one."""
    plain = signature.read(arguments)
    assert signature.read(arguments, WIRE) == plain
    return plain


def test_the_strict_form_differs() -> None:
    """So that what is inside of a string has to be restored, too."""
    assert WIRE.restore is not None


ENCODED: list[tuple[str, Any, Any]] = [
    ("tags", ["x"], ["x"]),
    ("at", {"x": 1}, Point(1)),
    ("at", {"x": 1, "labels": {"k": 2}}, Point(1, {"k": 2})),
    ("counts", {"k": 1}, {"k": 1}),
    ("points", [{"x": 1}, {"x": 2}], [Point(1), Point(2)]),
    ("action", {"command": "view", "path": "/a"}, View(command="view", path="/a")),
    ("pair", [2, "b"], (2, "b")),
]


@pytest.mark.parametrize(("name", "given", "wanted"), ENCODED)
def test_json_inside_of_a_string(name: str, given: Any, wanted: Any) -> None:
    """Once or twice, in a fence, or in Python's notation."""
    for text in (
        json.dumps(given),
        json.dumps(json.dumps(given)),
        f"```json\n{json.dumps(given)}\n```",
        repr(given),
    ):
        assert both(json.dumps({"text": "a", name: text}))[name] == wanted


def test_json_inside_of_a_string_in_the_strict_form() -> None:
    """Entries and nulls of the strict form are restored inside of it."""
    entries = json.dumps([{"key": "k", "value": 1}])
    assert NOTE.read(json.dumps({"text": "a", "counts": entries}), WIRE)["counts"] == {"k": 1}
    inner = json.dumps({"x": 1, "labels": entries})
    assert NOTE.read(json.dumps({"text": "a", "at": inner}), WIRE)["at"] == Point(1, {"k": 1})


def test_an_empty_text_is_null_where_no_text_is_valid() -> None:
    assert both('{"text": "", "at": ""}') == both('{"text": "", "at": null}')


@given(
    st.text()
    | st.sampled_from(["null", '""', "[1]", '{"x": 1}', "<|call|>", "```json\n{}\n```", "true", "1"])
)
def test_text_stays_as_it_is(text: str) -> None:
    """A `str` is never converted, nor is a union that takes it."""
    written = json.dumps({"text": text, "either": text})
    found = both(written)
    assert (found["text"], found["either"]) == (text, text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
        max_leaves=6,
    ),
    st.integers(0, 3),
)
def test_any_object_in_any_layers(value: Any, layers: int) -> None:
    """Whatever is in the object: what is inside of it does not change."""

    def take(data: dict[str, Any]) -> None: ...

    text = json.dumps({"data": {"k": value}})
    for _ in range(layers):
        text = json.dumps(text)
    assert compile_signature(take).read(text) == {"data": {"k": value}}


@pytest.mark.parametrize(
    "arguments",
    [
        '{"text": "a", "tags": "x, y"}', '{"text": "a", "at": "Oslo"}',
        '{"text": "a", "tags": "[1]"}', '{"text": "a", "at": "{\\"x\\": 1"}', '{"text": "a"}{"text": "b"}',
        '{"text": "a", "n": NaN}', '{"text": "a", "n": 1e400}', '{"text": "a", "n": true}', "text", "5",
        "[1]",
        '{"text": "a", "tags": "So: [\\"x\\"]"}', "null", '""', '{"text": "a", "at": "{\\"x\\": NaN}"}',
        '{"text": "a", "other": 1}', "[" * 5000, '{"text": ' * 5000, '{"text": "\\ud800"}',
    ],
)  # fmt: skip
def test_what_has_no_one_meaning_is_a_problem(arguments: str) -> None:
    """It is reported to the model."""
    for wire in (None, WIRE):
        with pytest.raises(ArgumentsError):
            NOTE.read(arguments, wire)


def test_layers_of_a_recursive_type_cost_no_more() -> None:
    """Strings inside of strings are decoded once, whatever members a union has."""

    def take(tree: Tree) -> None: ...

    text: Any = {"left": None, "right": None}
    for _ in range(7):
        text = {"left": json.dumps(text), "right": None}
    depth, tree = 0, compile_signature(take).read(json.dumps({"tree": json.dumps(text)}))["tree"]
    while tree.left is not None:
        depth, tree = depth + 1, tree.left
    assert depth == 7


@dataclass
class Tree:
    left: Tree | None = None
    right: Tree | None = None


def test_an_answer_is_read_the_same() -> None:
    assert parse(Point, '{"x": 1, "labels": "{\\"k\\": 2}"}') == Point(1, {"k": 2})
    assert parse(list[int] | None, '"[1, 2]"') == [1, 2]
    assert parse(list[int] | str, '"[1, 2]"') == "[1, 2]"


# --- names ------------------------------------------------------------------------------------------


def test_names_of_parameters_that_are_not_ascii() -> None:
    """Providers refuse them: the model is shown others, and is told the names in the descriptions."""

    @tool
    def measure(größe: int, grosse: int = 0, 大小: str = "", naïve: Annotated[bool, "really"] = False) -> str:
        """Measure.

        Args:
            größe: In metres.
        """
        return f"{größe} {grosse} {大小} {naïve}"

    properties = measure.signature.schema["properties"]
    assert list(properties) == ["grosse_2", "grosse", "parameter_3", "naive"]
    assert measure.signature.schema["required"] == ["grosse_2"]
    assert properties["grosse_2"]["description"] == "größe: In metres."
    assert properties["parameter_3"]["description"] == "大小"
    assert properties["naive"]["description"] == "naïve: really"
    found = measure.signature.read('{"grosse_2": 1, "grosse": 2, "parameter_3": "x", "naive": true}')
    assert found == {"größe": 1, "grosse": 2, "大小": "x", "naïve": True}
    assert measure(**found) == "1 2 x True"


@pytest.mark.parametrize(
    "model", ["gpt-5.6", "claude-haiku-4-5", "gemini-3-flash-preview", "ollama:llama3.2"]
)
def test_every_provider_is_sent_ascii_names(model: str) -> None:
    @tool
    def measure(größe: int) -> str:
        """Measure."""
        return ""

    @command(tools=[measure], model=model, api_key="k")
    def measured() -> str:
        return "?"

    assert "größe:" not in json.dumps(measured.request(), ensure_ascii=False).replace('"größe"', "")


def test_a_long_name_is_shortened() -> None:
    namespace: dict[str, Any] = {}
    exec(f"def take({'x' * 80}: int, {'x' * 81}: int) -> None: ...", namespace)
    signature = compile_signature(namespace["take"])
    assert all(len(name) <= 64 for name in signature.schema["properties"])
    assert list(signature.read(json.dumps(dict.fromkeys(signature.schema["properties"], 1)))) == [
        "x" * 80,
        "x" * 81,
    ]


def test_an_alias_is_refused() -> None:
    def take(x: Annotated[int, Field(alias="y")]) -> None: ...

    with pytest.raises(ConfigurationError, match="alias"):
        compile_signature(take)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("weather", "weather"), ("functions.weather", "weather"), ("a.b", "a_b"), ("x y", "x_y"), ("", ""),
        ("weather<|channel|>now", "weather_channel_now"), ("weather.now", "weather_now"),
        ("n" * 70, "n" * 64),
        ("weather2", "weather2"), ("the-weather", "the-weather"), ("now:1", "now"), ("größe", "gr_e"),
    ],
)  # fmt: skip
def test_the_one_name_that_fits(written: str, name: str) -> None:
    """With two that fit, or none, the name is made one that providers accept."""
    assert tool_name(written, ("weather", "now")) == name
