"""Annotations that pydantic reads from JSON, in place of those that it does not read, or reads otherwise.

Most annotations stay as they are. A type with a parser becomes `Annotated[type, HookSchema]`, an enum
whose values JSON cannot hold is read by the names of its members, an `Iterable` is a list, and so on.
An annotation in which nothing changes is returned as the same object. The user's classes are left to
the caller: see `alloy._typed.types.class_copies`.
"""

from __future__ import annotations

import collections
import collections.abc as abc
import enum
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import GenericAlias
from typing import Annotated, Any, ForwardRef, NewType, TypeVar, Union

import typing_extensions
from pydantic import AfterValidator, Field, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic.types import EncodedBytes
from pydantic_core import core_schema
from typing_extensions import TypeAliasType

from alloy._typed.types.annotations import (
    alias_value,
    has_fields,
    is_alias,
    is_qualifier,
    variable_type,
)
from alloy._typed.types.async_parsers import call_parser
from alloy._typed.types.binary import Base64
from alloy._typed.types.choices import Keys, needs_keys, readable_enum, readable_literal
from alloy._typed.types.constraints import Unsuited, check_constraints, constraints_in
from alloy._typed.types.descriptions import annotated_text
from alloy._typed.types.parsers import Hook, hook_for
from alloy._typed.types.records import readable_v1_type, record_of

__all__ = ["Replacements", "described"]

_MAPPINGS = (
    dict,
    abc.Mapping,
    abc.MutableMapping,
    collections.OrderedDict,
    collections.defaultdict,
    collections.Counter,
    types.MappingProxyType,
)
_NO_KEYS = (list, tuple, set, frozenset, dict, collections.deque)


