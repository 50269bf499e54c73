"""Python type -> JSON Schema and validator, compiled once per type.

pydantic builds both. It is imported on first use, so importing this module is cheap.
"""

from __future__ import annotations

import inspect
import re
from collections import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, ForwardRef, Generic, TypeVar, get_origin

from alloy._typed.types.annotations import children, parts, path_name, type_name
from alloy._typed.types.expressions import check_is_type
from alloy._typed.types.parsers import Hook, generation
from alloy._typed.types.records import close
from alloy.errors import ConfigurationError
from alloy.functions import hints_of, namespace_of
from alloy.jsontypes import JsonObject

if TYPE_CHECKING:
    from alloy._typed.types.validation import Validator

__all__ = ["TypeSpec", "compile_type", "type_name"]

T = TypeVar("T")
R = TypeVar("R")

WRAPPER = "value"  # the key of a root value that is not an object


@dataclass(frozen=True, slots=True, eq=False)
class TypeSpec(Generic[T]):
    """A compiled type: *schema* is shown to a model, and `_typed.answers.parse.read` reads its answer.

    *expected* is the type as a reader would write it. *schema* is plain JSON Schema (2020-12) whose root is
    an object, or `None` for plain text (`str`) and for no answer at all (`None`). *name* identifies it for
    providers. *wrapped* is true if the root is not an object, so that an answer is `{"value": …}`. *hook*
    is the parser of plain text, if there is one.
    """

    annotation: Any
    expected: str
    schema: JsonObject | None
    name: str
    wrapped: bool
    validator: Validator | None = field(default=None, repr=False)
    hook: Hook | None = field(default=None, repr=False)


class _Slot:
    """Where the cache keeps what one type compiles to, once it is known."""

    __slots__ = ("spec",)

    def __init__(self) -> None:
        self.spec: TypeSpec[Any] | None = None


@lru_cache(maxsize=256)
def _slot(annotation: Any, name: str, generation: int) -> _Slot:
    """The slot of *annotation*. Programs may build classes without end, so only the last used are kept.

    `lru_cache` needs no lock of ours, and two threads that compile one type at once store equal results.
    *name* is there because True == 1 and so Literal[True] == Literal[1], and *generation* because the
    registered parsers are a part of what is compiled.
    """
    return _Slot()


def compile_type(
    annotation: Any,
    namespace: Mapping[str, Any] | None = None,
    *,
    parser: Callable[[Any], Any] | None = None,
) -> TypeSpec[Any]:
    """The `TypeSpec` for *annotation*, from the cache if it is there.

    *namespace* holds names that annotations inside *annotation* use and their modules do not define
    (classes that are local to a function). *parser* returns the value instead of the type: it takes the
    type of its first parameter, or the text of the answer. Raises `ConfigurationError` for a type without a
    schema, with the type, its place in *annotation* and the cause.
    """
    if parser is not None:
        return _parsed(annotation, _output_hook(annotation, parser), namespace)
    try:
        slot = _slot(annotation, type_name(annotation), generation())
    except TypeError:  # unhashable, as Annotated[int, []] is
        return _compile(annotation, namespace)
    if slot.spec is not None:
        return slot.spec
    # Only text and classes that are local to a function can use *namespace*; they are not cached.
    if namespace and any(map(_is_local, parts(annotation, namespace))):
        return _compile(annotation, namespace)
    slot.spec = found = _compile(annotation, None)
    return found


def _output_hook(output: Any, parse: Callable[[Any], Any]) -> Hook:
    """The hook for `@command(output=…, parser=…)`: the wire type is that of *parse*'s first parameter.

    A parameter without a type gets the text of the answer. Raises `ConfigurationError`.
    """
    if not callable(parse):
        raise ConfigurationError(f"parser must be a function, not {parse!r}")
    function = parse if inspect.isroutine(parse) or isinstance(parse, type) else type(parse).__call__
    try:
        named = list(inspect.signature(parse).parameters)[:1]
        hints = {} if isinstance(function, type) else hints_of(function, namespace_of(function))
    except (NameError, TypeError, ValueError):  # written in C, or with names that are not known
        named, hints = [], {}
    wire = hints.get(named[0], str) if named else str
    check_is_type(wire, "the type hint of the parser's parameter")
    return Hook(wire, parse, output)


def _parsed(annotation: Any, hook: Hook, namespace: Mapping[str, Any] | None) -> TypeSpec[Any]:
    expected = type_name(annotation)
    if hook.wire is str:
        return TypeSpec(annotation, expected, None, "text", wrapped=False, hook=hook)
    made = _compile(Annotated[Any, hook], {**(namespace or {}), **namespace_of(hook.parse)})
    return replace(made, annotation=annotation, expected=expected, name=_identifier(expected))


def _is_local(part: Any) -> bool:
    return isinstance(part, str | ForwardRef) or "<locals>" in getattr(part, "__qualname__", "")


