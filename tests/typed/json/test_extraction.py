"""Noise that does not touch the data is removed, and `parse(..., report=True)` says what it was."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alloy.parsing import Parsed, parse


@dataclass
class Item:
    name: str
    price: float = 0.0


@dataclass
class Options:
    depth: int = 1
    label: str | None = None
    kids: list[Options] = field(default_factory=list)


SAID = '{"name": "a", "price": 2}'

WRITTEN = [
    (SAID, ()),
    (" \n" + SAID + "\n ", ()),
    ("\ufeff" + SAID, ("a byte-order mark",)),
    ("\ufeff```json\n" + SAID + "\n```", ("a byte-order mark", "a code fence")),
    ('{"name": "a", "price": 2,}', ("a trailing comma",)),
    ("{'name': 'a', 'price': 2}", ("single quotes",)),
    ("{“name”: “a”, “price”: 2}", ("typographic quotes",)),
    ("{„name“: „a“, „price”: 2}", ("typographic quotes",)),
    ("{\u2018name\u2019: \u2018a\u2019, \u2018price\u2019: 2}", ("typographic quotes",)),
    ('{name: "a", price: 2}', ("a key without quotes",)),
    ("{name: 'a', 'price': 2,}", ("a key without quotes", "single quotes", "a trailing comma")),
    ('{"name": "a", // the name\n "price": 2}', ("a comment",)),
    ('{"name": "a", # the name\n "price": 2 /* of \n it **/ /**/}', ("a comment",)),
    ('// first\n{"name": "a", "price": 2}', ("text around the answer",)),
    ('{"name": "a", "name": "a", "price": 2}', ("a key given twice",)),
    ("{'name': 'a', 'name': 'a', 'price': 2}", ("single quotes", "a key given twice")),
    ('{"value": ' + SAID + "}", ('the wrapper {"value": …}',)),
]


@pytest.mark.parametrize(("text", "repairs"), WRITTEN)
def test_how_it_is_written_does_not_matter(text: str, repairs: tuple[str, ...]) -> None:
    """Quotes, commas, comments and a wrapper are notation; each repair is reported once."""
    assert parse(Item, text, report=True) == Parsed(Item("a", 2.0), repairs)
    assert parse(Item, text) == Item("a", 2.0)


AROUND = [
    ("```json\n{}\n```", ("a code fence",)),
    ("```\n{}\n```", ("a code fence",)),
    ("```c++\n{}```", ("a code fence",)),
    ("```json {}```", ("a code fence",)),
    ("~~~JSON\n{}\n~~~", ("a code fence",)),
    ("````md\n```json\n{}\n```\n````", ("a code fence",)),
    ("Sure! {}", ("text around the answer",)),
    ("{} That was all [1].", ("text around the answer",)),
    ("{}}", ("text around the answer",)),
    ("I'd say:\n{}\n\nIt's fine, isn't it?", ("text around the answer",)),
    ("Once: {} and again: {}", ("text around the answer",)),
    ("<think>Is it {'name': 'b'}? Don't know.</think>{}", ("thinking",)),
    ("<thinking>\n{\"name\":\n</thinking>\n\n{}", ("thinking",)),
    ("It may be {\"name\": \"b\"} or {broken\n</think>\n{}", ("thinking",)),
    ("<reasoning effort='low'>a</reasoning> {}", ("thinking",)),
    ("<answer>{}</answer>", ("the tag <answer>",)),
    ("<json>\n{}\n</json>", ("the tag <json>",)),
    ("<OUTPUT>{}</OUTPUT>", ("the tag <output>",)),
    ("Final Answer: {}", ("Final Answer:",)),
    ("Thought: {\"name\": \"b\"} it is\nFinal Answer: {}", ("Final Answer:",)),
    ("Maybe {'name': 'b'}.\n**Final Answer:** {}", ("single quotes", "Final Answer:")),
    ("Maybe {\"name\": \"b\"}.\n## Final Answer\n{}", ("Final Answer:",)),
    ("No, {\"name\": \"b\"}? <answer>{}</answer> or {\"name\": \"c\"}", ("the tag <answer>",)),
    ("{\"name\": it's broken}\nFinal Answer: {}", ("Final Answer:",)),
    ("> {\"name\": \"b\"}\n\n{}", ()),
    ("<input>{\"name\": \"b\"}</input>\n{}", ("text around the answer",)),
    ("Input: {\"name\": \"b\"}\n\n{}", ()),
    ("Observation: {\"name\": \"b\"}\nAnswer: {}", ()),
    ('You sent "{"name": "b"}". {}', ("text around the answer",)),
]  # fmt: skip


@pytest.mark.parametrize(("form", "repairs"), AROUND)
@pytest.mark.parametrize("said", [SAID, '{"name": "a", "price": 2.0}', '{\n"price": 2,\n"name": "a"}'])
def test_what_stands_around_it_does_not_matter(form: str, repairs: tuple[str, ...], said: str) -> None:
    """Prose, fences, thoughts, quotations and tags: the one answer is found."""
    assert parse(Item, form.replace("{}", said), report=True) == Parsed(Item("a", 2.0), repairs)


INSIDE = [
    "a // b # c /* d */",
    "True, None,}",
    "it's “quoted” 'so' „and“ \u2018so\u2019",
    "```json\n{}\n```",
    "<think>x</think><answer>{}</answer> </think>",
    "\nFinal Answer: {}\nObservation: 1\n> 2",
    "{name: 'b'}, [1,]",
    '"\\"\\\\" \\ / \b \t \r\n \x00',
    "\ufeff \u2028 😀 é",
]
DRESSES = [
    "{}",
    "So: {}!",
    "```json\n{}\n```",
    "<think>it's</think>{}",
    "<answer>{}</answer>",
    "Final Answer: {}",
    "\ufeff{}",
]


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("inside", INSIDE)
def test_nothing_inside_a_string_is_repaired(inside: str, dress: str) -> None:
    """A string comes out as it was written, whatever it looks like and whatever stands around it."""
    plain = json.dumps({"name": inside}, ensure_ascii=False)
    noisy = json.dumps({"name": inside}).replace("}", ",}") if "}" not in inside else plain

    assert parse(Item, dress.replace("{}", plain, 1)) == Item(inside)
    assert parse(Item, dress.replace("{}", noisy, 1)) == Item(inside)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"name": "a\nb\r\n\tc"}', "a\nb\r\n\tc"),
        ("{'name': 'it\\'s \"x\"'}", 'it\'s "x"'),
        ("{'name': 'a\\n\\u00e9\\ud83d\\ude00\\\\'}", "a\né😀\\"),
        ('{“name”: “it\'s "x"”}', 'it\'s "x"'),
        ("{“name”: “a\nb”}", "a\nb"),
        ("{'name': ''}", ""),
        ('{name: "12%, $5, 1,000"}', "12%, $5, 1,000"),
        ("{'name': 'NaN'}", "NaN"),
        ("{'name': '007'}", "007"),
        ("{'name': ' padded '}", " padded "),
    ],
)
def test_strings_end_where_their_quotes_say(text: str, value: str) -> None:
    """Raw line breaks stay, escapes mean what they mean in JSON, other quotes are text."""
    assert parse(Item, text) == Item(value)


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (list[int], "(1, 2)", [1, 2]),
        (list[int], "(1,)", [1]),
        (tuple[int, str], "(1, 'a')", (1, "a")),
        (tuple[()], "()", ()),
        (list[Any], "[True, False, None, TRUE, (1, 2)]", [True, False, None, True, [1, 2]]),
        (dict[str, bool | None], "{'a': True, 'b': None}", {"a": True, "b": None}),
        (int | None, "None", None),
        (int | str, "None", "None"),
        (str | bool, "True", True),
        (str | None, "'hello world'", "hello world"),
        (str | None, "“hello world”", "hello world"),
        (int, "<think>41?</think>\n42", 42),
        (int, "Final Answer: 42", 42),
        (int, "I think 41.\nFinal answer: 42", 42),
        (int, "<answer>42</answer>", 42),
        (int, "The answer is:\n```\n42\n```\nRight?", 42),
        (bool, "Final Answer: TRUE", True),
        (str | None, "<think>a</think>hello", "hello"),
        (Decimal, "Final Answer: 1.10", Decimal("1.10")),
        (list[Decimal], "[0.1000000000000000000001, 3,]", [Decimal("0.1000000000000000000001"), Decimal(3)]),
        (list[int], "The list is [1, 2,].", [1, 2]),
        (dict[str, int], "{'a': 1,}", {"a": 1}),
        (Options, "{}", Options()),
        (Options, "{depth: 2, kids: [{}, {'label': 'x'},]}", Options(2, None, [Options(), Options(1, "x")])),
    ],
)
def test_values_of_other_types(annotation: Any, text: str, value: Any) -> None:
    """Tuples, Python's literals, and scalars where nothing but the answer can stand."""
    found = parse(annotation, text)

    assert found == value
    assert repr(found) == repr(value)


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True).filter(
    lambda name: name.lower() not in ("true", "false", "none")
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(names, below, max_size=4),
    max_leaves=15,
)  # fmt: skip


