"""Scalars that a model writes without quotes, or without the wrapper that the schema requires."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from alloy._typed.json.extraction import NOTHING
from alloy._typed.json.repair import CLOSING_QUOTES, Repairs, read_at
from alloy._typed.json.text import Unreadable, decode
from alloy._typed.schemas.coercion import DECIMAL, NAMES, fits
from alloy._typed.schemas.refs import Schema, alternatives
from alloy.jsontypes import Json

__all__ = ["Scalars", "quoted"]

_PYTHON = {"None": ("null", None), "True": ("boolean", True), "False": ("boolean", False)}


@dataclass(frozen=True, slots=True)
class Scalars:
    """Reads the scalars of a type that is neither an object nor an array; *kinds* are its alternatives."""

    kinds: Sequence[Schema]

    @staticmethod
    def of(schema: Schema, key: str) -> Scalars | None:
        """For the property *key* of *schema*; `None` if its value may be an object or an array."""
        kinds = list(alternatives(_as_number(schema["properties"][key]), schema.get("$defs", {})))
        scalar = all(kind and kind.get("type") not in ("object", "array") for kind in kinds)
        return Scalars(kinds) if scalar else None

    def read(self, piece: str, repairs: Repairs) -> Json:
        """The scalar in *piece*, or `NOTHING`."""
        if (value := self._exact(piece, repairs)) is not NOTHING:
            return value
        bare = piece
        for bare in () if any(map(_is_free_text, self.kinds)) else _barer(piece):
            repairs["marks around the value"] = None
            if (value := self._exact(bare, repairs)) is not NOTHING:
                return value
        return bare if _is_word(bare) else NOTHING

    def _exact(self, piece: str, repairs: Repairs) -> Json:
        """The value of *piece* as JSON, a choice, in quotes or in Python's notation, or `NOTHING`."""
        if self.is_choice(piece):
            return piece
        try:
            return decode(piece)
        except Unreadable:
            pass
        if (value := quoted(piece, repairs)) is not NOTHING:
            return value
        if (value := self._python_literal(piece)) is not NOTHING:
            repairs["Python notation"] = None
        return value

    def is_choice(self, piece: str) -> bool:
        """Whether *piece* is one of the choices of the type, which may be several words."""
        return any(_is_choice_of(kind, piece) for kind in self.kinds)

    def means_choice(self, piece: str, value: Json) -> bool:
        """Whether *piece* is a choice, and the JSON *value* that it also is, is none."""
        return self.is_choice(piece) and not any(fits(value, kind, {}) for kind in self.kinds)

    def _python_literal(self, piece: str) -> Json:
        """The value of `None`, `True` or `False`, if the type can be that."""
        wanted, value = _PYTHON.get(piece, ("", NOTHING))
        return value if any(kind.get("type") == wanted for kind in self.kinds) else NOTHING


def _is_choice_of(kind: Schema, piece: str) -> bool:
    listed = piece in kind.get("enum", ()) or piece in kind.get(NAMES, ())
    return bool(listed or piece == kind.get("const", NOTHING))


def _as_number(node: Schema) -> Schema:
    """*node* with Decimals as numbers: their second form, a string of digits, is no free text."""
    if DECIMAL in node:
        return {"type": "number"}
    return {**node, "anyOf": list(map(_as_number, node["anyOf"]))} if "anyOf" in node else node


def quoted(piece: str, repairs: Repairs) -> Json:
    """The value of *piece* if all of it is in quotes or is a tuple, or `NOTHING`."""
    if piece[0] not in CLOSING_QUOTES and piece[0] != "(":
        return NOTHING
    made: Repairs = {}
    try:
        value, end = read_at(piece, 0, made)
    except Unreadable:
        return NOTHING
    if end < len(piece):
        return NOTHING
    repairs.update(made)
    return value


_MARKS = ("**", "__", "*", "_", "`")


def _barer(piece: str) -> Iterator[str]:
    """*piece* with fewer and fewer marks of emphasis and code around it, and then without its full stop."""
    stopped = False
    while True:
        if (inner := _unmarked(piece)) == piece:
            inner = piece if stopped else piece.removesuffix(".")
            stopped = inner != piece
        if inner in ("", piece):
            return
        piece = inner
        yield piece


def _unmarked(text: str) -> str:
    for mark in _MARKS:
        if text.startswith(mark) and text.endswith(mark) and len(text) > 2 * len(mark):
            return text[len(mark) : -len(mark)]
    return text


def _is_free_text(kind: Schema) -> bool:
    """Whether any text is a value: then nothing may be taken away from it."""
    return kind.get("type") == "string" and not kind.keys() & {"enum", "const", "format"}


def _is_word(piece: str) -> bool:
    """Whether *piece* is one word. Several may be prose; with brackets or quotes it may be cut-off JSON."""
    marks = "{}[]`<>"
    in_quotes = piece[0] in CLOSING_QUOTES or piece[-1] in CLOSING_QUOTES
    return not in_quotes and not any(mark.isspace() or mark in marks for mark in piece)
