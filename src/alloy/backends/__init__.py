"""The providers, a package each, and what a backend of another package is built from.

`Backend` is the protocol, `BaseBackend` its optional parts with their defaults. Nothing is imported before
it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from alloy._typed.schemas.dialects import Dialect
    from alloy._typed.schemas.rules import StrictRules
    from alloy._typed.schemas.subset import SubsetRules
    from alloy.backends.base import Accumulator, Backend, BaseBackend, CancelToken, Capabilities
    from alloy.backends.schemas import in_dialect

__all__ = [
    "Accumulator",
    "Backend",
    "BaseBackend",
    "CancelToken",
    "Capabilities",
    "Dialect",
    "StrictRules",
    "SubsetRules",
    "in_dialect",
]

_MODULES = {
    "Dialect": "alloy._typed.schemas.dialects",
    "StrictRules": "alloy._typed.schemas.rules",
    "SubsetRules": "alloy._typed.schemas.subset",
    "in_dialect": "alloy.backends.schemas",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'alloy.backends' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES.get(name, "alloy.backends.base")), name)
