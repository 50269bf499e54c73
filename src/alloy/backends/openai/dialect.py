"""What OpenAI's strict mode supports.

https://platform.openai.com/docs/guides/structured-outputs, "Supported schemas"
"""

from __future__ import annotations

from alloy._typed.schemas.dialects import Dialect
from alloy._typed.schemas.rules import StrictRules

__all__ = ["DIALECT"]

# fmt: off
DIALECT = Dialect(
    strict=StrictRules(
        constraints=frozenset((
            "pattern", "minItems", "maxItems",
            "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
        )),
        formats=frozenset((
            "date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid",
        )),
        max_properties=5_000,
        max_depth=10,
        max_names=120_000,
        max_choices=1_000,
        large_enum=250,
        max_large_enum=15_000,
    )
)
# fmt: on
