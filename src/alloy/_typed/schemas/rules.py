"""What the strict mode of a provider supports, as data, and whether a schema stays within its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from alloy._typed.schemas.refs import Schema, children, definition_name, nodes
from alloy.jsontypes import Json

__all__ = [
    "NOTES",
    "STRUCTURE",
    "NoStrictForm",
    "StrictRules",
    "check_limits",
    "described",
    "sentence",
]

# The keywords that give a schema its structure. Every provider supports them.
# fmt: off
STRUCTURE = frozenset((
    "type", "description", "enum", "const", "anyOf", "$ref", "$defs",
    "items", "prefixItems", "properties", "required", "additionalProperties",
))
# fmt: on

# A constraint that a provider does not support, as its description has it.
NOTES = {
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
    """The schema says something that strict mode does not support."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StrictRules:
    """What the strict mode of a provider supports. A schema that exceeds a limit is sent without strict mode.

    *constraints* are the supported keywords that limit a value, such as `minItems`, and *formats* the
    supported values of `format`. The structure of schemas is always supported. Any other constraint is put
    into the description, and so is one above the limit that *at_most* has for its keyword, and a `pattern`
    in which the regular expression *unsupported_pattern* is found.

    *max_properties*, *max_depth* (of objects), *max_names* (the characters of all names and enum values
    together), *max_choices* (the values of all enums together), *max_unions* and *max_optional* limit a
    whole schema; `None` is no limit. Above *large_enum* values, the values of one enum may have
    *max_large_enum* characters. With *max_optional* 0, every property is required, and `null` stands for
    a property that is left out.

    *recursion* says whether a definition may refer to itself. With *inline*, a definition replaces the
    references to it, unless it is recursive.
    """

    constraints: frozenset[str] = frozenset()
    formats: frozenset[str] = frozenset()
    at_most: Mapping[str, float] = field(default_factory=dict)
    unsupported_pattern: str = r"\(\?(?!:)"  # look-around and inline flags
    max_properties: int | None = None
    max_depth: int | None = None
    max_names: int | None = None
    max_choices: int | None = None
    max_unions: int | None = None
    max_optional: int | None = 0
    large_enum: int = 250
    max_large_enum: int | None = None
    recursion: bool = True
    inline: bool = False

    @property
    def allows_optional(self) -> bool:
        """Whether a property may be left out."""
        return self.max_optional != 0


def check_limits(schema: Schema, rules: StrictRules) -> None:
    """Raise `NoStrictForm` when *schema*, in strict form, exceeds a limit of *rules*."""
    properties = names = choices = optional = unions = 0
    for node in nodes(schema, definitions=True):
        fields, values = node.get("properties", {}), node.get("enum", ())
        written = sum(len(str(value)) for value in values)
        if len(values) > rules.large_enum and _exceeds(written, rules.max_large_enum):
            raise NoStrictForm("an enum that is too large")
        properties += len(fields)
        choices += len(values)
        optional += len(fields) - len(node.get("required", fields))
        unions += "anyOf" in node
        names += written + sum(map(len, fields))
    definitions = schema.get("$defs", {})
    names += sum(map(len, definitions))
    if (
        _exceeds(properties, rules.max_properties)
        or _exceeds(names, rules.max_names)
        or _exceeds(choices, rules.max_choices)
    ):
        raise NoStrictForm("a schema that is too large")
    if _exceeds(optional, rules.max_optional) or _exceeds(unions, rules.max_unions):
        raise NoStrictForm("a schema with too many optional properties or unions")
    if _exceeds(_depth(schema, definitions, frozenset()), rules.max_depth):
        raise NoStrictForm("a schema that is nested too deeply")


def _exceeds(number: int, limit: int | None) -> bool:
    return limit is not None and number > limit


def _depth(node: Schema, definitions: Mapping[str, Json], inside: frozenset[str]) -> int:
    """How many objects are nested in each other, without going through a definition twice."""
    if "$ref" in node:
        name = definition_name(node["$ref"])
        return 0 if name in inside else _depth(definitions[name], definitions, inside | {name})
    below = max((_depth(child, definitions, inside) for child in children(node)), default=0)
    return below + (node.get("type") == "object")


def described(keyword: str, value: Json) -> str:
    """A constraint in words; "" for a keyword that is not a constraint."""
    if keyword == "uniqueItems" and not value:
        return ""
    return NOTES.get(keyword, "").format(value)


def sentence(text: str) -> str:
    """*text* with a full stop at its end."""
    return text if not text or text[-1] in ".!?" else f"{text}."
