"""Typed answers for models without native structured output: the shape in words, whole calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any, Literal

import pytest
from kit.dialects import OPENAI
from kit.ways import every_way

from alloy import (
    ConfigurationError,
    Image,
    ParseError,
    UnsupportedError,
    command,
    register_backend,
    tool,
    use_config,
)
from alloy.backends import memory
from alloy.backends.base import Capabilities
from alloy.backends.fake.backend import FakeBackend
from alloy.backends.fallback.prompted import PromptedBackend
from alloy.backends.registry import registrations_undone
from alloy.messages import OutputSchema, Reply, Request, ToolCall, ToolResult, ToolResults, User
from alloy.testing import call, replies


@dataclass
class Invoice:
    vendor: str
    total: float


@tool
def rate(currency: str) -> float:
    """A rate."""
    return 0.5


def asking(output: Any = Invoice, **options: Any) -> Any:
    @command(output=output, **{"output_mode": "prompted", **options})
    def question() -> str:
        """A question."""
        return "What is it?"

    return question


@pytest.fixture
def registry() -> Iterator[None]:
    """What a test registers and what Alloy learns in it is forgotten behind it."""
    with registrations_undone():
        yield
    memory.forget()


ACME = '{"vendor": "ACME", "total": 1.5}'


@every_way
@pytest.mark.parametrize("answer", [ACME, f"```json\n{ACME}\n```", f"Here it is:\n{ACME}\nAnything else?"])
def test_an_answer_in_words_becomes_the_value(way: Any, answer: str):
    """Fences and prose do not matter; a stream says the text as it comes."""
    with replies(answer) as seen:
        result, heard = way(asking())
    assert result.value == Invoice("ACME", 1.5)
    assert heard in (None, answer)
    [request] = seen.requests
    assert '{ "vendor": string, "total": number }' in last_words(request)
    assert "system" not in request and "output" not in request


@pytest.mark.parametrize(
    ("output", "notation", "answer", "value"),
    [
        (int, "\n\ninteger", '{"value": 3}', 3),
        (int, "\n\ninteger", "3", 3),
        (list[int], "\n\ninteger[]", "[1, 2]", [1, 2]),
        (dict[str, float], "{ [key: string]: number }", '{"a": 1.5}', {"a": 1.5}),
        (tuple[int, str], "\n\n[integer, string]", '{"value": [1, "a"]}', (1, "a")),
        (list[Invoice], "\n\nInvoice[]\n\ntype Invoice = { ", f"[{ACME}]", [Invoice("ACME", 1.5)]),
    ],
)  # fmt: skip
def test_every_kind_of_output_can_be_prompted(output: Any, notation: str, answer: str, value: Any):
    """Types that providers need in a wrapper are asked for without it, and read with and without it."""
    with replies(answer) as seen:
        assert asking(output)() == value
    assert notation in last_words(seen.requests[0])
    assert "value:" not in last_words(seen.requests[0])


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


class Point(Enum):
    ORIGIN = (0, 0)
    UNIT = (1, 1)


@pytest.mark.parametrize(
    ("output", "words", "answer", "value"),
    [
        (Literal["a", "b"], "a, b", "b", "b"),
        (Literal["very good", "bad"], "very good, bad", "very good", "very good"),
        (Literal[1, 2], "1, 2", "2", 2),
        (bool, "true, false", "True", True),
        (bool | None, "null, true, false", "null", None),
        (Literal["a"] | None, "null, a", "a", "a"),
        (Size, "s, l", "l", Size.LARGE),
        (Point, "ORIGIN, UNIT", "UNIT", Point.UNIT),
    ],
)
def test_a_choice_is_asked_for_in_words(output: Any, words: str, answer: str, value: Any):
    """There is nothing of JSON in the request, because small models answer with the word."""
    with replies(answer) as seen:
        assert asking(output)() == value
    wanted = f"What is it?\n\nAnswer with exactly one of these words and nothing else: {words}"
    assert last_words(seen.requests[0]) == wanted


@pytest.mark.parametrize(
    "output", [Literal["a, b", "c"], Literal["true", True], Literal["", "a"], Literal["a\nb", "c"]]
)
def test_choices_that_are_not_clear_as_words_are_asked_for_as_json(output: Any):
    with use_config(backend="fake"):
        assert "in JSON" in last_words(asking(output).request())


@pytest.mark.parametrize(
    "text", ["b.", "**b**", "`b`", "*b*", "__b__.", "`b`.", '"b".', "\n b. \n", "**`b`**", "**b.**"]
)
def test_a_choice_is_read_without_the_marks_around_it(text: str):
    with replies(text):
        assert asking(Literal["a", "b"])() == "b"


@pytest.mark.parametrize(
    ("output", "text", "value"),
    [
        (int, "42.", 42),
        (int, "**42**", 42),
        (float, "`1.5`.", 1.5),
        (float, "1.5.", 1.5),
        (bool, "True.", True),
        (bool, "**false**", False),
        (bool | None, "null.", None),
        (date, "2026-11-30.", date(2026, 11, 30)),
        (Literal["e.g.", "e.g"], "e.g.", "e.g."),
        (Literal["*", "**"], "**", "**"),
        (int | str, "42.", "42."),  # text is not changed where text is an answer
    ],
)
def test_a_scalar_is_read_without_the_marks_around_it(output: Any, text: str, value: Any):
    with replies(text):
        assert asking(output)() == value


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (Literal["a", "b"], "a b."),
        (Literal["a", "b"], "Not b."),
        (int, "about 42."),
        (int, "4 2."),
        (bool, "Yes."),
        (int, "42.."),
    ],
)
def test_marks_do_not_make_a_value_of_other_text(output: Any, text: str):
    with replies(text, text), pytest.raises(ParseError):
        asking(output)()


def last_words(request: dict[str, Any]) -> str:
    """The user's last message in a request of the fake backend."""
    return [turn["content"] for turn in request["messages"] if turn["role"] == "user"][-1]


