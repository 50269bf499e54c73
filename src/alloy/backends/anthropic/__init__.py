"""Anthropic: the Messages API."""

PREFIXES = {"anthropic": ("claude-",)}