class Replacements:
    """Replaces annotations for one compilation.

    The rules stand in the order of `__call__`: a registered parser first, then special forms by their
    origin, then plain classes. `_annotated` treats a type together with its metadata, because limits of
    `bytes` count bytes and not characters. `_generic` replaces the arguments and builds the same generic
    type again if one has changed. A class with fields is replaced by what *class_for* returns for it. A
    recursive `type X = …` is replaced by a new alias under a new name, which *names* maps to it.
    *refers_back* is whether a recursive generic model was met by its reference instead of its class.
    """

    def __init__(self, class_for: Callable[[Any], Any], namespace: Mapping[str, Any] | None = None) -> None:
        self.names: dict[str, Any] = {}
        self.refers_back = False
        self._class_for, self._namespace = class_for, namespace or {}
        self._aliases: dict[Any, Any] = {}
        self._parameters: tuple[Any, ...] = ()  # those of the alias whose value is being replaced

    def __call__(self, annotation: Any, without: Any = None) -> Any:
        """The replacement for *annotation*, which ignores the parser of the type *without*.

        Raises `Unsuited` for a type that JSON cannot hold.
        """
        if isinstance(annotation, str | ForwardRef):
            return self._named(annotation)
        if annotation is None:
            return annotation
        if (without is None or annotation != without) and (hook := hook_for(annotation)) is not None:
            return Annotated[annotation, self._hooked(hook)]
        origin = typing_extensions.get_origin(annotation)
        if origin is None:
            return self._simple(annotation)
        if origin is typing_extensions.Annotated:
            return self._annotated(annotation, without)
        if origin is typing_extensions.Literal:
            return readable_literal(annotation)
        if origin is abc.Callable:
            return annotation
        return self._generic(annotation, origin)

    def with_metadata(self, annotation: Any, metadata: Iterable[Any], without: Any = None) -> Any:
        """As a call, for a type whose *metadata* is kept elsewhere, as that of a model's fields is."""
        if any(isinstance(item, EncodedBytes) for item in metadata):
            return annotation
        return self._bytes(annotation, metadata) or self(annotation, without)

    def _named(self, annotation: str | ForwardRef) -> Any:
        name = annotation if isinstance(annotation, str) else annotation.__forward_arg__
        known = self._namespace.get(name)
        return annotation if known is None else self(known)

    def _hooked(self, hook: Hook) -> HookSchema:
        return HookSchema(hook, self(hook.wire, without=hook.subject))

    def _simple(self, annotation: Any) -> Any:
        if is_alias(annotation):
            return self._alias(annotation, ())
        if isinstance(annotation, NewType):
            shown = self(annotation.__supertype__)
            return annotation if shown is annotation.__supertype__ else shown
        if isinstance(annotation, TypeVar):
            return self._variable(annotation)
        if not isinstance(annotation, type):
            self.refers_back |= hasattr(annotation, "type_ref")
            return annotation
        if annotation is type or annotation in _MADE_OF_LISTS:
            return self._generic(annotation, annotation)
        if (shown := self._bytes(annotation, ())) is not None:
            return shown
        if issubclass(annotation, enum.Enum):
            return readable_enum(annotation)
        return self._class(annotation, annotation)

    def _variable(self, variable: TypeVar) -> Any:
        if variable in self._parameters:
            return variable
        read = variable_type(variable)
        shown = self(read)
        return variable if shown is read else shown

    def _class(self, annotation: Any, subject: type) -> Any:
        if (record := record_of(subject)) is not None:
            return Annotated[annotation, RecordSchema(self._class_for(record.shape), record.build)]
        return self._class_for(annotation) if has_fields(subject) else readable_v1_type(annotation)

    def _annotated(self, annotation: Any, without: Any) -> Any:
        inner, metadata = annotation.__origin__, annotation.__metadata__
        check_constraints(inner, metadata)
        changed = tuple(map(self._for_pydantic, metadata))
        shown = self.with_metadata(inner, metadata, without)
        text = annotated_text(annotation)
        if shown is inner and text is None and _same(changed, metadata):
            return annotation
        shown = Annotated[shown, *changed]
        return shown if text is None else described(shown, text)

    def _for_pydantic(self, item: Any) -> Any:
        """*item* of an `Annotated`, in pydantic's terms if it is a hook or of msgspec."""
        if isinstance(item, Hook):
            return self._hooked(item)
        if type(item).__name__ != "Meta" or type(item).__module__.partition(".")[0] != "msgspec":
            return item
        return Field(**{name: value for name in _MSGSPEC_META if (value := getattr(item, name)) is not None})

    def _bytes(self, annotation: Any, metadata: Iterable[Any]) -> Any:
        if annotation not in (bytes, bytearray) or hook_for(annotation) is not None:
            return None
        limits = {k: v for k, v in constraints_in(metadata).items() if k in ("min_length", "max_length")}
        return Annotated[annotation, Base64(annotation, limits)]

    def _generic(self, annotation: Any, origin: Any) -> Any:
        arguments = typing_extensions.get_args(annotation)
        if origin is typing_extensions.ReadOnly:  # pydantic only warns that it does not enforce it
            return self(arguments[0])
        if origin is type:
            raise Unsuited(
                "JSON has no form of a class: use a Literal of names, or register a parser (register_parser)"
            )
        if origin in _MADE_OF_LISTS:
            kind: Any = list
            items = self(kind[arguments[0] if arguments else Any])
            make = _MADE_OF_LISTS[origin]
            return items if make is list else Annotated[items, AfterValidator(make)]
        if isinstance(origin, type) and (has_fields(origin) or record_of(origin) is not None):
            return self._class(annotation, origin)
        shown = [self._argument(origin, index, part) for index, part in enumerate(arguments)]
        if is_alias(origin):
            alias = self._alias(origin, origin.__type_params__)
            return annotation if alias is origin and _same(shown, arguments) else alias[tuple(shown)]
        if _same(shown, arguments):
            return annotation
        if origin in _BUILT_FROM_DICTS:
            return _built_from_dict(origin, shown)
        if hasattr(annotation, "copy_with"):
            return annotation.copy_with(tuple(shown))
        maker: Any = Union if origin is types.UnionType else origin
        return maker[tuple(shown)]

    def _argument(self, origin: Any, index: int, part: Any) -> Any:
        if index == 0 and origin in _MAPPINGS and hook_for(part) is None:
            if needs_keys(part):
                return Annotated[part, Keys(part)]
            kind = typing_extensions.get_origin(part) or part
            if isinstance(kind, type) and (issubclass(kind, _NO_KEYS) or has_fields(kind)):
                raise Unsuited("the keys of a JSON object are text, and values of this key type are not")
        return self(part)

    def _alias(self, alias: Any, parameters: tuple[Any, ...]) -> Any:
        """A `type X = …`, as a new alias if something in it changes; it may refer to itself.

        *parameters* are its type variables that get arguments.
        """
        key = id(alias), parameters
        if key in self._aliases:
            return self._aliases[key]
        self._aliases[key] = alias
        outer, self._parameters = self._parameters, parameters
        value = alias_value(alias)
        if self(value) is not value:
            name = f"_{alias.__name__}_{id(alias):x}_{len(parameters)}"
            self._aliases[key] = ForwardRef(name)
            make: Any = TypeAliasType
            made = make(alias.__name__, self(value), type_params=alias.__type_params__)
            self._aliases[key] = self.names[name] = made
        self._parameters = outer
        return self._aliases[key]


