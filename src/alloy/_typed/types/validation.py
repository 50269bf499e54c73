"""The schema and the validator of one type, and the one place that decides how strict reading is.

pydantic validates JSON text in *strict* mode: a number is not a boolean, a boolean is not a number, and a
string is neither. What strict mode refuses is validated once more after `coerce`, which makes the few
conversions that cannot be misunderstood. What strict mode accepts too easily is refused by guards
(`alloy._typed.types.guards`), or coerced before the first validation (the nearest float for a Decimal, NaN).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema

from alloy._typed.json.text import Unreadable, decode, encode, path_step, repeats_a_key
from alloy._typed.json.values import same
from alloy._typed.schemas.coercion import DECIMAL, FIELDS, NAMES, STRICT, coerce
from alloy._typed.schemas.refs import definition_name, mapped, nodes
from alloy._typed.types.async_parsers import restart
from alloy._typed.types.core_schema import Core
from alloy._typed.types.defaults import as_answered
from alloy.jsontypes import Json, JsonObject

if TYPE_CHECKING:
    from pydantic_core import core_schema

    from alloy._typed.schemas.dialects import Wire

__all__ = ["Validator", "marked_schema"]

# Strict validation reads these as an infinity or refuses them as numbers, so such text is decoded first.
_LARGE = re.compile(r"\d(?:[eE]\+?\d{3}|(?<!\d\d)\d{308})")


# Errors of pydantic, or of a class of the standard library that it calls, that are about the value.
_BAD_VALUES = ("Unable to apply constraint", "argument should be a string or a Rational")


def _suspect(text: str) -> bool:
    return "NaN" in text or "Infinity" in text or _LARGE.search(text) is not None


class Validator:
    """Reads JSON text as one type.

    *schema* is the plain JSON Schema of the type, *marked* the same with the marks that `coerce` reads.
    *core* is what it was built from.
    """

    __slots__ = ("_careful", "_validate_json", "core", "marked", "schema")

    def __init__(self, core: Core, marked: JsonObject | None = None) -> None:
        self.core = core
        self.marked = marked_schema(core) if marked is None else marked
        self._careful = _needs_care(self.marked)
        self._validate_json = core.validator().validate_json
        self.schema: JsonObject = _without_marks(self.marked)

    def read(self, text: str, wire: Wire | None = None) -> Any:
        """The value in *text*, which is JSON in the form of *wire* and nothing else. Raises `Unreadable`."""
        if (
            (wire is None or wire.restore is None)
            and not self._careful
            and not _suspect(text)
            and not repeats_a_key(text)
        ):
            try:
                return self._validate(text)
            except (ValidationError, UnicodeEncodeError):
                pass  # below, the value is coerced or its problems are reported
        return self.take(decode(text), wire)

    def take(self, value: Json, wire: Wire | None = None) -> Any:
        """As `read`, for decoded JSON."""
        if wire is None or wire.restore is None:
            return self._take(value)
        try:
            return self._take(wire.restore(value))
        except Unreadable:
            # An object may be given as text, and what is inside of it was not restored.
            if (again := self._coerced(value, wire)) is None:
                raise
            return self._take(wire.restore(again))

    @staticmethod
    def _coerced(value: Json, wire: Wire) -> Json:
        """*value* coerced in the form of *wire*; `None` if nothing changes."""
        try:
            again = coerce(value, wire.schema)
            return None if same(again, value) else again
        except RecursionError:
            return None

    def _take(self, value: Json) -> Any:
        try:
            if not self._careful:
                try:
                    return self._validate(encode(value))
                except ValidationError:
                    pass  # below, it is validated once more after coercion
            return self._validate(encode(coerce(value, self.marked)))
        except RecursionError:
            raise Unreadable("$: nested too deeply") from None
        except ValidationError as error:
            raise Unreadable(*_problems(error, value)) from None

    def _validate(self, text: str) -> Any:
        restart()
        try:
            return self._validate_json(text, strict=True)
        except TypeError as error:
            if not str(error).startswith(_BAD_VALUES):
                raise  # the user's own code
            raise Unreadable(f"$: {error}") from None


# The types whose values `coerce` converts. A Decimal keeps the digits that were written.
_SCALARS = ("int", "float", "bool", "literal", "enum", "definition-ref")
_CONVERTED = frozenset((*_SCALARS, "list", "tuple", "set", "frozenset", "dict"))


class _Generator(GenerateJsonSchema):
    """pydantic's schemas without generated field titles, and with the marks that `coerce` reads."""

    _strict = False  # whether the type that is generated now, or the class around it, is strict

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Nothing: a default that JSON cannot hold is left out of the schema, and Python still uses it."""

    def encode_default(self, dft: Any) -> Any:
        return super().encode_default(as_answered(dft))

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonObject:
        made = super().enum_schema(schema)
        names = dict(
            zip((m.name for m in schema["members"]), made.get("enum", [made.get("const")]), strict=False)
        )
        return {**made, NAMES: names}

    def generate_inner(self, schema: Any) -> JsonObject:
        outer, config = self._strict, schema.get("config") or {}
        self._strict = schema.get("strict", config.get("strict", outer))
        try:
            made = super().generate_inner(schema)
            strict = self._strict and schema["type"] in _CONVERTED
            return {**made, STRICT: True} if strict else made
        finally:
            self._strict = outer

    def dataclass_args_schema(self, schema: core_schema.DataclassArgsSchema) -> JsonObject:
        taken = [field for field in schema["fields"] if field.get("init", True)]
        return super().dataclass_args_schema({**schema, "fields": taken})

    def named_tuple_schema(self, schema: Any) -> JsonObject:
        return {**super().named_tuple_schema(schema), FIELDS: [field["name"] for field in schema["fields"]]}

    def p_arguments_schema(self, arguments: Any, var_args_schema: Any) -> JsonObject:
        made = super().p_arguments_schema(arguments, var_args_schema)
        return {**made, FIELDS: [argument["name"] for argument in arguments]}

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonObject:
        return {**super().decimal_schema(schema), DECIMAL: True}


def marked_schema(core: Core) -> JsonObject:
    """The JSON Schema of *core*, with the marks that `settle` reads."""
    return _with_inline_root(_Generator().generate(core.schema, "validation"))


def _with_inline_root(schema: JsonObject) -> JsonObject:
    # The root of a recursive type is only a `$ref`, and providers require an object there.
    while (reference := schema.get("$ref")) is not None:
        target = schema["$defs"][definition_name(reference)]
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema


def _needs_care(schema: JsonObject) -> bool:
    return any(map(_is_lax, nodes(schema, definitions=True)))


def _is_lax(node: Mapping[str, Any]) -> bool:
    choices = [*node.get("enum", ()), node.get("const")]
    return DECIMAL in node or any(isinstance(choice, int | float) for choice in choices)


def _without_marks(schema: Json) -> Json:
    copy = mapped(schema, _without_marks)
    if isinstance(copy, dict):
        for mark in (NAMES, DECIMAL, STRICT, FIELDS):
            copy.pop(mark, None)
    return copy


# --- problems -------------------------------------------------------------------------------------


def _problems(error: ValidationError, value: Json) -> list[str]:
    return list(dict.fromkeys(_problem(detail, value) for detail in error.errors(include_url=False)))


def _problem(detail: Any, value: Json) -> str:
    path, found, missing = _located(detail["loc"], value, missing=detail["type"] == "missing")
    message: str = detail["msg"]
    if missing:
        return f"{path}: required, but missing"
    if detail["type"] == "json_invalid":
        return f"$: {message}"
    if message.startswith("Input should be "):
        wanted = message.removeprefix("Input should be ").replace("a valid ", "a ", 1)
        article = "an " if wanted.startswith("a ") and wanted[2:3] in "aeio" else ""
        message = "expected " + (article + wanted[2:] if article else wanted)
    return f"{path}: {message}, got {_shown(found)}"


def _located(loc: tuple[int | str, ...], value: Json, *, missing: bool) -> tuple[str, Json, bool]:
    """The path of *loc*, what is there in *value*, and whether the last step is a *missing* key."""
    # pydantic also puts the names of union members into a location: they are not in the value.
    path, last = "$", len(loc) - 1
    for position, step in enumerate(loc):
        if isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
            path, value = f"{path}[{step}]", value[step]
        elif isinstance(value, dict) and isinstance(step, str) and step in value:
            path, value = path + path_step(step), value[step]
        elif missing and position == last:
            path += f"[{step}]" if isinstance(step, int) else path_step(step)
    return path, value, missing


def _shown(value: Json) -> str:
    try:
        text = encode(value)
    except RecursionError:
        return "something nested too deeply"
    return text if len(text) <= 80 else text[:80] + "…"
