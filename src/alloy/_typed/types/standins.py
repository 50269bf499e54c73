"""What pydantic is shown in the place of an annotation, so that it reads everything that Python annotates.

Most annotations stand for themselves. A type with a parser hook gets the hook beside it, an enum that
JSON cannot say its names, an `Iterable` is a list, and so on. An annotation in which nothing changes is
given back as the same object.
"""

from __future__ import annotations

import collections
import collections.abc as abc
import enum
import types
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any, ForwardRef, NewType, TypeVar, Union

import typing_extensions
from pydantic import VERSION, AfterValidator, Field
from pydantic.fields import FieldInfo
from pydantic.types import EncodedBytes
from pydantic_core import core_schema
from typing_extensions import TypeAliasType

from alloy._typed.types.annotations import alias_value, has_fields, is_alias, is_qualifier
from alloy._typed.types.async_parsers import call_parser
from alloy._typed.types.binary import Base64
from alloy._typed.types.choices import Keys, needs_keys, stand_in_for_enum, stand_in_for_literal
from alloy._typed.types.constraints import Unsuited, check_constraints, constraints_in
from alloy._typed.types.descriptions import annotated_text
from alloy._typed.types.parsers import Hook, hook_for
from alloy._typed.types.records import record_of, stand_in_for_old

__all__ = ["StandIns", "described", "stand_in"]

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


def stand_in(annotation: Any, without: Any = None) -> Any:
    """What pydantic is shown for *annotation*; the parser of *without* is left aside."""
    return StandIns()(annotation, without)


