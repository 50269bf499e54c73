"""Records of other libraries: attrs classes, msgspec structs and models of `pydantic.v1`.

The libraries are not imported here: their classes are recognised by their attributes. pydantic is shown a
`TypedDict` with a record's fields, so the types in it are read as in any class. Then the class itself is
called, with its own validators and converters.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ForwardRef, NotRequired, Required

import typing_extensions

from alloy._typed.types.defaults import NoJsonForm, json_default
from alloy._typed.types.descriptions import field_descriptions
from alloy.errors import ConfigurationError

__all__ = ["Record", "close", "readable_v1_type", "record_of", "record_of_shape"]

_MISSING: Any = object()
_NO_DEFAULT: Any = object()


@dataclass(frozen=True, slots=True)
class _Field:
    """*key* is the name in JSON, *name* the argument of the class, *attribute* that of an instance.

    A field without *name* is only in JSON.
    """

    key: str
    name: str
    attribute: str
    annotation: Any
    required: bool
    default: Any = _MISSING
    about: Any = None  # a pydantic FieldInfo with a description and constraints
    changed: bool = False  # whether the class may convert the value


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A class *subject* as a `TypedDict` with its fields, *shape*, and how to *build* an instance of it.

    *attributes* are the names of the fields in an instance, by the keys; of those in *changed*, the class may
    convert the values.
    """

    subject: type
    shape: Any
    build: Callable[[dict[str, Any]], Any]
    attributes: Mapping[str, str]
    changed: frozenset[str]


_records: weakref.WeakKeyDictionary[type, Record] = weakref.WeakKeyDictionary()
_by_shape: weakref.WeakKeyDictionary[type, Record] = weakref.WeakKeyDictionary()


def record_of(subject: Any) -> Record | None:
    """The `Record` for the class *subject*, if it belongs to one of these libraries."""
    if not isinstance(subject, type) or subject.__module__ == "builtins":
        return None
    found = _records.get(subject)
    if found is None and (fields := _fields_of(subject)) is not None:
        found = _records[subject] = _record(subject, fields)
        _by_shape[found.shape] = found
    return found


def record_of_shape(shape: Any) -> Record | None:
    """The `Record` that has this *shape*."""
    return _by_shape.get(shape) if isinstance(shape, type) else None


def _fields_of(subject: type) -> Iterator[_Field] | None:
    if "__attrs_attrs__" in subject.__dict__:
        return _of_attrs(subject)
    if hasattr(subject, "__struct_config__"):
        return _of_msgspec(subject)
    old = sys.modules.get("pydantic.v1.main")  # it cannot be imported on Python 3.14
    if old is not None and issubclass(subject, old.BaseModel):
        return _of_v1_model(subject)
    return None


def _record(subject: type, fields: Iterator[_Field]) -> Record:
    """The record of *subject*, which has *fields*."""
    from pydantic import Field

    annotations, names, attributes, changed, texts = {}, {}, {}, set(), field_descriptions(subject)
    for field in fields:
        annotation = field.annotation
        if field.attribute in texts:
            annotation = Annotated[annotation, Field(description=texts[field.attribute])]
        if field.about is not None:
            annotation = Annotated[annotation, field.about]
        if field.default is not _MISSING:
            annotation = Annotated[annotation, Field(json_schema_extra={"default": field.default})]
        mark: Any = Required if field.required else NotRequired
        annotations[field.key] = mark[annotation]
        names[field.key] = field.name
        attributes[field.key] = field.attribute
        if field.changed:
            changed.add(field.key)
    make: Any = typing_extensions.TypedDict
    shape = make(subject.__name__, annotations)
    shape.__module__, shape.__doc__ = subject.__module__, subject.__doc__
    shape.__qualname__ = subject.__qualname__
    if _forbids_unknown_keys(subject):
        close(shape)

    def build(values: dict[str, Any]) -> Any:
        given = {names[key]: value for key, value in values.items() if names.get(key)}
        try:
            return subject(**given)
        except TypeError as error:  # of a validator: the names of the arguments are right
            raise ValueError(str(error)) from error

    return Record(subject, shape, build, attributes, frozenset(changed))


def _forbids_unknown_keys(subject: Any) -> bool:
    struct, old = getattr(subject, "__struct_config__", None), getattr(subject, "__config__", None)
    return bool(getattr(struct, "forbid_unknown_fields", False)) or getattr(old, "extra", None) == "forbid"


