"""The offline backend, and the values that it makes up."""

PREFIXES = {"fake": ("fake",)}
