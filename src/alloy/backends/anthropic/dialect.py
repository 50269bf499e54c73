"""What Anthropic's strict mode supports.

https://docs.claude.com/en/docs/build-with-claude/structured-outputs, "JSON Schema limitations" and "Schema
complexity limits"; the limits of size, which are not published, are OpenAI's.
"""

from __future__ import annotations

from alloy._typed.schemas.dialects import Dialect
from alloy._typed.schemas.rules import StrictRules

__all__ = ["DIALECT", "MAX_OPTIONAL", "MAX_STRICT_TOOLS", "MAX_UNIONS"]

# Over all strict schemas of one request together, the answer's included.
MAX_STRICT_TOOLS, MAX_OPTIONAL, MAX_UNIONS = 20, 24, 16

# fmt: off
DIALECT = Dialect(
    strict=StrictRules(
        constraints=frozenset(("pattern", "minItems")),
        formats=frozenset((
            "date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri",
        )),
        at_most={"minItems": 1},
        # look-around, back references, word boundaries and long counted repeats
        unsupported_pattern=r"\(\?(?!:)|\\[bB1-9]|\{\d{3}|,\d{3}",
        max_properties=5_000,
        max_depth=10,
        max_names=120_000,
        max_choices=1_000,
        large_enum=250,
        max_large_enum=15_000,
        max_optional=MAX_OPTIONAL,
        max_unions=MAX_UNIONS,
        recursion=False,
    )
)
# fmt: on
