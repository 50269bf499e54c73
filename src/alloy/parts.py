"""What a prompt may hold besides text: images, documents, earlier messages, and cache points.

A prompt function returns a `str`, or a list of `str`, `Image`, `Document`, `Message` and `CachePoint`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import ClassVar, Literal, Self

from alloy.arguments import with_names_checked
from alloy.errors import CommandError
from alloy.media import Media

__all__ = ["CachePoint", "Document", "Image", "Message", "Part", "Prompt"]

# How files of each kind begin: https://mimesniff.spec.whatwg.org, and RFC 8118 for PDF.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)


# Other names of media types, as browsers, cameras and old software write them.
_ALIASES = {
    "image/jpg": "image/jpeg",
    "image/jpe": "image/jpeg",
    "image/jfif": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-jpeg": "image/jpeg",
    "image/x-jpg": "image/jpeg",
    "image/x-png": "image/png",
    "image/x-gif": "image/gif",
    "image/x-webp": "image/webp",
    "application/x-pdf": "application/pdf",
    "application/acrobat": "application/pdf",
    "text/pdf": "application/pdf",
    "text/x-pdf": "application/pdf",
    "text/x-markdown": "text/markdown",
    "text/md": "text/markdown",
    "application/csv": "text/csv",
    "text/x-csv": "text/csv",
    "text/comma-separated-values": "text/csv",
}


@dataclass(frozen=True, slots=True)
class _FromFile(Media):
    """Media that is read from files, bytes and URLs. *accepted* are the media types of the class."""

    accepted: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if not (isinstance(self.data, bytes) if self.url is None else isinstance(self.url, str)):
            raise CommandError(
                f"{type(self).__name__}(…) has neither data nor a URL: make it with from_path(), "
                "from_bytes() or from_url()"
            )

    @classmethod
    def from_path(cls, path: str | PathLike[str], media_type: str | None = None) -> Self:
        """The file at *path*, read now. Raises `OSError`, and `CommandError` for another kind of file."""
        from pathlib import Path

        if not isinstance(path, str | PathLike):
            raise CommandError(f"{cls.__name__}.from_path() takes a str or a Path, not {path!r:.80}")
        file = Path(path)
        return cls.from_bytes(file.read_bytes(), media_type, name=file.name)

    @classmethod
    def from_bytes(cls, data: bytes, media_type: str | None = None, *, name: str = "") -> Self:
        """*data*; its first bytes tell the media type unless *media_type* is given.

        That may have any case, parameters, and usual other names such as `image/jpg`.
        Raises `CommandError` for a media type that the class does not accept, or that is not recognised.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise CommandError(
                f"{cls.__name__}.from_bytes() takes bytes, not {data!r:.80}: from_path() reads a file"
            )
        data = bytes(data)
        found = _media_type(media_type) if media_type else _detected(data, name)
        if found not in cls.accepted:
            raise CommandError(
                f"the {cls.kind} {name or 'data'!r} is {found or 'of an unknown type'}, not one of "
                f"{', '.join(cls.accepted)}: convert it, or pass media_type=… if its type is not recognised"
            )
        # A file name that is not UTF-8 has lone surrogates (PEP 383), which no request can hold.
        return cls(data=data, media_type=found, name=name.encode(errors="backslashreplace").decode())

    @classmethod
    def from_url(cls, url: str) -> Self:
        """What is at *url*, which the provider fetches. Raises `CommandError` unless it is http(s)."""
        if not str(url).startswith(("http://", "https://")):
            raise CommandError(f"{cls.__name__}.from_url() takes an http(s) URL, not {url!r:.80}")
        return cls(url=str(url))


@dataclass(frozen=True, slots=True)
class Image(_FromFile):
    """A picture: PNG, JPEG, GIF or WebP. Made by `from_path`, `from_bytes` or `from_url`."""

    kind: ClassVar[str] = "image"
    accepted: ClassVar[tuple[str, ...]] = ("image/png", "image/jpeg", "image/gif", "image/webp")


@dataclass(frozen=True, slots=True)
class Document(_FromFile):
    """A PDF or a plain text file. Made by `from_path`, `from_bytes` or `from_url`."""

    kind: ClassVar[str] = "document"
    accepted: ClassVar[tuple[str, ...]] = ("application/pdf", "text/plain", "text/markdown", "text/csv")


@with_names_checked
@dataclass(frozen=True, slots=True)
class CachePoint:
    """The end of a part of the prompt that many calls have in common, such as a long document.

    What is before it, with the tools and the system prompt, is marked for the provider's prompt cache where
    the provider has such marks (Anthropic, and OpenAI from gpt-5.6 on); the others cache the beginning of a
    prompt without being asked. The setting `prompt_caching` says how long it is kept; `False` sends no marks.
    """


Part = str | Image | Document


@with_names_checked
@dataclass(frozen=True, slots=True)
class Message:
    """An earlier message: its *role*, `"user"` or `"assistant"`, and its *content*.

    The assistant's content is text only. Raises `CommandError` for another role or content.
    """

    role: Literal["user", "assistant"]
    content: str | Sequence[Part | CachePoint]

    def __post_init__(self) -> None:
        if self.role not in ("user", "assistant"):
            raise CommandError(f"the role of a Message is 'user' or 'assistant', not {self.role!r}")
        if self.role == "assistant" and not isinstance(self.content, str):
            raise CommandError("the content of an assistant's Message is one str")
        content: object = self.content
        if not isinstance(content, Sequence) or isinstance(content, bytes | bytearray | memoryview):
            raise CommandError(
                "the content of a user's Message is a str, or a list of str, Image, Document and CachePoint, "
                f"not {self.content!r:.80}"
            )


Prompt = str | Sequence[str | Image | Document | CachePoint | Message]
"""What a prompt function may return, and what `ask` takes."""


def _media_type(given: str) -> str:
    """*given* without case and parameters (RFC 9110, 8.3.1), by its registered name."""
    bare = given.partition(";")[0].strip().lower()
    return _ALIASES.get(bare, bare)


def _detected(data: bytes, name: str) -> str:
    for start, kind in _SIGNATURES:
        if data.startswith(start):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    suffix = name.rpartition(".")[2].lower()
    return {"txt": "text/plain", "md": "text/markdown", "csv": "text/csv"}.get(suffix, "")
