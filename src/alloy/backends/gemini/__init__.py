"""Google Gemini: `generate_content`."""