class HookSchema:
    """Metadata for `Annotated[…]`: the schema of a hook's wire type, *shown*, and its parser."""

    def __init__(self, hook: Hook, shown: Any) -> None:
        self._hook, self._shown = hook, shown

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        schema = handler.generate_schema(self._shown)
        return core_schema.no_info_after_validator_function(partial(call_parser, self._hook), schema)


class RecordSchema:
    """Metadata for `Annotated[…]`: the schema of *shape*, from whose values *build* makes an instance."""

    def __init__(self, shape: Any, build: Callable[[dict[str, Any]], Any]) -> None:
        self._shape, self._build = shape, build

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return core_schema.no_info_after_validator_function(self._build, handler.generate_schema(self._shape))


def _generated(items: list[Any]) -> Iterator[Any]:
    yield from items


# Types that pydantic does not read, or whose items it validates only when they are used: they are read
# as a list, and this builds them from it.
_MADE_OF_LISTS: dict[Any, Callable[[list[Any]], Any]] = {
    abc.Iterable: list,
    abc.Collection: list,
    abc.Container: list,
    abc.Reversible: list,
    abc.Iterator: iter,
    abc.Generator: _generated,
}


# Before 2.14 pydantic validates the items of these twice, and what is read from JSON text (bytes, an
# enum's name) is not JSON any more the second time.
_BUILT_FROM_DICTS = (collections.OrderedDict, collections.Counter, collections.defaultdict)


def _built_from_dict(origin: Any, arguments: list[Any]) -> Any:
    """*origin*, one of these, as a `dict` from whose items it is built."""
    keys, values = arguments if len(arguments) == 2 else (arguments[0], int)
    read = GenericAlias(dict, (keys, values))
    if origin is not collections.defaultdict:
        return Annotated[read, AfterValidator(origin)]
    # pydantic knows which factory belongs to a type of values.
    kind: Any = origin[str, values]
    empty = TypeAdapter[Any](kind).validate_python({})
    return Annotated[read, AfterValidator(partial(origin, empty.default_factory))]


def _same(shown: Iterable[Any], arguments: Iterable[Any]) -> bool:
    return all(a is b for a, b in zip(shown, arguments, strict=True))


_MSGSPEC_META = (
    *("gt", "ge", "lt", "le", "multiple_of", "pattern"),
    *("min_length", "max_length", "title", "description"),
)


def described(annotation: Any, text: str) -> Any:
    """*annotation* with *text* as its description, unless it already has one."""
    origin = typing_extensions.get_origin(annotation)
    if is_qualifier(origin):
        inner = typing_extensions.get_args(annotation)[0]
        return origin[described(inner, text)]
    if origin is not typing_extensions.Annotated:
        return Annotated[annotation, Field(description=text)]
    metadata = annotation.__metadata__
    if any(isinstance(item, FieldInfo) and item.description is not None for item in metadata):
        return annotation
    return Annotated[annotation.__origin__, Field(description=text), *metadata]
