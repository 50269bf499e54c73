"""The one walker over JSON Schemas: where schemas stand inside a schema, and where references lead.

Only a keyword in the tables below holds schemas. What stands under any other keyword is data, and the
keys under `properties` are names: a property may be called `default`, `enum` or `$ref`. So no other
module looks for schemas by visiting all keys of a dict.

A reference is `#/$defs/Name`, as pydantic writes it; its *name* is `Name`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from alloy.jsontypes import Json

__all__ = [
    "Schema",
    "alternatives",
    "children",
    "definition_name",
    "mapped",
    "nodes",
    "pointed_at",
    "reachable",
    "reference_to",
    "references",
    "resolved",
]

Schema: TypeAlias = Mapping[str, Json]
"""A JSON Schema that is an object, and a dict inside of others; the other two are `true` and `false`."""

# https://json-schema.org/draft/2020-12/json-schema-core#section-10, `contentSchema` of its vocabulary for
# contents, and `definitions`, which is `$defs` in earlier drafts
_DEFINITIONS = frozenset(("$defs", "definitions"))
_BY_NAME = frozenset(("properties", "patternProperties", "dependentSchemas"))
_IN_A_LIST = frozenset(("anyOf", "oneOf", "allOf", "prefixItems"))
# fmt: off
_SINGLE = frozenset((
    "items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else",
    "unevaluatedItems", "unevaluatedProperties", "contentSchema",
))
# fmt: on
_HOLDS_SCHEMAS = _DEFINITIONS | _BY_NAME | _IN_A_LIST | _SINGLE


def children(node: Schema, *, definitions: bool = False) -> list[Schema]:
    """The schemas directly inside *node* that are objects, in its order; its *definitions* if wanted."""
    found: list[Schema] = []
    for keyword, value in node.items():
        if keyword in _HOLDS_SCHEMAS and (definitions or keyword not in _DEFINITIONS):
            found += [part for part in _schemas(keyword, value) if isinstance(part, dict)]
    return found


def _schemas(keyword: str, value: Json) -> Iterable[Json]:
    if keyword in _DEFINITIONS or keyword in _BY_NAME:
        named: Mapping[str, Json] = value
        return named.values()
    return value if isinstance(value, list) else (value,)  # earlier drafts have a list under `items`


def mapped(node: Json, change: Callable[[Json], Json]) -> Json:
    """A copy of *node* in which *change* replaces each schema directly inside it, definitions included."""
    if not isinstance(node, dict):
        return node
    return {
        keyword: _changed(keyword, value, change) if keyword in _HOLDS_SCHEMAS else value
        for keyword, value in node.items()
    }


def _changed(keyword: str, value: Json, change: Callable[[Json], Json]) -> Json:
    if keyword in _DEFINITIONS or keyword in _BY_NAME:
        return {name: change(part) for name, part in value.items()}
    return [change(part) for part in value] if isinstance(value, list) else change(value)


def nodes(schema: Json, *, definitions: bool = False) -> Iterator[Schema]:
    """*schema* and every schema inside it that is an object, each before its children."""
    todo: list[Schema] = [schema] if isinstance(schema, dict) else []
    while todo:
        node = todo.pop()
        yield node
        todo += reversed(children(node, definitions=definitions))


# --- references ---------------------------------------------------------------------------------------


def definition_name(reference: str) -> str:
    """The name of the definition that *reference* leads to."""
    return _unescaped(reference.removeprefix("#/$defs/"))


def reference_to(name: str) -> str:
    """The reference to the definition *name*."""
    return f"#/$defs/{name.replace('~', '~0').replace('/', '~1')}"


def _unescaped(step: str) -> str:
    """A step of a JSON pointer (RFC 6901) without its escapes."""
    return step.replace("~1", "/").replace("~0", "~") if "~" in step else step


def references(schema: Json) -> Iterator[str]:
    """The `$ref`s in *schema*, those in its own definitions left aside."""
    for node in nodes(schema):
        if "$ref" in node:
            yield node["$ref"]


def reachable(schema: Json, definitions: Mapping[str, Json]) -> list[str]:
    """The names of the *definitions* that *schema* needs, directly or not, in the order they are met."""
    found: dict[str, None] = {}
    todo = [schema]
    for part in todo:
        for name in map(definition_name, references(part)):
            if name in definitions and name not in found:
                found[name] = None
                todo.append(definitions[name])
    return list(found)


def resolved(node: Json, definitions: Mapping[str, Json]) -> Schema:
    """*node*, or what it refers to. A boolean schema, and one that is missing, is `{}`."""
    while isinstance(node, dict):
        if "$ref" not in node:
            return node
        node = definitions.get(definition_name(node["$ref"]))
    return {}


def alternatives(node: Json, definitions: Mapping[str, Json]) -> Iterator[Schema]:
    """What a value of *node* may be: references followed, unions opened."""
    todo, seen = [node], set[str]()
    while todo:
        node = todo.pop()
        reference = node.get("$ref") if isinstance(node, dict) else None
        if reference in seen:
            continue
        if reference is not None:
            seen.add(reference)
        node = resolved(node, definitions)
        if branches := node.get("anyOf") or node.get("oneOf"):
            todo += branches
        else:
            yield node


def pointed_at(reference: str, root: Json) -> Json:
    """What *reference*, a JSON pointer into *root* (RFC 6901), leads to. Raises `KeyError`."""
    found = root
    for step in reference.removeprefix("#").split("/")[1:]:
        if not isinstance(found, dict):
            raise KeyError(step)
        found = found[_unescaped(step)]
    return found
