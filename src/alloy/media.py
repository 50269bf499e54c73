"""Images and documents as plain data. `alloy.parts` has the classes that users make them with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

__all__ = ["Media", "media_note"]


@dataclass(frozen=True, slots=True)
class Media:
    """An image or a document: its bytes and their media type, or its URL. *kind* tells which it is."""

    data: bytes | None = field(default=None, repr=False)
    url: str | None = None
    media_type: str = ""
    name: str = ""

    kind: ClassVar[str] = "file"

    @property
    def described(self) -> str:
        """What it is, for who cannot see it: its kind, its name, and its type and size or its URL."""
        named = f"{self.kind} {self.name!r}" if self.name else self.kind
        size = f", {len(self.data):,} bytes" if self.data is not None else ""
        return f"{named}: {self.url or self.media_type}{size}"

    @property
    def base64(self) -> str:
        """The data in base64. Raises `ValueError` when there is only a URL."""
        from base64 import b64encode

        if self.data is None:
            raise ValueError(f"this {self.kind} has a URL, not data")
        return b64encode(self.data).decode("ascii")

    @property
    def data_url(self) -> str:
        """The URL, or the data as a `data:` URL (RFC 2397)."""
        return self.url or f"data:{self.media_type};base64,{self.base64}"


def media_note(media: Sequence[Media]) -> str:
    """What a tool's result says in the place of *media* that follow it."""
    kinds = " and ".join(f"{part.kind} ({part.name})" if part.name else part.kind for part in media)
    return f"[the next message has the {kinds}]"
