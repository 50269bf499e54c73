"""The offline backend, and its generated answers."""

PREFIXES = {"fake": ("fake",)}
