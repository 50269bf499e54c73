"""Alloy: a model call that feels like a typed function call."""
