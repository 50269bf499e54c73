"""What Gemini reads of a JSON Schema.

https://ai.google.dev/api/generate-content, `responseJsonSchema` of GenerationConfig (in google-genai 3.4 the
description of `response_json_schema`). Titles are supported too, and only cost tokens.
"""

from __future__ import annotations

from alloy._typed.schemas.dialects import Dialect
from alloy._typed.schemas.subset import SubsetRules

__all__ = ["DIALECT"]

DIALECT = Dialect(
    subset=SubsetRules(
        constraints=frozenset(("minItems", "maxItems", "minimum", "maximum")),
        formats=frozenset(("date-time", "date", "time")),
        choices=frozenset(("string", "integer", "number")),
    )
)