class StandIns:
    """Makes the stand-ins for one build. *names* are what postponed parts of them mean."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}
        self._aliases: dict[int, Any] = {}

    def __call__(self, annotation: Any, without: Any = None) -> Any:
        """The stand-in for *annotation*. Raises `Unsuited` for what can be none."""
        if annotation is None or isinstance(annotation, str | ForwardRef | TypeVar):
            return annotation
        if (without is None or annotation != without) and (hook := hook_for(annotation)) is not None:
            return Annotated[annotation, HookSchema(hook)]
        origin = typing_extensions.get_origin(annotation)
        if origin is None:
            return self._simple(annotation)
        if origin is typing_extensions.Annotated:
            return self._annotated(annotation, without)
        if origin is typing_extensions.Literal:
            return stand_in_for_literal(annotation)
        if origin is abc.Callable:
            return annotation
        return self._generic(annotation, origin)

    def _simple(self, annotation: Any) -> Any:
        if is_alias(annotation):
            return self._alias(annotation)
        if isinstance(annotation, NewType):
            shown = self(annotation.__supertype__)
            return annotation if shown is annotation.__supertype__ else shown
        if not isinstance(annotation, type):
            return annotation
        if annotation is type or annotation in _MADE_OF_LISTS:
            return self._generic(annotation, annotation)
        if (shown := self._bytes(annotation, ())) is not None:
            return shown
        if issubclass(annotation, enum.Enum):
            return stand_in_for_enum(annotation)
        record = record_of(annotation)
        return stand_in_for_old(annotation) if record is None else Annotated[annotation, record]

    def _annotated(self, annotation: Any, without: Any) -> Any:
        inner, metadata = annotation.__origin__, annotation.__metadata__
        check_constraints(inner, metadata)
        changed = tuple(map(_for_pydantic, metadata))
        encoded = any(isinstance(item, EncodedBytes) for item in metadata)
        shown = inner if encoded else self._bytes(inner, metadata) or self(inner, without)
        text = annotated_text(annotation)
        if shown is inner and text is None and all(a is b for a, b in zip(changed, metadata, strict=True)):
            return annotation
        shown = Annotated[shown, *changed]
        return shown if text is None else described(shown, text)

    def _bytes(self, annotation: Any, metadata: tuple[Any, ...]) -> Any:
        if annotation not in (bytes, bytearray) or hook_for(annotation) is not None:
            return None
        limits = {k: v for k, v in constraints_in(metadata).items() if k in ("min_length", "max_length")}
        return Annotated[annotation, Base64(annotation, limits)]

    def _generic(self, annotation: Any, origin: Any) -> Any:
        arguments = typing_extensions.get_args(annotation)
        if origin is typing_extensions.ReadOnly:  # of which pydantic only warns that it does not keep it
            return self(arguments[0])
        if origin is type:
            raise Unsuited("JSON has no form of a class")
        if origin in _MADE_OF_LISTS:
            kind: Any = list
            items = self(kind[arguments[0] if arguments else Any])
            make = _MADE_OF_LISTS[origin]
            return items if make is list else Annotated[items, AfterValidator(make)]
        shown = [self._argument(origin, index, part) for index, part in enumerate(arguments)]
        if is_alias(origin):
            alias = self._alias(origin)
            return annotation if alias is origin and _same(shown, arguments) else alias[tuple(shown)]
        if _same(shown, arguments):
            record = record_of(origin) if isinstance(origin, type) else None
            return annotation if record is None else Annotated[annotation, record]
        if hasattr(annotation, "copy_with"):
            return annotation.copy_with(tuple(shown))
        maker: Any = Union if origin is types.UnionType else origin
        return maker[tuple(shown)]

    def _argument(self, origin: Any, index: int, part: Any) -> Any:
        if index or origin not in _MAPPINGS:
            return self(part)
        if hook_for(part) is None:
            if needs_keys(part):
                return Annotated[part, Keys(part)]
            kind = typing_extensions.get_origin(part) or part
            if isinstance(kind, type) and (issubclass(kind, _NO_KEYS) or has_fields(kind)):
                raise Unsuited("the keys of a JSON object are text, which this key's type has no form of")
        return self(part)

    def _alias(self, alias: Any) -> Any:
        """A `type X = …`, made anew when something in it changes; it may refer to itself."""
        if id(alias) in self._aliases:
            return self._aliases[id(alias)]
        self._aliases[id(alias)] = alias
        value = alias_value(alias)
        if self(value) is value:
            return alias
        name = f"_{alias.__name__}_{id(alias):x}"
        self._aliases[id(alias)] = ForwardRef(name)
        make: Any = TypeAliasType
        made = make(alias.__name__, self(value), type_params=alias.__type_params__)
        self._aliases[id(alias)] = self.names[name] = made
        return made


def _generated(items: list[Any]) -> Iterator[Any]:
    yield from items


# What pydantic does not read, or not item by item before it is used, and what makes it of a list.
_MADE_OF_LISTS: dict[Any, Callable[[list[Any]], Any]] = {
    abc.Iterable: list,
    abc.Collection: list,
    abc.Container: list,
    abc.Reversible: list,
    abc.Iterator: iter,
    abc.Generator: _generated,
}
if VERSION.startswith("2.10."):  # which takes what JSON holds in a deque for Python's values
    _MADE_OF_LISTS[collections.deque] = collections.deque


def _same(shown: list[Any], arguments: tuple[Any, ...]) -> bool:
    return all(a is b for a, b in zip(shown, arguments, strict=True))


class HookSchema:
    """Metadata for `Annotated[…]`: the schema of a hook's wire type, and its parser."""

    def __init__(self, hook: Hook) -> None:
        self._hook = hook

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        hook = self._hook
        shown = handler.generate_schema(stand_in(hook.wire, without=hook.subject))
        return core_schema.no_info_after_validator_function(partial(call_parser, hook), shown)


def _for_pydantic(item: Any) -> Any:
    """*item* of an `Annotated`, where it is a hook or msgspec's, as pydantic understands it."""
    if isinstance(item, Hook):
        return HookSchema(item)
    if type(item).__name__ != "Meta" or type(item).__module__.partition(".")[0] != "msgspec":
        return item
    said = {name: value for name in _SAID_BY_MSGSPEC if (value := getattr(item, name)) is not None}
    return Field(**said)


_SAID_BY_MSGSPEC = (
    *("gt", "ge", "lt", "le", "multiple_of", "pattern"),
    *("min_length", "max_length", "title", "description"),
)


def described(annotation: Any, text: str) -> Any:
    """*annotation* with *text* as its description, unless it has one."""
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
