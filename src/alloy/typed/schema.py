"""Python type -> JSON Schema and validator, compiled once.

pydantic's `TypeAdapter` gives both for everything that Python can annotate. It is imported on first
use, so importing this module is cheap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ForwardRef, Generic, TypeVar

from alloy.errors import ConfigurationError
from alloy.typed.annotations import accepted_typed_dicts, parts, type_name

if TYPE_CHECKING:
    from alloy.typed.validation import Validator

__all__ = ["TypeSpec", "compile_type", "type_name"]

T = TypeVar("T")

WRAPPER = "value"  # the key under which a root that is no object travels


@dataclass(frozen=True, slots=True, eq=False)
class TypeSpec(Generic[T]):
    """A type, ready for use: *schema* shows it to a model, and `alloy.typed.parse.read` reads it back.

    *expected* is the type as a reader would write it. *schema* is plain JSON Schema (2020-12) whose
    root is an object, or `None` for plain text (`str`) and for no answer at all (`None`). *name*
    identifies it for providers. *wrapped* says that the root was no object and so is `{"value": …}`.
    """

    annotation: Any
    expected: str
    schema: dict[str, Any] | None
    name: str
    wrapped: bool
    validator: Validator | None = field(default=None, repr=False)


_specs: dict[Any, TypeSpec[Any]] = {}


def compile_type(annotation: Any, namespace: Mapping[str, Any] | None = None) -> TypeSpec[Any]:
    """The `TypeSpec` for *annotation*, from a cache where there is one.

    *namespace* holds names that annotations inside *annotation* use and their modules do not know
    (classes that are local to a function). Raises `ConfigurationError` for a type without a
    schema: it names the type, where in *annotation* it stands, and the cause.
    """
    try:
        # By type as well, for True == 1 and so Literal[True] == Literal[1] in a dict's eyes.
        key = (annotation, type_name(annotation))
        found = _specs.get(key)
    except TypeError:  # unhashable, as Annotated[int, []] is
        return _compile(annotation, namespace)
    if found is None:
        # Only names and classes that are local to a function can mean *namespace*; they are not shared.
        local = bool(namespace) and any(_is_local(part) for _, part in parts(annotation, namespace))
        found = _compile(annotation, namespace if local else None)
        if not local:
            _specs[key] = found
    return found


def _is_local(part: Any) -> bool:
    return isinstance(part, str | ForwardRef) or "<locals>" in getattr(part, "__qualname__", "")


def _compile(annotation: Any, namespace: Mapping[str, Any] | None) -> TypeSpec[Any]:
    expected = type_name(annotation)
    if annotation is str:
        return TypeSpec(str, expected, None, "text", wrapped=False)
    if annotation is None or annotation is type(None):
        return TypeSpec(None, expected, None, "nothing", wrapped=False)
    validator = build_validator(annotation, namespace)
    wrapped = validator.schema.get("type") != "object"
    if wrapped:
        validator = build_closed("Answer", {WRAPPER: annotation}, namespace)
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
    validator = build_validator(made, namespace)
    validator.schema["additionalProperties"] = False  # which older versions of pydantic do not say
    return validator


def build_validator(annotation: Any, namespace: Mapping[str, Any] | None = None) -> Validator:
    """The schema and validator of *annotation*, root not wrapped. Raises `ConfigurationError`."""
    try:
        return _build(annotation, namespace)
    except _refusals() as error:
        path, culprit = _culprit(annotation, namespace)
        raise ConfigurationError(_refusal(path, culprit, error)) from error


def _refusals() -> tuple[type[Exception], ...]:
    from pydantic.errors import PydanticUserError

    # ValueError is pydantic_core's own, TypeError a constraint that does not suit the type.
    return (PydanticUserError, NameError, TypeError, ValueError, RecursionError)


def _build(annotation: Any, namespace: Mapping[str, Any] | None) -> Validator:
    from pydantic import TypeAdapter

    from alloy.typed.validation import Validator

    with accepted_typed_dicts(annotation, namespace):
        adapter = TypeAdapter[Any](annotation)
        if namespace or not adapter.pydantic_complete:  # or else raise with the name that is missing
            adapter.rebuild(force=True, _types_namespace=dict(namespace or {}))
        return Validator(adapter)


def _culprit(annotation: Any, namespace: Mapping[str, Any] | None) -> tuple[str, Any]:
    """The innermost part of *annotation* that fails by itself, and where it stands."""
    found: tuple[str, Any] | None = None
    for path, part in parts(annotation, namespace):
        if found is not None and not path.startswith(found[0]):
            break
        try:
            _build(part, namespace)
        except _refusals():
            found = (path, part)
    return found or (type_name(annotation), annotation)


def _refusal(path: str, culprit: Any, error: Exception) -> str:
    name = type_name(culprit)
    where = path if path == name else f"{path}: {name}"
    if isinstance(error, NameError):
        return (
            f"{where} uses the name {error.name!r}, which its module does not know: define or import it there"
        )
    code = getattr(error, "code", None)
    if code in ("schema-for-unknown-type", "invalid-for-json-schema"):
        return (
            f"{where} has no JSON schema: use a dataclass, a TypedDict, a pydantic model or a built-in type "
            f"in its place, or give it __get_pydantic_core_schema__"
        )
    return f"{where} has no JSON schema: {str(error).splitlines()[0]}"


def _identifier(text: str) -> str:
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")[:64]
    return safe if re.match(r"[A-Za-z_]", safe) else f"answer_{safe}"[:64]
