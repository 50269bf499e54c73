"""The walker over JSON Schemas visits the schemas inside a schema, and nothing that only looks like one."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from alloy._typed.schemas.refs import (
    alternatives,
    children,
    definition_name,
    mapped,
    nodes,
    pointed_at,
    reachable,
    reference_to,
    references,
    resolved,
)


def ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


NAMED = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
LISTED = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
SINGLE = (
    *("items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else"),
    *("unevaluatedItems", "unevaluatedProperties", "contentSchema"),
)
# Keywords whose value is data, and one that nobody knows.
DATA = ("default", "const", "x-unknown", "discriminator", "dependentRequired", "$comment")
HOLDERS = [
    *((keyword, {keyword: {"name": ref("A")}}) for keyword in NAMED),
    *((keyword, {keyword: [{}, ref("A")]}) for keyword in LISTED),
    *((keyword, {keyword: ref("A")}) for keyword in SINGLE),
]


@pytest.mark.parametrize(("keyword", "schema"), HOLDERS)
def test_schemas_are_found_where_they_stand(keyword: str, schema: dict[str, Any]) -> None:
    """Under each keyword that holds one, a list or a dict of them."""
    assert ref("A") in children(schema, definitions=True)
    assert next(nodes(schema, definitions=True)) == schema
    assert ref("A") in list(nodes(schema, definitions=True))


@pytest.mark.parametrize("keyword", DATA)
def test_data_is_not_visited(keyword: str) -> None:
    """What stands under another keyword is no schema, whatever it looks like."""
    for data in (ref("A"), [ref("A")], {"name": ref("A")}, {"properties": {"a": ref("A")}}):
        schema = {keyword: data, "enum": [data], "examples": [data]}

        assert list(nodes(schema, definitions=True)) == [schema]
        assert list(references(schema)) == []


@pytest.mark.parametrize("name", [*NAMED, *LISTED, *SINGLE, *DATA, "$ref", "enum", "examples"])
def test_a_property_may_have_any_name(name: str) -> None:
    """Its schema is visited as that of any other property, and its name is not a keyword."""
    schema = {
        "properties": {name: ref("A")},
        "patternProperties": {name: ref("B")},
        "$defs": {name: ref("C")},
    }

    assert children(schema) == [ref("A"), ref("B")]
    assert list(references(schema)) == ["#/$defs/A", "#/$defs/B"]
    assert list(nodes(schema, definitions=True)) == [schema, ref("A"), ref("B"), ref("C")]


def test_nodes_come_in_the_order_of_the_text() -> None:
    """A schema before its parts, and the parts as they stand."""
    schema = {
        "anyOf": [{"items": {"title": "1"}, "title": "0"}, {"title": "2"}],
        "properties": {"a": {"properties": {"b": {"title": "4"}}, "title": "3"}, "c": {"title": "5"}},
    }

    assert [node.get("title") for node in nodes(schema)] == [None, "0", "1", "2", "3", "4", "5"]


def test_boolean_schemas_have_nothing_inside() -> None:
    """They are not visited, and no error."""
    assert list(nodes(True)) == []
    assert children({"items": False, "anyOf": [True, {}]}) == [{}]


def test_a_deep_schema_is_walked() -> None:
    """Without Python's limit of recursion."""
    schema: dict[str, Any] = ref("A")
    for _ in range(5_000):
        schema = {"items": schema}

    assert list(references(schema)) == ["#/$defs/A"]


@pytest.mark.parametrize(("keyword", "schema"), HOLDERS)
def test_mapped_replaces_the_schemas_inside(keyword: str, schema: dict[str, Any]) -> None:
    """Each once, in its place; the original is not changed."""
    before = copy.deepcopy(schema)

    found = mapped(schema, lambda part: {"seen": part})

    assert schema == before
    assert list(children(found, definitions=True)) == [
        {"seen": part} for part in children(schema, definitions=True)
    ]


def test_mapped_keeps_everything_else() -> None:
    """Keywords that hold no schema, boolean schemas, and the order."""
    schema = {
        "type": "object",
        "default": {"properties": {}},
        "additionalProperties": False,
        "enum": [{"items": {}}],
    }

    assert mapped(schema, lambda part: part) == schema
    assert list(mapped(schema, lambda part: part)) == list(schema)
    assert mapped(True, lambda part: 1 / 0) is True


# --- references ---------------------------------------------------------------------------------------

DEFINITIONS = {
    "A": {"properties": {"default": ref("B"), "enum": {"items": ref("A")}}},
    "B": {"anyOf": [ref("C"), {"type": "null"}]},
    "C": {"enum": [ref("D")], "default": ref("D")},
    "D": {},
    "E": ref("D"),
}


def test_reachable_definitions() -> None:
    """Through any property, not through data, and only those that exist."""
    assert reachable(ref("A"), DEFINITIONS) == ["A", "B", "C"]
    assert reachable(ref("C"), DEFINITIONS) == ["C"]
    assert reachable({"items": [ref("E"), ref("Z")]}, DEFINITIONS) == ["E", "D"]
    assert reachable({"$defs": DEFINITIONS}, DEFINITIONS) == []


def test_names_are_unescaped() -> None:
    """A reference is a JSON pointer (RFC 6901)."""
    assert definition_name("#/$defs/a~1b~0c") == "a/b~c"
    assert definition_name("#/$defs/~01") == "~1"
    for name in ("a/b~c", "~1", "Plain", "~", "/"):
        assert definition_name(reference_to(name)) == name


def test_resolved_follows_references() -> None:
    """To the end of a chain; what does not exist, and a boolean schema, says nothing."""
    assert resolved(ref("E"), DEFINITIONS) == {}
    assert resolved(ref("C"), DEFINITIONS) is DEFINITIONS["C"]
    assert resolved(ref("Z"), DEFINITIONS) == {}
    assert resolved(True, DEFINITIONS) == {}


def test_alternatives_open_unions() -> None:
    """Through references too, a recursive one once."""
    definitions = {
        "A": {"oneOf": [ref("A"), {"type": "string"}, ref("B")]},
        "B": {"anyOf": [ref("A"), {"type": "null"}]},
    }

    found = list(alternatives(ref("A"), definitions))

    assert sorted(part["type"] for part in found) == ["null", "string"]


def test_pointers_lead_anywhere() -> None:
    """Also to what is not a definition; to nothing is a KeyError."""
    schema = {"properties": {"a/b": {"items": {"title": "x"}}}}

    assert pointed_at("#", schema) is schema
    assert pointed_at("#/properties/a~1b/items", schema) == {"title": "x"}
    for missing in ("#/properties/b", "#/properties/a~1b/items/title/x"):
        with pytest.raises(KeyError):
            pointed_at(missing, schema)
