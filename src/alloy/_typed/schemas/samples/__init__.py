"""Values for JSON Schemas: what the offline backend answers with when no script answers for it."""

from alloy._typed.schemas.samples.values import sample

__all__ = ["sample"]
