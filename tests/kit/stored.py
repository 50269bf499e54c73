"""A cache for tests: scripted answers that may be stored, which those of the backend `fake` are not."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from alloy.backends.base import Capabilities
from alloy.backends.fake.backend import FakeBackend
from alloy.backends.registry import register_backend
from alloy.testing import Seen, replies

__all__ = ["script"]


class Scripted(FakeBackend):
    """The backend of scripts whose answers are stored."""

    is_scripted = False  # type: ignore[assignment]


for name in ("stored", "other"):
    register_backend(name, Scripted(name))
register_backend("weak", Scripted("weak", capabilities=Capabilities(tools=False)))


def script(*items: Any) -> AbstractContextManager[Seen]:
    """As `alloy.testing.replies`, for commands whose models are `stored:…`, `other:…` or `weak:…`."""
    return replies(*items, backend="stored")