def close(made: Any) -> None:
    """Let the TypedDict *made* refuse unknown keys; the types in it keep their own rule."""

    def closed(kind: Any, source: Any, handler: Any) -> Any:
        # Not with pydantic's `extra="forbid"`, which nested dataclasses and TypedDicts would inherit.
        schema = handler(source)
        handler.resolve_ref_schema(schema)["extra_behavior"] = "forbid"
        return schema

    made.__get_pydantic_core_schema__ = classmethod(closed)


def _plain(value: Any) -> Any:
    try:
        return json_default(value)
    except NoJsonForm:
        return _MISSING


def _of_attrs(subject: Any) -> Iterator[_Field]:
    from pydantic import Field

    hints = _hints(subject)
    for attribute in subject.__attrs_attrs__:
        if not attribute.init:
            continue
        default = attribute.default
        theirs = type(default).__module__.startswith("attr")  # a factory, or the mark for no default
        about = attribute.metadata.get("description")
        yield _Field(
            key=attribute.alias,
            name=attribute.alias,
            attribute=attribute.name,
            annotation=hints.get(attribute.name, Any),
            required=theirs and type(default).__name__ != "Factory",
            default=_MISSING if theirs else _plain(default),
            about=Field(description=about) if isinstance(about, str) else None,
            changed=attribute.converter is not None,
        )


def _of_msgspec(subject: Any) -> Iterator[_Field]:
    config = subject.__struct_config__
    if config.tag is not None:
        literal: Any = typing_extensions.Literal
        yield _Field(config.tag_field, "", "", literal[config.tag], required=True)
    hints, defaults = _hints(subject), subject.__struct_defaults__
    names = subject.__struct_fields__
    defaults = (_NO_DEFAULT,) * (len(names) - len(defaults)) + defaults
    for name, key, default in zip(names, subject.__struct_encode_fields__, defaults, strict=True):
        required = default is _NO_DEFAULT or type(default).__name__ == "NoDefaultType"
        made = type(default).__module__.startswith("msgspec")  # a factory
        shown = _MISSING if required or made else _plain(default)
        yield _Field(key, name, name, hints.get(name, Any), required, shown)


# The constraints of a v1 model, by the names of pydantic's `Field`.
_V1_LIMITS = (
    *("gt", "ge", "lt", "le", "multiple_of"),
    *("min_length", "max_length", "max_digits", "decimal_places", "strict"),
)


def _of_v1_model(subject: Any) -> Iterator[_Field]:
    from pydantic import Field

    for field in subject.__fields__.values():
        pending = isinstance(field.annotation, str | ForwardRef)
        annotation = field.outer_type_ if pending else field.annotation
        if field.allow_none and pending:
            annotation = annotation | None
        info = field.field_info
        about = Field(description=info.description, **_limits(info))
        yield _Field(
            key=field.alias,
            name=field.alias,
            attribute=field.name,
            annotation=annotation,
            required=bool(field.required),
            default=_MISSING if field.required or field.default_factory else _plain(field.default),
            about=about,
            changed=bool(field.class_validators),
        )


def readable_v1_type(annotation: type) -> Any:
    """A constrained type of `pydantic.v1` (`conint(gt=1)`) as the plain type with the constraints."""
    if not annotation.__module__.startswith("pydantic.v1.") or not hasattr(annotation, "__get_validators__"):
        return annotation
    from pydantic import Field

    if annotation.__name__ == "StrictBool":  # there it is derived from `int`
        return Annotated[bool, Field(strict=True)]
    plain = next((base for base in annotation.__mro__ if base.__module__ in ("builtins", "decimal")), object)
    return annotation if plain is object else Annotated[plain, Field(**_limits(annotation))]


def _limits(holder: Any) -> dict[str, Any]:
    limits = {limit: getattr(holder, limit, None) for limit in _V1_LIMITS}
    limits["pattern"] = getattr(holder, "regex", None)
    return {limit: value for limit, value in limits.items() if value is not None}


def _hints(subject: type) -> dict[str, Any]:
    own = {subject.__name__: subject}
    try:
        return typing_extensions.get_type_hints(subject, None, own, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{subject.__qualname__} has a type hint that does not resolve ({error}): "
            f"define or import that name in its module"
        ) from error
