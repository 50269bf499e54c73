"""Alloy: a model call that feels like a typed function call.

Each name is loaded when it is first used, so `import alloy` costs next to nothing. Only the errors are
loaded at once, for the list of their names. The types are in `__init__.pyi`, which `stubtest` compares with
this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alloy import errors

if TYPE_CHECKING:
    from typing import Any

__version__ = "0.4.0"

_HOMES = {
    "alloy.asking": ("ask",),
    "alloy.backends.registry": ("register_backend",),
    "alloy.batch_status": ("BatchStatus",),
    "alloy.batches.batch": ("Batch",),
    "alloy.budgets": ("Budget",),
    "alloy.caches.cache": ("Cache", "CacheInfo"),
    "alloy.checkup": ("Checkup", "doctor"),
    "alloy.circuit_breakers": ("CircuitBreaker", "CircuitState"),
    "alloy.conversations": ("Conversation",),
    "alloy.commands": ("AsyncCommand", "Command", "command"),
    "alloy.config": ("Config", "configure", "use_config"),
    "alloy.contracts": ("ensure", "require"),
    "alloy.effects": ("handlers", "listen"),
    "alloy.endpoints": ("Transport",),
    "alloy.errors": tuple(errors.__all__),
    "alloy.maps.async_iterators": ("AsyncMap",),
    "alloy.maps.iterators": ("Map",),
    "alloy.maps.outcomes": ("MapSummary", "Outcome"),
    "alloy.messages": ("Spent", "ToolCall", "ToolResult", "Usage"),
    "alloy.partials": ("Partial",),
    "alloy.parts": ("CachePoint", "Document", "Image", "Message", "Prompt"),
    "alloy.parsing": ("Parsed", "parse", "register_parser"),
    "alloy.result": ("Result",),
    "alloy.streams": ("AsyncStream", "Stream"),
    "alloy.tools": ("Tool", "tool"),
    "alloy.usage": ("UsageTotal", "budget", "track_usage"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name: str) -> Any:
    """Load a public name from its module when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'alloy' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """All public names, loaded or not."""
    return sorted({*globals(), *_HOME})
