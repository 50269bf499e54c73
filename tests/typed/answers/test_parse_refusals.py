"""Nothing is invented, dropped or chosen: what is not whole, or not clear, is an error."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from alloy.errors import AnswerError, ConfigurationError, EmptyAnswerError, ParseError
from alloy.parsing import parse


@dataclass
class Item:
    name: str
    price: float = 0.0


@dataclass
class Options:
    depth: int = 1
    label: str | None = None
    kids: list[Options] = field(default_factory=list)


class Loose(TypedDict, total=False):
    a: int


class Model(BaseModel):
    size: int = Field(1, alias="Size")
    inner: Options = Options()


class Named(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    size: int = Field(1, alias="Size")


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    size: int = 1


class Color(enum.Enum):
    RED = "red"


SAID = '{"name": "a", "price": 2}'


def problem(annotation: Any, text: str) -> str:
    with pytest.raises(ParseError) as caught:
        parse(annotation, text)
    assert caught.value.text == text
    assert all(line.startswith("$") for line in caught.value.problems)
    return caught.value.problems[0]


# --- cut off ----------------------------------------------------------------------------------------

# Text around an answer, in which `{}` is the answer. What it opens, it also closes.
DOCUMENTS = [
    (Options, '{"depth": 2, "label": "a } b", "kids": [{"label": "x"}, {}]}'),
    (Options, "{depth: 2, 'label': 'it\\'s', \"kids\": [{'label': “x”,},],}"),
    (Options, '{"depth": 2 // two {\n, "label": /* } */ None}'),
    (list[Options], '[{"depth": 2}, {"depth": 3}]'),
    (list[int], '{"value": [1, 22, 333]}'),
    (dict[str, int], "{'a': 1, 'b': 22}"),
    (int | None, '{"value": 12}'),
    (Any, '{"value": {"a": [1, null]}}'),
]
DRESSES = [
    "{}",
    "\ufeff {}",
    "Here you are: {}",
    "```json\n{}\n```",
    "So:\n~~~~\n{}\n~~~~",
    "<think>it's [1] {'depth': 7}</think>{}",
    "<answer>{}</answer>",
    "<json>{}</json>",
    "Thought: hm\nFinal Answer: {}",
]


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize(("annotation", "document"), DOCUMENTS)
def test_text_that_is_cut_off_is_an_error_at_every_byte(annotation: Any, document: str, dress: str) -> None:
    """Also where the missing part has a default, in comments and strings, and before a fence or tag ends."""
    text = dress.replace("{}", document, 1)
    assert parse(annotation, text) is not None

    for end in range(len(text)):
        if text[:end].rstrip("\n") == f"```json\n{document}":  # all of it, without the end of the fence
            assert parse(annotation, text[:end]) == parse(annotation, text)
            continue
        with pytest.raises(AnswerError):
            parse(annotation, text[:end])


@settings(deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
    max_leaves=8,
), st.sampled_from(DRESSES), st.booleans())  # fmt: skip
def test_no_prefix_of_any_document_is_an_answer(value: Any, dress: str, ascii_only: bool) -> None:
    """Whatever the data: only the whole text reads."""
    document = json.dumps({"value": value}, ensure_ascii=ascii_only)
    text = dress.replace("{}", document, 1)

    for end in range(len(text)):
        if text[:end].rstrip("\n") == f"```json\n{document}":  # as above
            continue
        with pytest.raises(AnswerError):
            parse(Options, text[:end])
        with pytest.raises(AnswerError):
            parse(list[Any] | None, text[:end])


@pytest.mark.parametrize(
    "text",
    [
        f"{SAID}\n{{",
        f"{SAID}\n[",
        f'{SAID}\n{{"na',
        f"{SAID}\n{{na",
        f"{SAID}\n{{'name': 'b",
        f"{SAID} ```",
        f"{SAID} <answer>",
        f"{SAID} <think>",
        "{", "{n", "{'", "{“", "[", "[{", '"', "{/", "{/*", "{//",
    ],
)  # fmt: skip
def test_what_is_opened_must_be_closed(text: str) -> None:
    """Also behind a whole value: there may have been more to come."""
    assert problem(Item, text)


@pytest.mark.parametrize(
    ("annotation", "text", "value"), [(int, "12", 12), (Item, SAID, Item("a", 2.0)), (int | str, "He", "He")]
)
def test_what_cannot_be_seen_to_be_cut_off(annotation: Any, text: str, value: Any) -> None:
    """A bare word or number has no end, and a whole value says nothing of what was to follow."""
    assert parse(annotation, text) == value


# --- two answers, and none --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "a"} or {"name": "b"}',
        '{"name": "a"}\n{"name": "b"}',
        '{"name": "a"}, {"name": "a", "price": 0}',
        '{"name": "a"} {"other": 1}',
        '```json\n{"name": "a"}\n```\nor\n```json\n{"name": "b"}\n```',
        '<answer>{"name": "a"}</answer><answer>{"name": "b"}</answer>',
        'Final Answer: {"name": "a"}\nFinal Answer: {"name": "b"}',
        'Final Answer: {"name": "a"} or {"name": "b"}',
        '<json>{"name": "a"}</json> {"name": "b"}',
        "{'name': 1} {'name': true}",
    ],
)
def test_two_different_answers_are_an_error(text: str) -> None:
    """Unless a marker says which is final; which of them fits is not asked."""
    assert problem(Item, text) == "$: the answer holds two different JSON values: give exactly one"


@pytest.mark.parametrize(
    "text",
    [
        f"> {SAID}",
        f"> the input was\n> {SAID}\n",
        f"<input>{SAID}</input>",
        f"<observation>\n{SAID}\n</observation> done",
        f"<tool_response>{SAID}</tool_response>",
        f"Observation: {SAID}",
        f"Thought: I should answer {SAID}",
        f"Thought: hm\nAction: look\nAction Input: {SAID}\nObservation: {SAID}",
        f"Input: {SAID}\n\nI cannot read that.",
        f'You said "{SAID}", did you?',
        f"You said “{SAID}”, did you?",
        f"> {SAID}\nFinal Answer: unknown",
        f"{SAID}\nFinal Answer: none of these",
        f"<answer></answer> {SAID}",
        f'see f([{{"x": {SAID}}}])',
    ],
)
def test_quotations_thoughts_and_observations_are_no_answer(text: str) -> None:
    """Not even if there is no other; a value that is marked as final is the only one."""
    with pytest.raises(AnswerError):
        parse(Item, text)


@pytest.mark.parametrize("text", ['<think>{"name": "a"}</think>', "```json\n```", "<answer> </answer>"])
def test_noise_without_an_answer_is_an_empty_one(text: str) -> None:
    """The model has not given an answer yet."""
    with pytest.raises(EmptyAnswerError):
        parse(Item, text)


# --- keys -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "text", "message"),
    [
        (Item, '{"name": "a", "name": "b"}', '$.name: the key "name" appears twice, with different values'),
        (Item, '{"name": "a", "price": 1, "price": 1.0}', '$.price: the key "price" appears twice'),
        (Item, '{"name": "a", "price": 1, "price": true}', '$.price: the key "price" appears twice'),
        (Item, '{"name": "a", "na\\u006de": "b"}', '$.name: the key "name" appears twice'),
        (Item, "{'name': 'a', name: 'b'}", '$.name: the key "name" appears twice'),
        (
            list[Item],
            '[{"name": "a"}, {"name": "a", "name": "b"}]',
            '$[1].name: the key "name" appears twice',
        ),
        (Decimal, '{"value": 1.1, "value": 1.2}', '$.value: the key "value" appears twice'),
        (dict[str, int], '{"a": 1, "b": 2, "a": 3}', '$.a: the key "a" appears twice'),
        (Any, '{"x": {"a": [1], "a": [2]}}', '$.x.a: the key "a" appears twice'),
        (Item, 'So: {"name": "a", "name": "b"}', '$.name: the key "name" appears twice'),
    ],
)
def test_keys_that_contradict_each_other_are_an_error(annotation: Any, text: str, message: str) -> None:
    """In exact JSON too, of which most readers take the last in silence."""
    assert problem(annotation, text).startswith(message)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (Options, '{"other": 1}'),
        (Options, "{other: 1}"),
        (Options, '{"Depth": 1}'),
        (Options, '{"value": {"other": 1}}'),
        (Options | None, '{"other": 1}'),
        (list[Options], '[{"depth": 2}, {"other": 1}]'),
        (Options, '{"kids": [{"depth": 1}, {"other": {"depth": 2}}]}'),
        (dict[str, Options], '{"a": {"other": 1}}'),
        (Loose, '{"b": 1}'),
        (Model, '{"size": 2}'),
        (Model, '{"inner": {"other": 2}}'),
    ],
)
def test_an_object_that_shares_no_key_is_not_made_of_defaults(annotation: Any, text: str) -> None:
    """At any depth, for dataclasses, TypedDicts and models, whose aliases are their keys."""
    assert problem(annotation, text)


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (Options, "{}", Options()),
        (Options, '{"depth": 2, "remark": "x"}', Options(2)),
        (Loose, "{}", {}),
        (Model, '{"Size": 2}', Model(Size=2)),
        (Named, '{"size": 2}', Named(size=2)),
        (Open, '{"other": 1}', Open.model_validate({"other": 1})),
    ],
)
def test_what_says_that_defaults_are_meant(annotation: Any, text: str, value: Any) -> None:
    """An empty object, one known key, or a type that takes any; unknown keys next to it are left out."""
    assert parse(annotation, text) == value


def test_an_empty_object_among_prose_is_no_answer() -> None:
    """Braces in a sentence are not an instance of a type whose fields all have defaults."""
    assert problem(Options, "Fill in the {} here.")


# --- how values are written ---------------------------------------------------------------------------

BAD = [
    "1,000", "1.000,5", "1 000", "1_000", "$5", "5 €", "5%", "+5", ".5", "5.", "05", "0x1F", "1e", "1/2",
    "NaN", "nan", "Infinity", "-Infinity", "inf", "1e309", "-1e309", "undefined", "nil", "none", "...", "…",
    "five", "true", "null", "--5", "(5)", "'5", "b'5'", "5 5", "5;", "[5", "\u0663",
]  # fmt: skip


@pytest.mark.parametrize("written", BAD)
@pytest.mark.parametrize("form", ['{"name": "a", "price": %s}', "{'name': 'a', 'price': %s}", "%s"])
def test_numbers_are_never_misread(written: str, form: str) -> None:
    """Currency, per cent, separators, NaN and the like are refused in every position."""
    if (written, form) == ("5.", "%s"):
        return  # the full stop of a sentence: see tests/backends/fallback/test_prompted.py
    assert problem(float if form == "%s" else Item, form % written)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "3.7"), (int, "true"), (int, "1e400"), (int, "9007199254740993.0"), (int, "1" + "0" * 309),
        (list[int], "[1, 2.5]"), (list[int], "[1, True]"), (float, "True"), (Decimal, "true"),
        (bool, "1"), (bool, "0"), (bool, "1.0"), (bool, "maybe"), (bool, "yes"), (bool, '"on"'), (bool, "t"),
        (str | None, '{"value": 5}'), (Literal[1], "true"), (Color, "blue"), (Decimal, "NaN"),
        (Decimal, "1,10"), (Decimal, "Infinity"), (int, "\u0661"),
    ],
)  # fmt: skip
def test_scalars_are_not_stretched(annotation: Any, text: str) -> None:
    """No lossy number, no number from a boolean, no boolean from a number or a word."""
    assert problem(annotation, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{'name': 'it's'}", "$.name: expected , or }"),
        ('{"name": "a" "price": 2}', "$.name: expected , or }"),
        ('{"name": "a",, "price": 2}', "$: expected a key"),
        ("{,}", "$: expected a key"),
        ('{"name": }', "$.name: expected a value"),
        ('{"name" "a"}', "$.name: expected : after the key"),
        ("{'name'; 'a'}", "$.name: expected : after the key"),
        ("{'name': a}", "$.name: a is not JSON"),
        ("{'name': 'a', ...}", "$: expected a key"),
        ("{'name': “a\"}", "$: the JSON ends too early"),
        ("{'name': '\\x41'}", "$.name: invalid \\escape in the string at line 1 column 11"),
        ("{'name': \"it\\`s\"}", "$.name: invalid \\escape"),
        ("{'name': '\\u12'}", "$.name: invalid \\uxxxx escape"),
        ("{'name': 'a' 'b'}", "$.name: expected , or }"),
        ("{'name': f'a'}", "$.name: f is not JSON"),
        ("{'name': ('a')}", "$.name: a value in parentheses is not a tuple"),
        ("{'name': 'a')", "$.name: expected , or }"),
        ("{1, 2}", "$: expected a key"),
        ("{'name': 'a',\n\n  'price': 1.2.3}", "$.price: expected a value, got '1.2.3}' at line 3 column 12"),
    ],
)  # fmt: skip
def test_what_is_missing_is_not_made_up(text: str, message: str) -> None:
    """A missing comma, quote, value or meaning is reported with its path and position."""
    assert problem(Item, text).startswith(message)


# --- the edges of JSON --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ['"%s"', "'%s'", '{"value": "%s"}', '{"value": ["%s"]}', '{"%s": 1}'])
@pytest.mark.parametrize("half", ["\\ud800", "\\udc00 x", "\ud800", "\\ude00\\ud83d"])
def test_lone_surrogates_are_an_error(text: str, half: str) -> None:
    """Escaped or raw, in a value or a key: half a character is none; both halves are one."""
    assert "a lone surrogate is not a character" in problem(Any, text % half)
    assert parse(Any, text % "\\ud83d\\ude00") in ("😀", ["😀"], {"😀": 1})


def test_a_number_has_every_digit_or_is_refused() -> None:
    """Integers up to 309 digits are exact; beyond what a float can hold nothing is read."""
    assert parse(int, "9" * 309) == int("9" * 309)
    assert parse(Decimal, "0." + "1" * 400) == Decimal("0." + "1" * 400)
    assert "too large" in problem(int, f'{{"value": {"9" * 310}}}')
    assert "too large" in problem(list[int], f"[1, {'9' * 5000},]")
    assert "too large" in problem(Any, '{"a": 1e999}')


@pytest.mark.parametrize("levels", [201, 10_000])
@pytest.mark.parametrize(
    ("opener", "closer"), [("[", "]"), ('{"a":', "}"), ("{a:[", "]}"), ("(", ",)"), ("'a',[", "]")]
)
@pytest.mark.parametrize("form", ["{}", "So: {}", '{"value": {}}', "```\n{}\n```"])
@pytest.mark.parametrize("annotation", [Any, Options, list[Any]], ids=str)
def test_deep_nesting_is_an_error(annotation: Any, form: str, opener: str, closer: str, levels: int) -> None:
    """Whole or cut off: ten thousand levels crash nothing."""
    inner = "1" if opener != '{"a":' else "{}"
    with pytest.raises(AnswerError):
        parse(annotation, form.replace("{}", opener * levels + inner + closer * levels))
    with pytest.raises(AnswerError):
        parse(annotation, form.replace("{}", opener * levels))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["{}", "Here: {}", "```json\n{}\n```"])
@pytest.mark.parametrize("written", ["exact", "careless"])
def test_ten_megabytes_are_read(form: str, written: str) -> None:
    """It finishes: nothing is gone through again for each of its parts."""
    item = (
        '{"name": "some words", "price": 12.5}'
        if written == "exact"
        else "{name: 'some words', price: 12.5,}"
    )
    count = 10_000_000 // len(item) if written == "exact" else 30_000
    text = form.replace("{}", f"[{','.join([item] * count)}]")

    assert len(parse(list[Item], text)) == count


@pytest.mark.parametrize(
    "junk",
    [
        "{'a':", "{a:", "[(", "{/*", "<think>", "</think>", "<answer>", "```\n", "> {\n", "Input: {'a'\n",
        "{'", "Final Answer: {\n", "\n", "{a: b}\nFinal Answer:\n", '{"a": 1, ', "{\n",
        "<json>{'a': 1}</json>",
        "“", "\\", "{a: 'x", "[[1],", "{ \n ", "</think>{'a':1}\n",
        "\n<answer>{it's}</answer>",
    ],
)  # fmt: skip
@pytest.mark.slow
@pytest.mark.parametrize("annotation", [Item, list[int], int, str | None], ids=str)
def test_half_a_megabyte_of_marks_is_an_error_at_once(annotation: Any, junk: str) -> None:
    """No mark sends the reader back to where it has been."""
    with pytest.raises(AnswerError):
        parse(annotation, "x" + junk * (500_000 // len(junk)) + "{")


def test_bytes_are_not_text() -> None:
    """The error says what to do."""
    with pytest.raises(ConfigurationError, match="decode it first"):
        parse(Item, b"{}")  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (list[int], "[10, 20], 30"),
        (list[int], "[10, 20]\n30"),
        (list[int], "[10, 20]\n\n30, 40"),
        (list[int], "10, [20, 30]"),
        (list[int] | None, "[10, 20], 30"),
        (tuple[int, ...], "[10, 20], 30"),
        (list[bool], "[true], false"),
        (list[str], '["a"], "b", "c"'),
        (Item, '{"name": "a", "price": 2}, region: "us"'),
        (Item, '{"name": "a", "price": 2}, "region"'),
        (dict[str, int], '{"a": 1}, b: 2'),
    ],
)
def test_elements_next_to_the_json_are_not_dropped(annotation: Any, text: str) -> None:
    assert "the rest of JSON that is broken" in problem(annotation, text)


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (list[int], "[1, 2], 3 items", [1, 2]),
        (list[int], "[1, 2]\n3 numbers", [1, 2]),
        (list[str], '["a"], as wanted', ["a"]),
        (list[str], 'In 2020, ["a"]', ["a"]),
        (dict[str, int], '{"a": 1}, which is all', {"a": 1}),
        (dict[str, int], '{"a": 1}, note: this is all', {"a": 1}),
        (dict[str, int], '{"a": 1}\n```\nHope this helps', {"a": 1}),
        (bool, "```\ntrue", True),
    ],
)
def test_prose_next_to_the_json_is_no_part_of_it(annotation: Any, text: str, value: Any) -> None:
    assert parse(annotation, text) == value


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (Literal["1", "2", "3"], "3", "3"),
        (Literal["1", "2"] | None, "1", "1"),
        (Literal["true", "false", "unknown"], "true", "true"),
        (Literal["null", "x"], "null", "null"),
        (Literal["1.0"], "1.0", "1.0"),
        (Literal[1, "1"], "1", 1),  # JSON as it is comes first
        (Literal["1"] | int, "1", 1),
        (Literal["U.S.", "U.K."], "**U.S.**", "U.S."),
        (Literal["U.S.", "U.K."], "`U.K.`.", "U.K."),
        (Decimal, "1.50.", Decimal("1.50")),
        (Decimal, "**1.50**", Decimal("1.50")),
        (Decimal | None, "`1.50`", Decimal("1.50")),
        (Decimal | str, "**1.50**", "**1.50**"),
    ],
)
def test_scalars_are_read_in_the_form_that_was_asked_for(annotation: Any, text: str, value: Any) -> None:
    found = parse(annotation, text)
    assert (found, type(found)) == (value, type(value))


def test_text_is_no_collection_where_the_type_is_strict() -> None:
    class Strict(BaseModel):
        model_config = ConfigDict(strict=True)
        numbers: list[int]

    assert problem(Strict, '{"numbers": "[1]"}') == '$.numbers: expected an array, got "[1]"'
