"""What an Ollama server supports.

It is what llama.cpp's converter of schemas to grammars reads, which ignores other keywords or fails on
them: https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md. For tools it is
what the server's own types keep of a schema, which is without references:
https://github.com/ollama/ollama/blob/main/api/types.go
"""

from __future__ import annotations

from alloy._typed.schemas.dialects import Dialect
from alloy._typed.schemas.rules import StrictRules

__all__ = ["DIALECT"]

# fmt: off
DIALECT = Dialect(
    strict=StrictRules(
        constraints=frozenset((
            "pattern", "minLength", "maxLength", "minItems", "maxItems",
            "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
        )),
        formats=frozenset(("date-time", "time", "date", "uuid")),
        # a repetition in a grammar may not be longer: MAX_REPETITION_THRESHOLD in llama.cpp
        at_most=dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), 1_000),
        # a pattern without anchors, look-around, flags, classes and other escapes of letters
        unsupported_pattern=r"^(?!\^)|(?<!\$)$|\(\?(?!:)|\\[A-Za-z0-9]",
        max_depth=100,
        max_optional=None,
        inline=True,
    )
)
# fmt: on
