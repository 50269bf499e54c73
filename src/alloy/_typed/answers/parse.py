"""Model text -> Python value, and a tool's return value -> text for the model.

Exact JSON is read in one pass. Only if that fails, text that is not data is removed: see
`alloy._typed.json.extraction` for text around the answer, and `alloy._typed.json.repair` for the syntax.
Nothing inside a string changes. Text that is cut off is an error, and so are two different candidates.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar, cast

from alloy._typed.answers.scalars import Scalars, quoted
from alloy._typed.json.extraction import AROUND, NO_JSON, NOTHING, find
from alloy._typed.json.repair import Broken, Repairs, read_at
from alloy._typed.json.text import TOO_DEEP, Unreadable, check_text, decode, is_json, repeats_a_key
from alloy._typed.types.async_parsers import parse_text
from alloy._typed.types.compile import WRAPPER, TypeSpec
from alloy.errors import EmptyAnswerError, ParseError
from alloy.jsontypes import Json

if TYPE_CHECKING:
    from alloy._typed.schemas.dialects import Wire
    from alloy._typed.types.validation import Validator

__all__ = ["candidate", "dump", "read"]

T = TypeVar("T")

_TWICE = "a key given twice"
_BLANK = " \t\r\n\ufeff"
_WRAPPER_REPAIR = f'the wrapper {{"{WRAPPER}": …}}'


def read(spec: TypeSpec[T], text: str, wire: Wire | None = None, repairs: Repairs | None = None) -> T:
    """The value in *text*, the answer of a model in the form of *wire*.

    The value of a `str` is the whole text, and that of `None` ignores it. *repairs* receives what was
    repaired. Unknown keys of a dataclass, TypedDict or model follow the rule of the type (pydantic's
    `extra`); without a rule they are left out, because models tend to add remarks. Raises
    `EmptyAnswerError` if the text is empty, and `ParseError` with all problems and the whole text.
    """
    validator = spec.validator
    if validator is None and spec.hook is not None:
        return cast("T", parse_text(spec.hook, text, spec.expected))
    if validator is None:
        return cast("T", text if spec.annotation is str else None)
    noted: Repairs = {} if repairs is None else repairs
    if repairs is not None and repeats_a_key(text):
        repairs[_TWICE] = None
    try:
        if spec.wrapped and text.startswith("["):
            raise Unreadable("$: no wrapper")
        value = validator.read(text, wire)
        if spec.wrapped:
            noted[_WRAPPER_REPAIR] = None
    except Unreadable:
        value = _read_repaired(spec, validator, text, wire, noted)
    return cast("T", value[WRAPPER] if spec.wrapped else value)


def _read_repaired(
    spec: TypeSpec[Any], validator: Validator, text: str, wire: Wire | None, repairs: Repairs
) -> Any:
    """The value in *text* that is not exactly what the type requires."""
    if text.startswith("\ufeff"):
        repairs["a byte-order mark"] = None
    inner = text.strip(_BLANK)
    if spec.wrapped and (wire is None or wire.restore is None) and inner.startswith("[") and is_json(inner):
        try:  # without decoding it
            return validator.read(f'{{"{WRAPPER}":{inner}}}')
        except Unreadable:
            pass  # below, the problems are reported
    try:
        value = candidate(spec, inner, repairs)
        if value is not NOTHING:
            check_text(value)
            return (_take_wrapped if spec.wrapped else _take_object)(validator, value, wire, repairs)
    except Unreadable as error:
        raise ParseError(spec.expected, error.problems, text) from None
    except RecursionError:
        raise ParseError(spec.expected, (f"$: {TOO_DEEP}",), text) from None
    raise EmptyAnswerError(spec.expected, ("the answer is empty",), text)


def candidate(spec: TypeSpec[Any], text: str, repairs: Repairs) -> Json:
    """The only candidate in an answer: JSON, or for a wrapped type a scalar without quotes or wrapper.

    `NOTHING` for a text without content. Raises `Unreadable`.
    """
    assert spec.validator is not None
    inner = text.strip(_BLANK)
    scalars = Scalars.of(spec.validator.marked, WRAPPER) if spec.wrapped else None
    try:
        value = decode(inner)
    except Unreadable:
        pass
    else:
        if repeats_a_key(inner):
            repairs[_TWICE] = None
        return inner if scalars is not None and scalars.means_choice(inner, value) else value
    if inner and scalars is not None and scalars.is_choice(inner):
        return inner
    if inner and (value := quoted(inner, repairs)) is not NOTHING:
        return value
    scalar = None if scalars is None else scalars.read
    try:
        return find(inner, repairs, arrays=spec.wrapped and scalar is None, scalar=scalar)
    except Unreadable as missing:
        if inner[0] in "{[" and missing.problems == (NO_JSON,):
            _raise_syntax_error(inner)
        raise


def _raise_syntax_error(text: str) -> None:
    """Raise the error of text that begins as JSON, although the type requires other JSON: where it ends."""
    try:
        read_at(text, 0, {})
    except Broken as error:
        raise error.placed(text) from None


def _take_object(validator: Validator, value: Json, wire: Wire | None, repairs: Repairs) -> Any:
    if value == {} and AROUND in repairs and validator.schema.get("properties"):
        raise Unreadable("$: an empty object inside other text is not an answer")
    try:
        return validator.take(value, wire)
    except Unreadable as error:
        inner = value.get(WRAPPER) if isinstance(value, dict) and len(value) == 1 else None
        if not isinstance(inner, dict):
            raise
        own = WRAPPER in validator.schema.get("properties", ())
        try:
            taken = validator.take(inner, wire)
        except Unreadable as within:
            raise (error if own else within) from None
        repairs[_WRAPPER_REPAIR] = None
        return taken


def _take_wrapped(validator: Validator, value: Json, wire: Wire | None, repairs: Repairs) -> Any:
    if not isinstance(value, dict) or value.keys() != {WRAPPER}:
        return validator.take({WRAPPER: value}, wire)
    try:
        taken = validator.take(value, wire)
        repairs[_WRAPPER_REPAIR] = None
        return taken
    except Unreadable as error:
        try:  # the key may belong to the type and not to the wrapper
            return validator.take({WRAPPER: value}, wire)
        except Unreadable:
            raise error from None


# --- values for the model -------------------------------------------------------------------------


def dump(value: Any, *, as_text: bool = True) -> str:
    """*value*, which a tool returned, as text for the model.

    A `str` stays as it is. Everything else becomes compact JSON through pydantic, and what JSON cannot hold
    becomes `str(value)`, or raises `ValueError` without *as_text*. NaN and the infinities become the strings
    "NaN", "Infinity" and "-Infinity".
    """
    if isinstance(value, str):
        return _encodable(str.__str__(value))  # a StrEnum's value, not its name
    if value is None:
        return "null"
    if type(value) is int:
        return str(value)
    from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

    def shown(part: Any) -> str:
        if part is value or not as_text:
            raise TypeError(f"JSON has no form of {type(part).__name__}")
        return str(part)

    try:
        try:
            return to_json(value, inf_nan_mode="strings", fallback=shown).decode()
        except PydanticSerializationError:  # JSON can escape a lone surrogate, but UTF-8 cannot hold it
            plain = to_jsonable_python(value, inf_nan_mode="strings", fallback=shown)
            return json.dumps(plain, separators=(",", ":"))
    except (PydanticSerializationError, TypeError, ValueError, RecursionError) as error:
        if as_text:
            return _encodable(str(value))
        raise ValueError(str(error)) from error


def _encodable(text: str) -> str:
    # UTF-8 cannot hold a lone surrogate, so the model is shown its escape.
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="backslashreplace").decode()
    return text