class _Written:
    """Writes JSON data as a careless model might."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw

    def some(self, *choices: str) -> str:
        return str(self.draw(st.sampled_from(choices)))

    def gap(self) -> str:
        return self.some("", " ", "\n", " // it's {a comment\n", "# [more]\n", "/* 'and' \" */")

    def string(self, text: str) -> str:
        quotes = self.some('""', "''", "“”")
        body = json.dumps(text, ensure_ascii=self.draw(st.booleans()))[1:-1]
        if quotes == "''":
            body = body.replace("'", "\\'")
        elif quotes == "“”":
            body = body.replace("“", "\\u201c").replace("”", "\\u201d")
        return quotes[0] + body + quotes[1]

    def value(self, value: Any) -> str:
        if isinstance(value, str):
            return self.string(value)
        if isinstance(value, list):
            return self.joined("[", [self.value(item) for item in value], "]")
        if isinstance(value, dict):
            parts = [
                f"{self.gap()}{self.key(key)}{self.gap()}:{self.value(item)}" for key, item in value.items()
            ]
            return self.joined("{", parts, "}")
        if value is None or isinstance(value, bool):
            return self.some(json.dumps(value), repr(value))
        return json.dumps(value)

    def key(self, key: str) -> str:
        return key if self.draw(st.booleans()) else self.string(key)

    def joined(self, opener: str, parts: list[str], closer: str) -> str:
        end = self.some("", ",") if parts else ""
        return opener + self.gap() + f"{self.gap()},{self.gap()}".join(parts) + end + self.gap() + closer


@settings(deadline=None, max_examples=60)
@given(st.data(), st.dictionaries(names, values, min_size=1, max_size=4))
def test_any_notation_says_the_same(data: st.DataObject, value: dict[str, Any]) -> None:
    """Whatever data, however written and dressed: it comes back equal, with every digit and type."""
    dress = data.draw(st.sampled_from(DRESSES))
    text = dress.replace("{}", _Written(data.draw).value(value), 1)

    assert repr(parse(dict[str, Any], text)) == repr(value)