def test_the_type_follows_the_parts_of_a_prompt_and_is_not_repeated():
    """With parts, earlier turns and results of tools, only the user's last words have it."""
    image = Image.from_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20), "image/png")
    messages = (User("One"), Reply("1"), User(("Two", image)), Reply("", (ToolCall("1", "f", "{}"),)))
    results = ToolResults((ToolResult(ToolCall("1", "f", "{}"), "5"),))
    wanted = OutputSchema("Answer", {"type": "object"})
    request = Request("m", (*messages, results), output=wanted, output_mode="prompted")
    body = PromptedBackend(FakeBackend()).encode(request)
    assert [("in JSON" in str(turn)) for turn in body["messages"]] == [False, False, True, False, False]
    assert str(body["messages"][2]).index("Two") < str(body["messages"][2]).index("in JSON")


@every_way
def test_each_reask_ends_with_the_type(way: Any):
    with replies("no idea", ACME) as seen:
        assert way(asking())[0].value == Invoice("ACME", 1.5)
    words = last_words(seen.requests[1])
    assert words.startswith("That answer cannot be used.") and words.endswith(
        '{ "vendor": string, "total": number }'
    )
    assert sum("in JSON" in turn["content"] for turn in seen.requests[1]["messages"]) == 1


def test_text_needs_no_shape():
    """A command for plain text sends what it always sends."""
    with replies("hi") as seen:
        assert asking(str)() == "hi"
    assert "system" not in seen.requests[0]


def test_the_callers_system_prompt_stays_as_it_is():
    """The type is not in it."""
    with use_config(backend="fake"):
        assert asking(system="Be brief.").request()["system"] == "Be brief."


@every_way
def test_native_tools_go_with_a_prompted_answer(way: Any):
    """Only what the model lacks is stood in for."""
    with replies(call("rate", currency="USD"), ACME) as seen:
        result, _ = way(asking(tools=[rate]))
    assert (result.value, len(result.tool_calls)) == (Invoice("ACME", 1.5), 1)
    assert all("tools" in request for request in seen.requests)


def test_a_wrong_answer_is_asked_for_again():
    """As for native answers, the problems go back first and then to the caller."""
    with replies('{"vendor": "ACME"}', ACME) as seen:
        assert asking()() == Invoice("ACME", 1.5)
    assert "$.total: required, but missing" in last_words(seen.requests[1])
    with replies("no idea", "still none"), pytest.raises(ParseError):
        asking()()


def test_a_model_without_structured_output_gets_it_by_itself(registry: None):
    """The backend's table says so, and the result tells."""
    register_backend("weak", FakeBackend("weak", capabilities=Capabilities(structured_output=False)))
    with replies(ACME, backend="weak"):
        result = asking(output_mode="auto").run()
    assert (result.value, result.downgrades) == (Invoice("ACME", 1.5), ("output",))
    with (
        use_config(backend="weak"),
        pytest.raises(ConfigurationError, match="does not support structured output"),
    ):
        asking(output_mode="auto", strict_capabilities=True).request()


@every_way
def test_a_model_that_turns_out_to_lack_it_gets_the_fallback(way: Any, registry: None):
    """The provider's refusal is no failed try, and is remembered for the next call."""
    refusal = UnsupportedError("no response_format", feature="output", provider="fake")
    question = asking(output_mode="auto")
    with replies(refusal, ACME, ACME) as seen:
        assert way(question)[0].downgrades == ("output",)
        way(question)
    assert ["output" in request for request in seen.requests] == [True, False, False]


@every_way
def test_both_can_be_stood_in_for(way: Any, registry: None):
    """A model with neither: one refusal after the other, and each is said once."""
    refusals = [UnsupportedError("no", feature=feature, provider="fake") for feature in ("output", "tools")]
    action = "Action: rate\nAction Input: USD"
    with replies(*refusals, action, f"Final Answer: {ACME}") as seen:
        result, heard = way(asking(tools=[rate], output_mode="auto"))
    assert (result.value, result.downgrades) == (Invoice("ACME", 1.5), ("output", "tools"))
    assert heard in (None, ACME)
    assert str(seen.requests[-1]["messages"]).count('{ "vendor": string, "total": number }') == 1


def test_all_but_the_request_is_the_inner_backends():
    """Name, dialect, capabilities, replies and errors pass through untouched."""
    inner = FakeBackend("inner", OPENAI, Capabilities(tools=False))
    codec = PromptedBackend(inner)
    raw = inner.send(inner.encode(Request("m", (User("hi"),))), None, None)  # type: ignore[arg-type]
    assert (codec.name, codec.dialect, codec.capabilities("m").tools) == ("inner", OPENAI, False)
    assert codec.decode(raw) == inner.decode(raw)
    assert isinstance(codec.decode(raw), Reply)
    assert type(codec.explain(TimeoutError())) is type(inner.explain(TimeoutError()))
