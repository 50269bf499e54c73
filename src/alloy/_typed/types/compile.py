"""Python type -> JSON Schema and validator, compiled once.

pydantic's `TypeAdapter` gives both for everything that Python can annotate. It is imported on first
use, so importing this module is cheap.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, ForwardRef, Generic, TypeVar

from alloy._typed.types.annotations import children, parts, path_name, type_name
from alloy._typed.types.parsers import Hook, generation
from alloy.errors import ConfigurationError
from alloy.functions import hints_of, namespace_of

if TYPE_CHECKING:
    from alloy._typed.types.validation import Validator

__all__ = ["TypeSpec", "compile_type", "type_name"]

T = TypeVar("T")
R = TypeVar("R")

WRAPPER = "value"  # the key under which a root that is no object travels


@dataclass(frozen=True, slots=True, eq=False)
class TypeSpec(Generic[T]):
    """A type, ready for use: *schema* shows it to a model, and `_typed.answers.parse.read` reads it back.

    *expected* is the type as a reader would write it. *schema* is plain JSON Schema (2020-12) whose
    root is an object, or `None` for plain text (`str`) and for no answer at all (`None`). *name*
    identifies it for providers. *wrapped* says that the root was no object and so is `{"value": …}`.
    *hook* makes the value of plain text, where a parser does.
    """

    annotation: Any
    expected: str
    schema: dict[str, Any] | None
    name: str
    wrapped: bool
    validator: Validator | None = field(default=None, repr=False)
    hook: Hook | None = field(default=None, repr=False)


_specs: dict[Any, TypeSpec[Any]] = {}


def compile_type(
    annotation: Any,
    namespace: Mapping[str, Any] | None = None,
    *,
    parser: Callable[[Any], Any] | None = None,
) -> TypeSpec[Any]:
    """The `TypeSpec` for *annotation*, from a cache where there is one.

    *namespace* holds names that annotations inside *annotation* use and their modules do not know
    (classes that are local to a function). *parser* makes the value instead of the type; it takes what
    its first parameter says, or the answer's text. Raises `ConfigurationError` for a type without a
    schema: it names the type, where in *annotation* it stands, and the cause.
    """
    if parser is not None:
        return _parsed(annotation, _output_hook(annotation, parser), namespace)
    try:
        # By type as well, for True == 1 and so Literal[True] == Literal[1] in a dict's eyes.
        key = (annotation, type_name(annotation), generation())
        found = _specs.get(key)
    except TypeError:  # unhashable, as Annotated[int, []] is
        return _compile(annotation, namespace)
    if found is None:
        # Only names and classes that are local to a function can mean *namespace*; they are not shared.
        local = bool(namespace) and any(_is_local(part) for _, part in parts(annotation, namespace))
        found = _compile(annotation, namespace if local else None)
        if not local:
            _forget_before(key[-1])
            _specs[key] = found
    return found


def _forget_before(current: int) -> None:
    """Drop what was compiled with other parsers than those of the generation *current*."""
    if _specs and next(reversed(_specs))[-1] != current:
        _specs.clear()


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
    return Hook(hints.get(named[0], str) if named else str, parse, output)


def _parsed(annotation: Any, hook: Hook, namespace: Mapping[str, Any] | None) -> TypeSpec[Any]:
    expected = type_name(annotation)
    if hook.wire is str:
        return TypeSpec(annotation, expected, None, "text", wrapped=False, hook=hook)
    made = _compile(Annotated[Any, hook], {**(namespace or {}), **namespace_of(hook.parse)})
    return replace(made, annotation=annotation, expected=expected, name=_identifier(expected))


def _is_local(part: Any) -> bool:
    return isinstance(part, str | ForwardRef) or "<locals>" in getattr(part, "__qualname__", "")


def _compile(annotation: Any, namespace: Mapping[str, Any] | None) -> TypeSpec[Any]:
    expected = type_name(annotation)
    if annotation is str:
        return TypeSpec(str, expected, None, "text", wrapped=False)
    if annotation is None or annotation is type(None):
        return TypeSpec(None, expected, None, "nothing", wrapped=False)
    wrapped, validator = _building(annotation, namespace, _build_object)
    return TypeSpec(annotation, expected, validator.schema, _identifier(expected), wrapped, validator)


def build_closed(name: str, fields: Mapping[str, Any], namespace: Mapping[str, Any] | None) -> Validator:
    """The validator of an object with *fields* and no other keys. Raises `ConfigurationError`.

    The types inside it keep their own manners towards keys that they do not know.
    """
    from typing_extensions import TypedDict

    def close(kind: Any, source: Any, handler: Any) -> Any:
        # Not by pydantic's `extra="forbid"`: nested dataclasses and TypedDicts would inherit that.
        schema = handler(source)
        handler.resolve_ref_schema(schema)["extra_behavior"] = "forbid"
        return schema

    made: Any = TypedDict(name, dict(fields))  # type: ignore[misc]
    setattr(made, "__get_pydantic_core_schema__", classmethod(close))  # noqa: B010 (pydantic's protocol)
    return build_validator(made, namespace)


def build_validator(annotation: Any, namespace: Mapping[str, Any] | None = None) -> Validator:
    """The schema and validator of *annotation*, root not wrapped. Raises `ConfigurationError`."""
    return _building(annotation, namespace, _build)


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

    # ValueError is pydantic_core's own, TypeError a constraint that does not suit the type.
    return (PydanticUserError, SchemaError, NameError, TypeError, ValueError, RecursionError)


def _build(annotation: Any, namespace: Mapping[str, Any] | None) -> Validator:
    from alloy._typed.types.core_schema import core_of
    from alloy._typed.types.validation import Validator

    return Validator(core_of(annotation, namespace))


def _build_object(annotation: Any, namespace: Mapping[str, Any] | None) -> tuple[bool, Validator]:
    """The validator of *annotation*, or of an object around it, and whether there is one."""
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
    if isinstance(error, NameError):
        return (
            f"{where} uses the name {error.name!r}, which its module does not know: define or import it there"
        )
    code = getattr(error, "code", None)
    if code in ("schema-for-unknown-type", "invalid-for-json-schema"):
        return (
            f"{where} has no JSON schema: say how it is read with register_parser({name}, wire=…, parse=…), "
            f"or use a dataclass, a TypedDict, a pydantic model or a built-in type in its place"
        )
    # pydantic's core says what it was building first, and what was wrong last.
    lines = [line.strip() for line in str(error).splitlines() if "For further information" not in line]
    said = lines[-1 if type(error).__name__ == "SchemaError" else 0]
    return f"{where} has no JSON schema: {said}"


def _full_name(culprit: Any) -> str:
    """The name, with its module where that says which class of another library is meant."""
    if not isinstance(culprit, type) or culprit.__module__ in ("builtins", "__main__"):
        return type_name(culprit)
    at_home = "<locals>" in culprit.__qualname__
    return culprit.__name__ if at_home else f"{culprit.__module__}.{culprit.__name__}"


def _identifier(text: str) -> str:
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")[:64]
    return safe if re.match(r"[A-Za-z_]", safe) else f"answer_{safe}"[:64]
