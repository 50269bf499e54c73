"""JSON Schema as compact type notation: nothing that matters is lost, and it is short."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, Any, Literal, NotRequired

import pytest
from annotated_types import Ge, Gt, Le, Len, MinLen
from hypothesis import given
from hypothesis import strategies as st
from kit.dialects import every_dialect
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from alloy._typed.schemas.dialects import Dialect, to_wire
from alloy._typed.schemas.notation import notation
from alloy._typed.types.compile import compile_type

STRING, INTEGER = {"type": "string"}, {"type": "integer"}


def record(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def positions(least: int, **more: Any) -> dict[str, Any]:
    return {"type": "array", "prefixItems": [INTEGER, STRING], "minItems": least, **more}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (STRING, "string"),
        (INTEGER, "integer"),
        ({"type": "number"}, "number"),
        ({"type": "null"}, "null"),
        ({}, "any"),
        ({"type": "array", "items": True}, "any[]"),
        ({"type": "array", "items": False}, "never[]"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"const": "a"}, '"a"'),
        ({"const": None}, "null"),
        ({"enum": ["a", 1, None], "type": "string"}, '"a" | 1 | null'),
        ({"anyOf": [STRING, INTEGER, STRING]}, "string | integer"),
        ({"oneOf": [STRING, INTEGER]}, "string | integer"),
        ({"allOf": [{"$ref": "#/$defs/A"}, record(b=STRING)]}, "A & { b: string }"),
        ({"type": "array", "items": STRING}, "string[]"),
        ({"type": "array"}, "any[]"),
        ({"type": "array", "maxItems": 0}, "[]"),
        ({"type": "array", "items": {"anyOf": [STRING, INTEGER]}}, "(string | integer)[]"),
        ({"type": "array", "items": {"type": "array", "items": STRING}}, "string[][]"),
        ({"type": "array", "items": STRING, "minItems": 1, "maxItems": 3},
         "string[] // at least 1 item; at most 3 items"),
        ({"type": "array", "items": STRING, "uniqueItems": True}, "string[] // no item twice"),
        (positions(2, maxItems=2), "[integer, string]"),
        (positions(1, maxItems=2), "[integer, string?]"),
        (positions(2, items=STRING), "[integer, string, ...string[]]"),
        (positions(2, items=False), "[integer, string]"),
        (positions(2, items=STRING, maxItems=3), "[integer, string, ...string[]] // at most 3 items"),
        ({"type": "integer", "minimum": 0, "exclusiveMaximum": 10}, "integer // >= 0; < 10"),
        ({"type": "number", "multipleOf": 0.5}, "number // a multiple of 0.5"),
        ({"type": "string", "minLength": 1, "maxLength": 9},
         "string // at least 1 character; at most 9 characters"),
        ({"type": "string", "pattern": "^[A-Z]  x$"}, "string // matches ^[A-Z]  x$"),
        ({"type": "string", "pattern": "a\nb"}, 'string // matches "a\\nb"'),
        ({"type": "string", "format": "date-time"}, "string // format date-time"),
        ({"type": "string", "contentEncoding": "base64"}, "string // encoded in base64"),
        ({"type": "string", "not": {"const": "x"}}, 'string // not: {"const": "x"}'),
        ({"type": "string", "description": "A\n  name.", "default": "x"}, 'string // A name; default "x"'),
        ({"type": ["string", "null"], "default": None}, "string | null"),
        ({"type": "string", "examples": ["a", "b"], "title": "T"}, 'string // for example "a", "b"'),
        ({"type": "array", "items": {"type": "integer", "minimum": 0}}, "(integer /* >= 0 */)[]"),
        ({"anyOf": [{"type": "string", "description": "a */ b"}, INTEGER]}, "string /* a * / b */ | integer"),
        (record(a=STRING, b=INTEGER), "{ a: string, b: integer }"),
        ({**record(a=STRING), "required": []}, "{ a?: string }"),
        (record(**{"a-b": STRING, "": STRING}), '{ "a-b": string, "": string }'),
        (record(a={**STRING, "description": "text"}, b=INTEGER), "{\n  a: string, // text\n  b: integer,\n}"),
        (record(a=record(b={**STRING, "description": "text"})),
         "{\n  a: {\n    b: string, // text\n  },\n}"),
        ({"type": "object", "properties": {}, "additionalProperties": False}, "{}"),
        ({"type": "object", "additionalProperties": INTEGER}, "{ [key: string]: integer }"),
        ({"type": "object"}, "{ [key: string]: any }"),
        ({**record(a=STRING), "additionalProperties": True}, "{ a: string, [key: string]: any }"),
        ({"type": "object", "required": ["a"], "properties": {}}, "{ a: any }"),
        ({"type": "object", "additionalProperties": INTEGER, "propertyNames": {"enum": ["a", "b"]}},
         '{ [key: "a" | "b"]: integer }'),
        ({"type": "object", "additionalProperties": INTEGER, "propertyNames": {"minLength": 2}},
         "{ [key: string /* at least 2 characters */]: integer }"),
        ({"type": "object", "patternProperties": {"^x": INTEGER}},
         "{ [key: string /* matches ^x */]: integer }"),
        ({"type": "object", "additionalProperties": INTEGER, "minProperties": 1},
         "{ [key: string]: integer } // at least 1 key"),
        ({"$ref": "#/$defs/A", "description": "one", "$defs": {"A": record(b=STRING), "Unused": STRING}},
         "A // one\n\ntype A = { b: string }"),
    ],
)  # fmt: skip
def test_every_keyword_has_its_notation(schema: Any, expected: str):
    """TypeScript where that has a syntax, a comment where it has none."""
    assert notation(schema) == expected


# --- realistic types ------------------------------------------------------------------------------


class Kind(enum.Enum):
    CREDIT = "credit"
    DEBIT = "debit"


@dataclass
class Line:
    text: Annotated[str, Field(description="As printed on the invoice.")]
    amount: Annotated[float, Ge(0)]
    quantity: int = 1


@dataclass
class Invoice:
    vendor: str
    number: Annotated[str, Field(pattern=r"^[A-Z]{2}-\d+$")]
    date: date
    kind: Kind
    lines: Annotated[list[Line], MinLen(1)]
    total: Annotated[float, Gt(0), Field(description="in EUR")]
    note: str | None = None
    tags: set[str] = field(default_factory=set)


@dataclass
class Node:
    name: str
    children: list[Node]


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, Ge(0), Le(9)]


class Dog(BaseModel):
    kind: Literal["dog"]
    good: bool = True


class Home(BaseModel):
    pets: list[Annotated[Cat | Dog, Field(discriminator="kind")]]
    rooms: dict[str, float]
    position: tuple[float, float]


class Ticket(TypedDict):
    title: Annotated[str, Len(3, 80)]
    priority: Literal["low", "medium", "high"]
    due: NotRequired[datetime]
    assignee: str | None


REALISTIC = [Invoice, Node, Home, Ticket, Line, list[Invoice], list[int], dict[str, Line], Literal["a", "b"]]


def test_a_realistic_type_reads_as_a_person_would_write_it():
    """One look tells the shape."""
    assert notation(compile_type(Invoice).schema or {}) == (
        "{\n"
        "  vendor: string,\n"
        "  number: string, // matches ^[A-Z]{2}-\\d+$\n"
        "  date: string, // format date\n"
        "  kind: Kind,\n"
        "  lines: Line[], // at least 1 item\n"
        "  total: number, // in EUR; > 0\n"
        "  note?: string | null,\n"
        "  tags?: string[], // no item twice\n"
        "}\n"
        "\n"
        'type Kind = "credit" | "debit"\n'
        "\n"
        "type Line = {\n"
        "  text: string, // As printed on the invoice\n"
        "  amount: number, // >= 0\n"
        "  quantity?: integer, // default 1\n"
        "}"
    )


def test_a_recursive_root_is_written_once():
    """Its own name stands for it."""
    assert notation(compile_type(Node).schema or {}) == (
        "Node\n\ntype Node = { name: string, children: Node[] }"
    )


@every_dialect
@pytest.mark.parametrize("output", REALISTIC, ids=str)
def test_it_is_shorter_than_the_schema(output: Any, dialect: Dialect):
    """Even than JSON without a blank; `benchmarks/notation.py` shows by how much."""
    schema = to_wire(compile_type(output).schema or {}, dialect).schema
    assert len(notation(schema)) < 0.6 * len(json.dumps(schema, separators=(",", ":"), ensure_ascii=False))


def test_it_is_the_same_every_time():
    """A prompt that changes between requests could not be cached."""
    schema = compile_type(Invoice).schema or {}
    assert notation(schema) == notation(json.loads(json.dumps(schema)))


# --- any schema -----------------------------------------------------------------------------------

NAMES = st.text(min_size=1, max_size=6)
SCALARS = st.sampled_from(
    [STRING, INTEGER, {"type": "boolean"}, {"type": "null"}, {"type": "number", "minimum": 7}]
)
ENUMS = st.lists(st.text(max_size=5) | st.integers(), min_size=1, max_size=4, unique=True).map(
    lambda e: {"enum": e}
)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = inner.map(lambda items: {"type": "array", "items": items})
    unions = st.lists(inner, min_size=1, max_size=3).map(lambda members: {"anyOf": members})
    maps = inner.map(lambda values: {"type": "object", "additionalProperties": values})
    objects = st.dictionaries(NAMES, st.tuples(inner, st.booleans()), max_size=4).map(
        lambda parts: {
            "type": "object",
            "properties": {name: part for name, (part, _) in parts.items()},
            "required": [name for name, (_, required) in parts.items() if required],
            "additionalProperties": False,
        }
    )
    return lists | unions | maps | objects


def facts(node: Any) -> list[str]:
    """What the notation of *node* must hold, as text."""
    found: list[str] = []
    if "properties" in node:
        for name, part in node["properties"].items():
            key = name if name.isascii() and name.isidentifier() else json.dumps(name, ensure_ascii=False)
            found.append(f"{key}: " if name in node["required"] else f"{key}?: ")
            found += facts(part)
    found += [json.dumps(choice, ensure_ascii=False) for choice in node.get("enum", ())]
    found += [">= 7"] * ("minimum" in node)
    found += [] if "type" not in node or node["type"] in ("object", "array") else [node["type"]]
    for part in (node.get("items"), node.get("additionalProperties"), *node.get("anyOf", ())):
        found += facts(part) if part else []
    return found


@given(st.recursive(SCALARS | ENUMS, nested, max_leaves=12))
def test_nothing_that_decides_about_validity_is_lost(schema: Any):
    """Every property, every required mark, every choice, bound and type stands in the text."""
    text = notation(schema)
    for fact in facts(schema):
        assert fact in text
