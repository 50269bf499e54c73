"""Generates valid values for JSON Schemas: the answers of the offline backend when there is no script."""

from alloy._typed.schemas.samples.values import sample

__all__ = ["sample"]
