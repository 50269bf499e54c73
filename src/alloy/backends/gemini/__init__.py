"""Google Gemini: `generate_content`."""

PREFIXES = {"gemini": ("gemini-",)}
