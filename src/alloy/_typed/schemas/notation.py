"""JSON Schema -> a compact type notation, for prompts: TypeScript as models have read it a million times.

    {
      vendor: string,
      total: number, // in EUR; >= 0
      kind: "credit" | "debit",
      note?: string | null,
      lines: Line[], // at least 1 item
    }

    type Line = { text: string, amount: integer }

It says all that decides whether a value is valid, in less than half of the characters. What TypeScript
has no syntax for stands in a comment: `//` behind a property, `/* */` behind a part of a type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from alloy._typed.schemas.refs import definition_name, reachable

__all__ = ["notation"]

WIDTH = 80  # an object that is longer gets a line for each property

# Keywords that the notation puts in words.
_WORDS: Mapping[str, str] = {
    "minimum": ">= {}",
    "exclusiveMinimum": "> {}",
    "maximum": "<= {}",
    "exclusiveMaximum": "< {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "matches {}",
    "format": "format {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "minProperties": "at least {} keys",
    "maxProperties": "at most {} keys",
    "contentEncoding": "encoded in {}",
    "contentMediaType": "holds {}",
}

# Keywords that have a syntax, and ones that say nothing about which values are valid.
# fmt: off
_SYNTAX = frozenset((
    "type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "$defs", "items", "prefixItems",
    "properties", "required", "additionalProperties", "patternProperties", "propertyNames",
))
_SILENT = frozenset((
    "title", "discriminator", "$schema", "$id", "$comment", "deprecated", "readOnly", "writeOnly",
))
# fmt: on

_CONDITIONS = frozenset(("$ref", "anyOf", "oneOf", "allOf"))

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)


class _Type(NamedTuple):
    """A type as text, and what a comment has to say about it. *union*: as a part, it needs brackets."""

    text: str
    notes: tuple[str, ...] = ()
    union: bool = False

    @property
    def inline(self) -> str:
        """The text with its notes, where no line ends behind it."""
        if not self.notes:
            return self.text
        return f"{self.text} /* {'; '.join(self.notes).replace('*/', '* /')} */"

    @property
    def operand(self) -> str:
        """The same as a part of a larger expression."""
        return f"({self.inline})" if self.union or self.notes else self.text


def notation(schema: Mapping[str, Any]) -> str:
    """*schema*, plain JSON Schema or a dialect of it, as the type of its values.

    The root's type comes first, then the definitions that it uses, by their names.
    """
    definitions: Mapping[str, Any] = schema.get("$defs", {})
    root = {key: value for key, value in schema.items() if key != "$defs"}
    # A recursive root stands among its own definitions: its name will do.
    same = next((name for name, definition in definitions.items() if definition == root), None)
    if same is not None:
        root = {"$ref": f"#/$defs/{same}"}
    parts = [_line("", _type(root))]
    parts += [_line(f"type {name} = ", _type(definitions[name])) for name in reachable(root, definitions)]
    return "\n\n".join(parts)


def _line(start: str, type_: _Type) -> str:
    return f"{start}{type_.text}{_comment(type_.notes)}"


def _comment(notes: Sequence[str]) -> str:
    return f" // {'; '.join(notes)}" if notes else ""


# --- types ----------------------------------------------------------------------------------------


def _type(node: Any) -> _Type:
    if not isinstance(node, Mapping):
        return _Type("never" if node is False else "any")
    text, union = _expression(node)
    return _Type(text, tuple(_notes(node)), union)


def _expression(node: Mapping[str, Any]) -> tuple[str, bool]:
    """The type's text, and whether it needs brackets as a part of another one."""
    parts = list(_conditions(node))
    if len(parts) == 1:
        return parts[0].text, parts[0].union
    return " & ".join(part.operand for part in parts), True


def _conditions(node: Mapping[str, Any]) -> Iterator[_Type]:
    """All that a value must be at once: one thing in nearly every schema."""
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


def _of_kind(kind: Any, node: Mapping[str, Any]) -> str:
    if kind == "object" or (kind is None and ("properties" in node or "required" in node)):
        return _object(node)
    if kind == "array" or (kind is None and ("items" in node or "prefixItems" in node)):
        return _array(node)
    return str(kind) if kind is not None else "any"


def _array(node: Mapping[str, Any]) -> str:
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


def _object(node: Mapping[str, Any]) -> str:
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


def _free_keys(node: Mapping[str, Any]) -> Iterator[tuple[str, _Type]]:
    patterns: Mapping[str, Any] = node.get("patternProperties", {})
    for pattern, part in patterns.items():
        yield f"[key: {_key_type({'pattern': pattern}).inline}]", _type(part)
    more = node.get("additionalProperties", "properties" not in node and not patterns)
    if more is not False:
        names = node.get("propertyNames")
        yield f"[key: {'string' if names is None else _key_type(names).inline}]", _type(more)


def _key_type(names: Any) -> _Type:
    # What names a property is a string even where the schema does not say so.
    return _type(names if "$ref" in names or "enum" in names else {"type": "string", **names})


def _key(name: str) -> str:
    return name if _IDENTIFIER.match(name) else _json(name)


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


# --- comments -------------------------------------------------------------------------------------


def _notes(node: Mapping[str, Any]) -> Iterator[str]:
    """What the syntax does not say: the description first, then the constraints."""
    if text := " ".join(str(node.get("description", "")).split()):
        yield text.removesuffix(".")
    for key, value in node.items():
        if key in _SYNTAX or key in _SILENT or key == "description" or _is_said(key, node):
            continue
        if key == "default":
            yield from [f"default {_json(value)}"] * (value is not None)  # null is what left out means
        elif key == "examples":
            yield f"for example {', '.join(map(_json, value))}"
        elif key == "uniqueItems":
            yield from ["no item twice"] * bool(value)
        else:
            yield _in_words(key, value)


def _in_words(key: str, value: Any) -> str:
    # A keyword that nobody thought of is still said, as it stands.
    if key not in _WORDS:
        return f"{key}: {_json(value)}"
    shown = _json(value) if isinstance(value, str) and not value.isprintable() else value
    said = _WORDS[key].format(shown)
    return said.removesuffix("s") if value == 1 else said


def _is_said(key: str, node: Mapping[str, Any]) -> bool:
    """Whether the syntax of a tuple or an empty array says *key* already."""
    positions = len(node.get("prefixItems", ()))
    return (key == "minItems" and node[key] <= positions) or (key == "maxItems" and node[key] == positions)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
