"""What each provider publishes about the schemas that it takes, as checks.

Written without Alloy, so that it can judge what Alloy does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kit.strict_model import assert_anthropic, assert_strict

# The description of `response_json_schema` in google-genai 3.4.
GEMINI = {
    *("$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items"),
    *("prefixItems", "minItems", "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties"),
    *("additionalProperties", "required", "propertyOrdering"),
}
# What llama.cpp's grammars/README.md lists, without what it leaves to luck.
OLLAMA = {
    *("type", "description", "enum", "anyOf", "$ref", "$defs", "items", "minItems", "maxItems"),
    *("properties", "required", "additionalProperties", "pattern", "format", "minLength", "maxLength"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}


def nodes(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Every schema inside of *schema*, itself the first."""
    yield schema
    for key in ("properties", "$defs"):
        for part in schema.get(key, {}).values():
            yield from nodes(part)
    for key in ("anyOf", "prefixItems"):
        for part in schema.get(key, ()):
            yield from nodes(part)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            yield from nodes(schema[key])


def assert_openai(schema: Mapping[str, Any]) -> None:
    """Those of strict mode, and its limits."""
    assert_strict(schema)
    found = list(nodes(schema))
    assert sum(len(node.get("properties", ())) for node in found) <= 5_000
    assert sum(len(node.get("enum", ())) for node in found) <= 1_000
    assert not any(key in node for node in found for key in ("default", "title", "oneOf", "allOf"))


def assert_gemini(schema: Mapping[str, Any]) -> None:
    """Keywords that are read, nothing beside a reference, choices of texts and numbers."""
    definitions = schema.get("$defs", {})
    for node in nodes(schema):
        assert node.keys() <= GEMINI
        assert "$ref" not in node or set(node) == {"$ref"}
        assert all(type(choice) in (str, int, float) for choice in node.get("enum", ()))
        assert node.get("format", "date") in ("date-time", "date", "time")
        for name in node.get("required", ()):  # cycles only inside of properties that are not required
            part = node.get("properties", {}).get(name, {})
            assert node not in definitions.values() or not leads_to(part, node, definitions, frozenset())


def leads_to(part: Any, goal: Any, definitions: Mapping[str, Any], seen: frozenset[str]) -> bool:
    names = {node["$ref"].removeprefix("#/$defs/") for node in nodes(part) if "$ref" in node} - seen
    return any(
        definitions[name] is goal or leads_to(definitions[name], goal, definitions, seen | names)
        for name in names
    )


def assert_ollama(schema: Mapping[str, Any]) -> None:
    """Keywords that grammars hold; objects are closed, and `properties` stand beside no choice."""
    for node in nodes(schema):
        assert node.keys() <= OLLAMA
        assert "properties" not in node or (node["additionalProperties"] is False and "anyOf" not in node)
        assert "$ref" not in node or set(node) == {"$ref"}
        assert node.get("pattern", "^$")[0] == "^"
        assert node.get("pattern", "^$")[-1] == "$"


# A strict schema has to keep these; Gemini's is never strict and keeps them always.
RULES: dict[str, Callable[[Mapping[str, Any]], None]] = {
    "openai": assert_openai,
    "anthropic": assert_anthropic,
    "ollama": assert_ollama,
    "gemini": assert_gemini,
}
