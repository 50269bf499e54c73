"""What a prompt may hold beside text: images, documents, and what was said before.

A prompt function returns a `str`, or a list of `str`, `Image`, `Document` and `Message`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import ClassVar, Literal, Self

from alloy.errors import CommandError

__all__ = ["Document", "Image", "Message", "Part", "Prompt"]

# How files of each kind begin: https://mimesniff.spec.whatwg.org, and RFC 8118 for PDF.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)


@dataclass(frozen=True, slots=True)
class _Media:
    """Bytes with their media type, or the address of them."""

    data: bytes | None = field(default=None, repr=False)
    url: str | None = None
    media_type: str = ""
    name: str = ""

    kind: ClassVar[str] = "file"
    accepted: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def from_path(cls, path: str | PathLike[str], media_type: str | None = None) -> Self:
        """The file at *path*, read now. Raises `OSError`, and `CommandError` for another kind of file."""
        from pathlib import Path

        file = Path(path)
        return cls.from_bytes(file.read_bytes(), media_type, name=file.name)

    @classmethod
    def from_bytes(cls, data: bytes, media_type: str | None = None, *, name: str = "") -> Self:
        """*data*, whose first bytes tell its media type unless it is given.

        Raises `CommandError` when they do not, or when it is no such file.
        """
        found = media_type or _sniffed(data, name)
        if found not in cls.accepted:
            kinds = ", ".join(cls.accepted)
            raise CommandError(
                f"{cls.kind} {name or 'data'!r} is {found or 'of no known type'}, not one of {kinds}: "
                "convert it, or say media_type=… if the type is not recognised"
            )
        return cls(data=bytes(data), media_type=found, name=name)

    @classmethod
    def from_url(cls, url: str) -> Self:
        """What is at *url*, which the provider fetches. Raises `CommandError` unless it is http(s)."""
        if not url.startswith(("http://", "https://")):
            raise CommandError(f"{cls.__name__}.from_url takes an http(s) address, not {url[:80]!r}")
        return cls(url=url)

    @property
    def base64(self) -> str:
        """The data in base64. Raises `ValueError` when there is only an address."""
        from base64 import b64encode

        if self.data is None:
            raise ValueError(f"this {self.kind} is an address, not data")
        return b64encode(self.data).decode("ascii")

    @property
    def data_url(self) -> str:
        """The address, or the data as a `data:` URL (RFC 2397)."""
        return self.url or f"data:{self.media_type};base64,{self.base64}"


@dataclass(frozen=True, slots=True)
class Image(_Media):
    """A picture: PNG, JPEG, GIF or WebP. Made by `from_path`, `from_bytes` or `from_url`."""

    kind: ClassVar[str] = "image"
    accepted: ClassVar[tuple[str, ...]] = ("image/png", "image/jpeg", "image/gif", "image/webp")


@dataclass(frozen=True, slots=True)
class Document(_Media):
    """A PDF or a plain text file. Made by `from_path`, `from_bytes` or `from_url`."""

    kind: ClassVar[str] = "document"
    accepted: ClassVar[tuple[str, ...]] = ("application/pdf", "text/plain", "text/markdown", "text/csv")


Part = str | Image | Document


@dataclass(frozen=True, slots=True)
class Message:
    """Something that was said before: *role* `"user"` or `"assistant"`, and what.

    The assistant says text only. Raises `CommandError` for another role or content.
    """

    role: Literal["user", "assistant"]
    content: str | Sequence[Part]

    def __post_init__(self) -> None:
        if self.role not in ("user", "assistant"):
            raise CommandError(f"a Message's role is 'user' or 'assistant', not {self.role!r}")
        if self.role == "assistant" and not isinstance(self.content, str):
            raise CommandError("an assistant's Message holds one str")


Prompt = str | Sequence[str | Image | Document | Message]
"""What a prompt function may return, and what `ask` takes."""


def _sniffed(data: bytes, name: str) -> str:
    for start, kind in _SIGNATURES:
        if data.startswith(start):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    suffix = name.rpartition(".")[2].lower()
    return {"txt": "text/plain", "md": "text/markdown", "csv": "text/csv"}.get(suffix, "")