def _compile(annotation: Any, namespace: Mapping[str, Any] | None) -> TypeSpec[Any]:
    check_is_type(annotation, "an answer's type")
    expected = type_name(annotation)
    if annotation is str:
        return TypeSpec(str, expected, None, "text", wrapped=False)
    if annotation is None or annotation is type(None):
        return TypeSpec(None, expected, None, "nothing", wrapped=False)
    wrapped, validator = _building(annotation, namespace, _build_object)
    return TypeSpec(annotation, expected, validator.schema, _identifier(expected), wrapped, validator)


def build_closed(name: str, fields: Mapping[str, Any], namespace: Mapping[str, Any] | None) -> Validator:
    """The validator of an object with *fields* and no other keys. Raises `ConfigurationError`.

    The types inside it keep their own rule for unknown keys.
    """
    from typing_extensions import TypedDict

    made: Any = TypedDict(name, dict(fields))  # type: ignore[misc]
    close(made)
    return _building(made, namespace, _build)


def _building(
    annotation: Any,
    namespace: Mapping[str, Any] | None,
    build: Callable[[Any, Mapping[str, Any] | None], R],
) -> R:
    try:
        return build(annotation, namespace)
    except _refusals() as error:
        path, culprit = _culprit(annotation, namespace)
        raise ConfigurationError(_refusal(path, culprit, error)) from error


def _refusals() -> tuple[type[Exception], ...]:
    from pydantic.errors import PydanticUserError
    from pydantic_core import SchemaError

    # ValueError comes from pydantic_core, TypeError from a constraint that the type cannot have.
    return (PydanticUserError, SchemaError, NameError, TypeError, ValueError, RecursionError)


def _build(annotation: Any, namespace: Mapping[str, Any] | None) -> Validator:
    from alloy._typed.types.core_schema import core_of
    from alloy._typed.types.validation import Validator

    return Validator(core_of(annotation, namespace))


def _build_object(annotation: Any, namespace: Mapping[str, Any] | None) -> tuple[bool, Validator]:
    """Whether *annotation* has to be wrapped in an object, and the validator for it."""
    from alloy._typed.types.core_schema import core_of
    from alloy._typed.types.validation import Validator, marked_schema

    core = core_of(annotation, namespace)
    marked = marked_schema(core)
    if marked.get("type") == "object":
        return False, Validator(core, marked)
    return True, Validator(core.wrapped("Answer", WRAPPER))


def _culprit(annotation: Any, namespace: Mapping[str, Any] | None) -> tuple[str, Any]:
    """The innermost part of *annotation* that fails by itself, and where it stands.

    From a part that fails the search goes on to the first of its children that fails.
    """
    path, part = path_name(annotation), annotation
    seen = [part]
    while True:
        inside = [(step, child) for step, child in children(part, namespace) if child not in seen]
        failing = next(((step, child) for step, child in inside if _fails(child, namespace)), None)
        if failing is None:
            return path, part
        path, part = path + failing[0], failing[1]
        seen.append(part)


def _fails(annotation: Any, namespace: Mapping[str, Any] | None) -> bool:
    try:
        _build(annotation, namespace)
    except _refusals():
        return True
    return False


def _refusal(path: str, culprit: Any, error: Exception) -> str:
    name = type_name(culprit)
    where = path if path == name else f"{path}: {_full_name(culprit)}"
    if isinstance(error, NameError) and isinstance(culprit, str | ForwardRef):
        return f"the name {error.name!r} in the text {name!r} is not known here: write the type itself"
    if isinstance(error, NameError):
        return (
            f"{where} uses the name {error.name!r}, which is not defined in its module: "
            f"define or import it there"
        )
    if (get_origin(culprit) or culprit) is abc.Callable:
        return (
            f"{where} has no JSON schema, because a model cannot give a function: use the type of the data "
            f"that is needed, or register a parser with register_parser({name}, wire=…, parse=…)"
        )
    code = getattr(error, "code", None)
    if code in ("schema-for-unknown-type", "invalid-for-json-schema"):
        return (
            f"{where} has no JSON schema: register a parser with register_parser({name}, wire=…, parse=…), "
            f"or use a dataclass, a TypedDict, a pydantic model or a built-in type instead"
        )
    # pydantic_core begins with what it was building, and ends with the cause.
    lines = [line.strip() for line in str(error).splitlines() if "For further information" not in line]
    cause = lines[-1 if type(error).__name__ == "SchemaError" else 0]
    return f"{where} has no JSON schema: {cause}"


def _full_name(culprit: Any) -> str:
    """The name of a class with its module, because several libraries may have a class of that name."""
    if not isinstance(culprit, type) or culprit.__module__ in ("builtins", "__main__"):
        return type_name(culprit)
    local = "<locals>" in culprit.__qualname__
    return culprit.__name__ if local else f"{culprit.__module__}.{culprit.__name__}"


def _identifier(text: str) -> str:
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")[:64]
    return safe if re.match(r"[A-Za-z_]", safe) else f"answer_{safe}"[:64]
