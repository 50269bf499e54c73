"""JSON Schema -> a compact type notation for prompts: TypeScript, which every model has seen often.

    {
      vendor: string,
      total: number, // in EUR; >= 0
      kind: "credit" | "debit",
      note?: string | null,
      lines: Line[], // at least 1 item
    }

    type Line = { text: string, amount: integer }

It has everything that decides whether a value is valid, in less than half of the characters. A constraint
without a TypeScript syntax is in a comment: `//` after a property, `/* */` after a part of a type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from alloy._typed.schemas.refs import Schema, definition_name, reachable, reference_to
from alloy._typed.schemas.rules import NOTES
from alloy.jsontypes import Json

__all__ = ["notation"]

WIDTH = 80  # a longer object has a line for each property

# The comments for keywords.
_COMMENTS: Mapping[str, str] = {
    **NOTES,
    "minimum": ">= {}",
    "exclusiveMinimum": "> {}",
    "maximum": "<= {}",
    "exclusiveMaximum": "< {}",
    "format": "format {}",
    "minProperties": "at least {} keys",
    "maxProperties": "at most {} keys",
    "contentEncoding": "encoded in {}",
    "contentMediaType": "holds {}",
}

# Keywords that have a syntax, and keywords that do not decide which values are valid.
# fmt: off
_SYNTAX = frozenset((
    "type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "$defs", "items", "prefixItems",
    "properties", "required", "additionalProperties", "patternProperties", "propertyNames",
))
_IGNORED = frozenset((
    "title", "discriminator", "$schema", "$id", "$comment", "deprecated", "readOnly", "writeOnly",
))
# fmt: on

_CONDITIONS = frozenset(("$ref", "anyOf", "oneOf", "allOf"))

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)


class _Type(NamedTuple):
    """A type as text, and the notes for its comment. *union*: as a part of a type, it needs brackets."""

    text: str
    notes: tuple[str, ...] = ()
    union: bool = False

    @property
    def inline(self) -> str:
        """The text with its notes, where the line continues after it."""
        if not self.notes:
            return self.text
        return f"{self.text} /* {'; '.join(self.notes).replace('*/', '* /')} */"

    @property
    def operand(self) -> str:
        """The text with its notes, as a part of a larger expression."""
        return f"({self.inline})" if self.union or self.notes else self.text


def notation(schema: Schema) -> str:
    """The type of the values of *schema*, which is plain JSON Schema or a dialect of it.

    The type of the root is first, then the definitions that it uses, with their names.
    """
    definitions: Mapping[str, Json] = schema.get("$defs", {})
    root = {key: value for key, value in schema.items() if key != "$defs"}
    # A recursive root is one of its own definitions, so its name is enough.
    name = next((name for name, definition in definitions.items() if definition == root), None)
    if name is not None:
        root = {"$ref": reference_to(name)}
    parts = [_line("", _type(root))]
    parts += [_line(f"type {name} = ", _type(definitions[name])) for name in reachable(root, definitions)]
    return "\n\n".join(parts)


def _line(start: str, type_: _Type) -> str:
    return f"{start}{type_.text}{_comment(type_.notes)}"


def _comment(notes: Sequence[str]) -> str:
    return f" // {'; '.join(notes)}" if notes else ""


# --- types ----------------------------------------------------------------------------------------


def _type(node: Json) -> _Type:
    if not isinstance(node, Mapping):
        return _Type("never" if node is False else "any")
    text, union = _expression(node)
    return _Type(text, tuple(_notes(node)), union)


def _expression(node: Schema) -> tuple[str, bool]:
    """The text of the type, and whether it needs brackets as a part of another type."""
    parts = list(_conditions(node))
    if len(parts) == 1:
        return parts[0].text, parts[0].union
    return " & ".join(part.operand for part in parts), True


def _conditions(node: Schema) -> Iterator[_Type]:
    """The types that a value must have at the same time: only one in nearly every schema."""
    if "$ref" in node:
        yield _Type(definition_name(node["$ref"]))
    for members in filter(None, (node.get("anyOf"), node.get("oneOf"))):
        yield _union([_type(member).inline for member in members])
    for member in node.get("allOf", ()):
        yield _type(member)
    kinds = node.get("type")
    if "const" in node:
        yield _Type(_json(node["const"]))
    elif "enum" in node:
        yield _union([_json(choice) for choice in node["enum"]])
    elif isinstance(kinds, list):
        yield _union([_of_kind(kind, node) for kind in kinds])
    elif kinds is not None or not node.keys() & _CONDITIONS:
        yield _Type(_of_kind(kinds, node))


def _union(members: list[str]) -> _Type:
    distinct = list(dict.fromkeys(members))
    return _Type(" | ".join(distinct) or "never", union=len(distinct) > 1)


def _of_kind(kind: Json, node: Schema) -> str:
    if kind == "object" or (kind is None and ("properties" in node or "required" in node)):
        return _object(node)
    if kind == "array" or (kind is None and ("items" in node or "prefixItems" in node)):
        return _array(node)
    return str(kind) if kind is not None else "any"


def _array(node: Schema) -> str:
    items = node.get("items", True)
    if "prefixItems" not in node:
        return "[]" if node.get("maxItems") == 0 else f"{_type(items).operand}[]"
    least, most = node.get("minItems", 0), node.get("maxItems")
    positions = [_type(part).operand for part in node["prefixItems"]]
    shown = [text if index < least else f"{text}?" for index, text in enumerate(positions)]
    if items is not False and (most is None or most > len(positions)):
        shown.append(f"...{_type(items).operand}[]")
    return f"[{', '.join(shown)}]"


# --- objects --------------------------------------------------------------------------------------


def _object(node: Schema) -> str:
    required = node.get("required", ())
    members = [
        (f"{_key(name)}{'' if name in required else '?'}", _type(part))
        for name, part in node.get("properties", {}).items()
    ]
    members += [(_key(name), _Type("any")) for name in required if name not in node.get("properties", ())]
    members += _free_keys(node)
    if not members:
        return "{}"
    line = f"{{ {', '.join(f'{key}: {part.text}' for key, part in members)} }}"
    if len(line) <= WIDTH and "\n" not in line and not any(part.notes for _, part in members):
        return line
    lines = [f"{key}: {_indented(part.text)},{_comment(part.notes)}" for key, part in members]
    return "\n  ".join(["{", *lines]) + "\n}"


def _free_keys(node: Schema) -> Iterator[tuple[str, _Type]]:
    patterns: Mapping[str, Json] = node.get("patternProperties", {})
    for pattern, part in patterns.items():
        yield f"[key: {_key_type({'pattern': pattern}).inline}]", _type(part)
    more = node.get("additionalProperties", "properties" not in node and not patterns)
    if more is not False:
        names = node.get("propertyNames")
        yield f"[key: {'string' if names is None else _key_type(names).inline}]", _type(more)


def _key_type(names: Json) -> _Type:
    # A key is a string, even where the schema does not say so.
    return _type(names if "$ref" in names or "enum" in names else {"type": "string", **names})


def _key(name: str) -> str:
    return name if _IDENTIFIER.match(name) else _json(name)


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


# --- comments -------------------------------------------------------------------------------------


def _notes(node: Schema) -> Iterator[str]:
    """What the syntax does not express: the description first, then the constraints."""
    if text := " ".join(str(node.get("description", "")).split()):
        yield text.removesuffix(".")
    for key, value in node.items():
        if key in _SYNTAX or key in _IGNORED or key == "description" or _is_redundant(key, node):
            continue
        if key == "default":
            yield from [f"default {_json(value)}"] * (
                value is not None
            )  # null is the usual meaning of an absent property
        elif key == "examples":
            yield f"for example {', '.join(map(_json, value))}"
        elif key != "uniqueItems" or value:
            yield _note(key, value)


def _note(key: str, value: Json) -> str:
    if key not in _COMMENTS:  # an unknown keyword may matter, too
        return f"{key}: {_json(value)}"
    shown = _json(value) if isinstance(value, str) and not value.isprintable() else value
    note = _COMMENTS[key].format(shown)
    return note.removesuffix("s") if value == 1 else note


def _is_redundant(key: str, node: Schema) -> bool:
    """Whether the syntax of a tuple or an empty array has the meaning of *key* already."""
    positions = len(node.get("prefixItems", ()))
    return (key == "minItems" and node[key] <= positions) or (key == "maxItems" and node[key] == positions)


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
