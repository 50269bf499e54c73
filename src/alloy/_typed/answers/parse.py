"""Model text -> Python value, and a tool's return value -> text for the model.

Exact JSON is read in one pass. Only when that fails is noise removed that does not touch the data: see
`alloy._typed.json.extraction` for text around the answer and `alloy._typed.json.repair` for its syntax.
Nothing inside a string is changed, text that is cut off is an error, and so are two different candidates.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from alloy._typed.json.extraction import AROUND, NO_JSON, NOTHING, find
from alloy._typed.json.repair import CLOSING_QUOTES, Broken, Repairs, read_at
from alloy._typed.json.text import TOO_DEEP, Unreadable, check_text, decode, is_json, repeats_a_key
from alloy._typed.schemas.coercion import NAMES
from alloy._typed.schemas.refs import alternatives
from alloy._typed.types.async_parsers import parse_text
from alloy._typed.types.compile import WRAPPER, TypeSpec
from alloy.errors import EmptyAnswerError, ParseError

if TYPE_CHECKING:
    from alloy._typed.schemas.dialects import Wire
    from alloy._typed.schemas.restore import Restore
    from alloy._typed.types.validation import Validator

__all__ = ["dump", "read"]

T = TypeVar("T")

_TWICE = "a key given twice"
_BLANK = " \t\r\n\ufeff"
_WRAPPER_REPAIR = f'the wrapper {{"{WRAPPER}": …}}'


def read(spec: TypeSpec[T], text: str, wire: Wire | None = None, repairs: Repairs | None = None) -> T:
    """The value that *text*, a model's answer in the shape of *wire*, stands for.

    A `str` gets the text untouched, `None` ignores it. *repairs* gets what noise was removed. Keys that a
    dataclass, TypedDict or model does not know are judged by the type's own rule (pydantic's `extra`):
    without one they are left out, for models like to add a remark. Raises `EmptyAnswerError` when there
    is nothing to read, and `ParseError` with every problem and the whole text when it does not read.
    """
    validator = spec.validator
    if validator is None and spec.hook is not None:
        return cast("T", parse_text(spec.hook, text, spec.expected))
    if validator is None:
        return cast("T", text if spec.annotation is str else None)
    restore = None if wire is None else wire.restore
    noted: Repairs = {} if repairs is None else repairs
    if repairs is not None and repeats_a_key(text):
        repairs[_TWICE] = None
    try:
        if spec.wrapped and text.startswith("["):
            raise Unreadable("$: no wrapper")
        value = validator.read(text, restore)
        if spec.wrapped:
            noted[_WRAPPER_REPAIR] = None
    except Unreadable:
        value = _read_noisy(spec, validator, text, restore, noted)
    return cast("T", value[WRAPPER] if spec.wrapped else value)


def _read_noisy(
    spec: TypeSpec[Any], validator: Validator, text: str, restore: Restore | None, repairs: Repairs
) -> Any:
    if text.startswith("\ufeff"):
        repairs["a byte-order mark"] = None
    inner = text.strip(_BLANK)
    kinds = _scalar_kinds(validator) if spec.wrapped else None
    if spec.wrapped and restore is None and inner.startswith("[") and is_json(inner):
        try:  # as quick as with its wrapper
            return validator.read(f'{{"{WRAPPER}":{inner}}}')
        except Unreadable:
            pass  # the way below tells more
    try:
        value = _found(inner, spec, kinds, repairs)
        if value is not NOTHING:
            check_text(value)
            return (_take_wrapped if spec.wrapped else _take_object)(validator, value, restore, repairs)
    except Unreadable as error:
        raise ParseError(spec.expected, error.problems, text) from None
    except RecursionError:
        raise ParseError(spec.expected, (f"$: {TOO_DEEP}",), text) from None
    raise EmptyAnswerError(spec.expected, ("the model said nothing",), text)


def _found(inner: str, spec: TypeSpec[Any], kinds: list[Mapping[str, Any]] | None, repairs: Repairs) -> Any:
    """The one candidate in an answer: JSON, or for a wrapped type a scalar as it stands."""
    try:
        value = decode(inner)
    except Unreadable:
        pass
    else:
        if repeats_a_key(inner):
            repairs[_TWICE] = None
        return value
    scalar = None if kinds is None else partial(_scalar, kinds)
    for first in (_choice, _whole) if inner else ():
        value = first(inner, kinds or [], repairs)
        if value is not NOTHING:
            return value
    try:
        return find(inner, repairs, arrays=spec.wrapped and scalar is None, scalar=scalar)
    except Unreadable as missing:
        if inner[0] in "{[" and missing.problems == (NO_JSON,):
            _tell_fault(inner)
        raise


def _tell_fault(text: str) -> None:
    """Raise for what begins as JSON, though not as the type's: its fault is where it breaks off."""
    try:
        read_at(text, 0, {})
    except Broken as error:
        raise error.placed(text) from None


