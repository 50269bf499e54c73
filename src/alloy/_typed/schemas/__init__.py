"""JSON Schema: references, dialects, strict forms, notation, coercion and samples. Knows no Python type."""
