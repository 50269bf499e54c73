"""What a provider's strict mode holds, as data, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alloy._typed.schemas.refs import children, definition_name, nodes

__all__ = [
    "IN_WORDS",
    "NoStrictForm",
    "StrictRules",
    "check_limits",
    "sentence",
]

# How a constraint reads in a description, for those who do not hold its keyword.
IN_WORDS = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "matches {}",
    "format": "format: {}",
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "uniqueItems": "no item twice",
}


class NoStrictForm(Exception):
    """The schema says something that strict mode cannot hold."""


@dataclass(frozen=True, slots=True)
class StrictRules:
    """A provider's strict mode: the keywords and string formats that it holds, and its limits.

    *properties*, *depth* (of objects), *characters* (of names and choices together), *choices*
    (of all enums together), *optional* properties and *unions* are the most that one schema may have.
    Without *optional* ones, null stands for what is not given. *recursion* lets a definition refer to
    itself, *at_most* bounds a keyword's value, and a pattern in which *unheld_pattern* is found is put
    in words. *inline* puts definitions in the place of the references to them, as far as they end.
    """

    keywords: frozenset[str]
    formats: frozenset[str]
    properties: int
    depth: int
    characters: int
    choices: int
    optional: int = 0
    unions: int | None = None
    recursion: bool = True
    at_most: Mapping[str, float] = field(default_factory=dict)
    unheld_pattern: str = r"\(\?(?!:)"  # look-around and inline flags
    inline: bool = False


def check_limits(schema: Mapping[str, Any], rules: StrictRules) -> None:
    """Raise `NoStrictForm` when *schema*, in strict form, has more of something than *rules* allow."""
    properties = characters = choices = optional = unions = 0
    for node in nodes(schema, definitions=True):
        names = node.get("properties", {})
        values = node.get("enum", ())
        written = sum(len(str(value)) for value in values)
        if len(values) > 250 and written > 15_000:
            raise NoStrictForm("an enum that is too large")
        properties += len(names)
        choices += len(values)
        optional += len(names) - len(node.get("required", names))
        unions += "anyOf" in node
        characters += written + sum(map(len, names))
    characters += sum(map(len, schema.get("$defs", ())))
    if properties > rules.properties or characters > rules.characters or choices > rules.choices:
        raise NoStrictForm("a schema that is too large")
    if optional > rules.optional or (rules.unions is not None and unions > rules.unions):
        raise NoStrictForm("a schema with too many optional properties or unions")
    if _depth(schema, schema.get("$defs", {}), frozenset()) > rules.depth:
        raise NoStrictForm("a schema that is nested too deeply")


def _depth(node: Mapping[str, Any], definitions: Mapping[str, Any], inside: frozenset[str]) -> int:
    if "$ref" in node:
        name = definition_name(node["$ref"])
        return 0 if name in inside else _depth(definitions[name], definitions, inside | {name})
    below = max((_depth(child, definitions, inside) for child in children(node)), default=0)
    return below + (node.get("type") == "object")


def sentence(text: str) -> str:
    """*text* with its full stop."""
    return text if not text or text[-1] in ".!?" else f"{text}."
