"""JSON Schema -> what each provider accepts.

A dialect is data: which keywords a provider's strict mode holds, and its limits. What has no strict
form is sent as the plain schema and validated here; a user never sees a refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from alloy._typed.schemas.rules import NoStrictForm, StrictRules
from alloy._typed.schemas.strict import strict_form
from alloy._typed.schemas.subset import KnownRules, known_form
from alloy.errors import ConfigurationError

__all__ = ["DIALECTS", "Dialect", "Wire", "to_wire"]


@dataclass(frozen=True, slots=True)
class Wire:
    """A schema in a provider's dialect.

    *restore* turns a decoded JSON value of this shape into one of the plain schema's shape; it raises
    `alloy._typed.json.text.Unreadable`. `None` says that the shapes are the same.
    """

    schema: dict[str, Any]
    strict: bool
    restore: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a provider accepts: a *strict* form, or only what it has *known*; or else the plain schema."""

    strict: StrictRules | None = None
    known: KnownRules | None = None


# fmt: off
_KEYWORDS = frozenset((
    "type", "description", "enum", "const", "anyOf", "$ref", "$defs",
    "items", "minItems", "maxItems", "properties", "required", "additionalProperties",
    "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
))
_BOUNDS = frozenset((
    "maxItems", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
))
_FORMATS = frozenset((
    "date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid",
))
# fmt: on

# https://platform.openai.com/docs/guides/structured-outputs, "Supported schemas"
_OPENAI = Dialect(
    StrictRules(
        keywords=_KEYWORDS,
        formats=_FORMATS,
        properties=5_000,
        depth=10,
        characters=120_000,
        choices=1_000,
    )
)

# https://docs.claude.com/en/docs/build-with-claude/structured-outputs, "JSON Schema limitations" and
# "Schema complexity limits"; the sizes without a published number are as OpenAI's
_ANTHROPIC = Dialect(
    StrictRules(
        keywords=_KEYWORDS - _BOUNDS,
        formats=_FORMATS | {"uri"},
        properties=5_000,
        depth=10,
        characters=120_000,
        choices=1_000,
        optional=24,
        unions=16,
        recursion=False,
        at_most={"minItems": 1},
        # look-around, back references, word boundaries and long counted repeats
        unheld_pattern=r"\(\?(?!:)|\\[bB1-9]|\{\d{3}|,\d{3}",
    )
)

# llama.cpp's converter of schemas to grammars (grammars/README.md), which skips what it does not know or
# fails on it, and for tools what the server's own types keep of a schema (api/types.go): no references.
# Nothing limits the sizes but the length of a repetition (MAX_REPETITION_THRESHOLD).
_OLLAMA = Dialect(
    StrictRules(
        keywords=_KEYWORDS - {"multipleOf"} | {"minLength", "maxLength"},
        formats=frozenset(("date-time", "time", "date", "uuid")),
        properties=100_000,
        depth=100,
        characters=10_000_000,
        choices=100_000,
        optional=100_000,
        at_most=dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), 1_000),
        # without its anchors, look-around and flags, classes and other escapes of letters
        unheld_pattern=r"^(?!\^)|(?<!\$)$|\(\?(?!:)|\\[A-Za-z0-9]",
        inline=True,
    )
)

# The description of `response_json_schema` in google-genai 3.4; titles would only cost tokens.
_GEMINI = Dialect(
    known=KnownRules(
        keywords=_KEYWORDS - {"const", "pattern", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
        | {"prefixItems"},
        formats=frozenset(("date-time", "date", "time")),
        choices=frozenset(("string", "integer", "number")),
    )
)

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        "plain": Dialect(),
        "openai": _OPENAI,
        "openai-chat": _OPENAI,
        "anthropic": _ANTHROPIC,
        "ollama": _OLLAMA,
        "gemini": _GEMINI,
    }
)


def to_wire(schema: dict[str, Any], dialect: str) -> Wire:
    """*schema* as *dialect* wants it; *schema* itself is never changed, and must not be afterwards.

    Raises `ConfigurationError` for a dialect that does not exist.
    """
    rules = DIALECTS.get(dialect)
    if rules is None:
        raise ConfigurationError(f"no schema dialect {dialect!r}; there are {', '.join(sorted(DIALECTS))}")
    key = (id(schema), dialect)
    kept = _wires.get(key)
    if kept is not None:
        return kept[1]
    if len(_wires) >= _MOST_WIRES:
        _wires.clear()
    wire = _wire(schema, rules)
    _wires[key] = (schema, wire)
    return wire


# A schema is known by its identity, which is why it is held: while it is here no other can have it.
_wires: dict[tuple[int, str], tuple[dict[str, Any], Wire]] = {}
_MOST_WIRES = 10_000


def _wire(schema: dict[str, Any], rules: Dialect) -> Wire:
    if rules.known is not None:
        return Wire(known_form(schema, rules.known), strict=False)
    if rules.strict is None:
        return Wire(schema, strict=False)
    try:
        strict, restore = strict_form(schema, rules.strict)
    except NoStrictForm:
        return Wire(schema, strict=False)
    return Wire(strict, strict=True, restore=restore)