def _take_object(validator: Validator, value: Any, restore: Restore | None, repairs: Repairs) -> Any:
    if value == {} and AROUND in repairs and validator.schema.get("properties"):
        raise Unreadable("$: an empty object among other text is no answer")
    try:
        return validator.take(value, restore)
    except Unreadable as error:
        inner = value.get(WRAPPER) if isinstance(value, dict) and len(value) == 1 else None
        if not isinstance(inner, dict):
            raise
        own = WRAPPER in validator.schema.get("properties", ())
        try:
            taken = validator.take(inner, restore)
        except Unreadable as within:
            raise (error if own else within) from None
        repairs[_WRAPPER_REPAIR] = None
        return taken


def _take_wrapped(validator: Validator, value: Any, restore: Restore | None, repairs: Repairs) -> Any:
    if not isinstance(value, dict) or value.keys() != {WRAPPER}:
        return validator.take({WRAPPER: value}, restore)
    try:
        taken = validator.take(value, restore)
        repairs[_WRAPPER_REPAIR] = None
        return taken
    except Unreadable as error:
        try:  # not our wrapper but the type's own key of that name
            return validator.take({WRAPPER: value}, restore)
        except Unreadable:
            raise error from None


# --- scalars without quotes and wrapper ---------------------------------------------------------------


def _scalar_kinds(validator: Validator) -> list[Mapping[str, Any]] | None:
    """What the wrapped type may be, if none of it is an object or an array."""
    schema = validator.marked
    kinds = list(alternatives(schema["properties"][WRAPPER], schema.get("$defs", {})))
    scalar = all(kind and kind.get("type") not in ("object", "array") for kind in kinds)
    return kinds if scalar else None


def _scalar(kinds: list[Mapping[str, Any]], piece: str, repairs: Repairs) -> Any:
    """The scalar that *piece* is, or `NOTHING`."""
    readers: tuple[Callable[..., Any], ...] = (_choice, _exact, _whole, _python, _word)
    for reader in readers:
        value = reader(piece, kinds, repairs)
        if value is not NOTHING:
            return value
    return NOTHING


def _choice(piece: str, kinds: list[Mapping[str, Any]], _: Repairs) -> Any:
    """One of the type's choices, which may be several words."""
    there = any(piece in kind.get("enum", ()) or piece in kind.get(NAMES, ()) for kind in kinds)
    return piece if there or any(piece == kind.get("const", NOTHING) for kind in kinds) else NOTHING


def _exact(piece: str, _: list[Mapping[str, Any]], __: Repairs) -> Any:
    try:
        return decode(piece)
    except Unreadable:
        return NOTHING


def _whole(piece: str, _: list[Mapping[str, Any]], repairs: Repairs) -> Any:
    """What is written in quotes or as a tuple from the first character to the last."""
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


def _python(piece: str, kinds: list[Mapping[str, Any]], repairs: Repairs) -> Any:
    """Python's names for what the type can be and JSON writes otherwise."""
    literals = {"None": ("null", None), "True": ("boolean", True), "False": ("boolean", False)}
    wanted, value = literals.get(piece, ("", NOTHING))
    if not any(kind.get("type") == wanted for kind in kinds):
        return NOTHING
    repairs["Python notation"] = None
    return value


def _word(piece: str, _: list[Mapping[str, Any]], __: Repairs) -> Any:
    """One word. Several might be prose about the answer; brackets or quotes, JSON that is cut off."""
    marks = "{}[]`<>"
    quoted = piece[0] in CLOSING_QUOTES or piece[-1] in CLOSING_QUOTES
    return NOTHING if quoted or any(mark.isspace() or mark in marks for mark in piece) else piece


# --- values for the model -------------------------------------------------------------------------


def dump(value: Any) -> str:
    """*value*, which a tool returned, as text for the model.

    A `str` is itself, everything else compact JSON through pydantic; what has no JSON form is
    `str(value)`. The numbers that JSON does not know are the strings "NaN", "Infinity" and "-Infinity".
    """
    if isinstance(value, str):
        return _encodable(str.__str__(value))  # a StrEnum's value, not its name
    if value is None:
        return "null"
    if type(value) is int:
        return str(value)
    from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

    def shown(part: Any) -> str:
        if part is value:
            raise TypeError("nothing to be serialised")
        return str(part)

    try:
        try:
            return to_json(value, inf_nan_mode="strings", fallback=shown).decode()
        except PydanticSerializationError:  # a lone surrogate among it has a JSON form, but no UTF-8
            plain = to_jsonable_python(value, inf_nan_mode="strings", fallback=shown)
            return json.dumps(plain, separators=(",", ":"))
    except (PydanticSerializationError, TypeError, ValueError, RecursionError):
        return _encodable(str(value))


def _encodable(text: str) -> str:
    # A lone surrogate cannot be sent as UTF-8; it is shown instead as an escape.
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="backslashreplace").decode()
    return text
