"""Model text -> Python value, and a tool's return value -> text for the model.

Exact JSON is read in one pass. Only when that fails is harmless noise removed: a byte-order mark, a
code fence, prose around exactly one value, a missing wrapper. Nothing inside a string is changed,
text that is cut off is an error, and so are two different candidates.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from alloy.errors import EmptyAnswerError, ParseError
from alloy.typed.jsontext import NO_JSON, Unreadable, decode, only_value, without_fence
from alloy.typed.schema import WRAPPER, TypeSpec
from alloy.typed.settle import NAMES, alternatives

if TYPE_CHECKING:
    from alloy.typed.dialects import Wire
    from alloy.typed.restore import Restore
    from alloy.typed.validation import Validator

__all__ = ["dump", "read"]

T = TypeVar("T")


def read(spec: TypeSpec[T], text: str, wire: Wire | None = None) -> T:
    """The value that *text*, a model's answer in the shape of *wire*, stands for.

    A `str` gets the text untouched, `None` ignores it. Raises `EmptyAnswerError` when there is
    nothing to read, and `ParseError` with every problem and the whole text when it does not read.
    """
    validator = spec.validator
    if validator is None:
        return cast("T", text if spec.annotation is str else None)
    restore = None if wire is None else wire.restore
    try:
        value = validator.read(text, restore)
    except Unreadable:
        value = _read_noisy(spec, validator, text, restore)
    return cast("T", value[WRAPPER] if spec.wrapped else value)


def _read_noisy(spec: TypeSpec[Any], validator: Validator, text: str, restore: Restore | None) -> Any:
    inner = without_fence(text)
    if not inner:
        raise EmptyAnswerError(spec.expected, ("the model said nothing",), text)
    try:
        if spec.wrapped:
            return _take_wrapped(validator, _found(inner, validator), restore)
        try:
            value = decode(inner)
        except Unreadable as error:
            value = _among_prose(inner, error, arrays=False)
        return validator.take(value, restore)
    except Unreadable as error:
        raise ParseError(spec.expected, error.problems, text) from None
    except RecursionError:
        raise ParseError(spec.expected, ("$: nested too deeply",), text) from None


def _take_wrapped(validator: Validator, value: Any, restore: Restore | None) -> Any:
    if not isinstance(value, dict) or value.keys() != {WRAPPER}:
        return validator.take({WRAPPER: value}, restore)
    try:
        return validator.take(value, restore)
    except Unreadable as error:
        try:  # not our wrapper but the type's own key of that name
            return validator.take({WRAPPER: value}, restore)
        except Unreadable:
            raise error from None


def _found(text: str, validator: Validator) -> Any:
    """The one candidate in the answer *text* for a wrapped type: JSON, or a scalar as it stands."""
    schema = validator.marked
    kinds = list(alternatives(schema["properties"][WRAPPER], schema.get("$defs", {})))
    scalar = all(kind and kind.get("type") not in ("object", "array") for kind in kinds)
    try:
        return decode(text)
    except Unreadable as error:
        if scalar and _is_bare(text, kinds):
            return text
        return _among_prose(text, error, arrays=not scalar)


def _among_prose(text: str, error: Unreadable, *, arrays: bool) -> Any:
    try:
        return only_value(text, arrays=arrays)
    except Unreadable as missing:
        # What begins as JSON, though not as ours, has its fault where that breaks off.
        raise (error if text[0] in '{["' and missing.problems == (NO_JSON,) else missing) from None


def _is_bare(text: str, kinds: list[Mapping[str, Any]]) -> bool:
    """Whether *text* can be a scalar that the model wrote without quotes and wrapper.

    One word can; several only when they are one of the type's choices. Anything else might be prose
    about the answer, or the beginning of JSON that was cut off.
    """
    if not any(mark.isspace() or mark in '{}[]"`' for mark in text):
        return True
    return any(text in kind.get("enum", ()) or text in kind.get(NAMES, ()) for kind in kinds)


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
