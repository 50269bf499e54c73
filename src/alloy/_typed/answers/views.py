"""Read-only views of unfinished values: what has arrived can be read from them as from the value itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from alloy._typed.json.unfinished import NOTHING, OpenText, is_open
from alloy._typed.types.parts import Content, Fields, Items, Members, NotValid, Part, Positions, Resolve, Text
from alloy.jsontypes import Json

__all__ = ["NotArrived", "holds_view", "seen"]


class NotArrived(Exception):
    """What a reader asked for has not arrived, or is not valid."""


def seen(part: Part, value: Json, resolve: Resolve | None) -> Any:
    """What a reader sees of *value*: the converted value, or a view of it. Raises `NotArrived`."""
    if value is NOTHING:
        raise NotArrived
    if not is_open(value):
        try:
            return part.read(value, resolve)
        except NotValid:
            pass  # below, the parts of it that are valid can be seen
    content = part.content(value)
    if content is None:
        raise NotArrived
    if isinstance(content, Text):
        assert isinstance(value, OpenText)
        return str(value)
    return _view_of(content)(_State(content, value, resolve))


def holds_view(result: Any) -> bool:
    """Whether *result* is a view, or a tuple, list, set or dict with one."""
    if type(result) in (tuple, list, set, frozenset):
        return any(map(holds_view, result))
    if type(result) is dict:
        return any(map(holds_view, result.values()))
    return isinstance(result, _View)


@dataclass(frozen=True, slots=True)
class _State:
    """What a view shows: *value*, which has the *content* of its type."""

    content: Any
    value: Any
    resolve: Resolve | None

    def see(self, part: Part, value: Json) -> Any:
        return seen(part, value, self.resolve)

    def arrived(self) -> Any:
        return self.content.arrived(self.value, self.resolve)


class _View:
    """A view. What is computed from the whole value, as by methods and comparisons, has not arrived.

    What the type does not have is an error of the reader, as it is with the complete value. The view has no
    public attribute, because the user's class may have one of that name.
    """

    __slots__ = ("_alloy_state",)
    _alloy_state: _State

    def __init__(self, state: _State) -> None:
        object.__setattr__(self, "_alloy_state", state)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # for isinstance, by which a reader tells the members of a union apart
        return self._alloy_state.content.cls

    def __getattr__(self, name: str) -> Any:
        content = self._alloy_state.content
        if hasattr(content.cls, name) or name in _declared(content):
            raise NotArrived
        raise AttributeError(f"{content.cls.__name__} has no attribute {name!r}", name=name, obj=self)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("an unfinished value cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("an unfinished value cannot be changed")

    def __repr__(self) -> str:
        return f"<unfinished {self._alloy_state.content.cls.__name__}>"

    def __bool__(self) -> bool:
        kind = self._alloy_state.content.cls
        if hasattr(kind, "__len__") or hasattr(kind, "__bool__"):
            raise NotArrived
        return True


def _declared(content: Any) -> Iterator[str]:
    """The fields of a class that it may not have as class attributes."""
    yield from getattr(content, "names", ())
    for mapping in ("__dataclass_fields__", "__private_attributes__"):
        yield from getattr(content.cls, mapping, ())
    for attribute in getattr(content.cls, "__attrs_attrs__", ()):
        yield attribute.name


def _operator(name: str) -> Any:
    def operator(self: _View, *_: object) -> Any:
        kind = self._alloy_state.content.cls
        if hasattr(kind, name):
            raise NotArrived
        raise TypeError(f"{kind.__name__} has no {name}")

    return operator


for _name in (
    *("eq", "ne", "lt", "le", "gt", "ge", "hash", "len", "contains", "iter", "reversed", "getitem", "call"),
    *(
        "add",
        "radd",
        "mul",
        "rmul",
        "and",
        "rand",
        "or",
        "ror",
        "sub",
        "rsub",
        "xor",
        "rxor",
        "str",
        "format",
    ),
):
    setattr(_View, f"__{_name}__", _operator(f"__{_name}__"))


class _Object(_View):
    """A view of an instance of a class."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        state = self._alloy_state
        if name in state.content.fields:
            return _field(state, name)
        return super().__getattr__(name)


class _TypedDict(_View):
    """A view of a `TypedDict`."""

    __slots__ = ()

    def __getitem__(self, name: str) -> Any:
        content = self._alloy_state.content
        if name in content.fields:
            return _field(self._alloy_state, name)
        if name in content.names:
            raise NotArrived
        raise KeyError(name)

    def __contains__(self, name: str) -> bool:
        self[name]
        return True

    def get(self, name: str, _: object = None) -> Any:
        return self[name]


def _field(state: _State, name: str) -> Any:
    field = state.content.fields[name]
    key = next((key for key in field.keys if key in state.value), None)
    if key is None:
        raise NotArrived
    return state.see(field.part, state.value[key])


class _Arriving(_View):
    """A view of a container, as long as what is complete in it."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._alloy_state.arrived())

    def __bool__(self) -> bool:
        return bool(self._alloy_state.value) or super().__bool__()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._alloy_state.arrived())

    def __contains__(self, item: object) -> bool:
        return item in self._alloy_state.arrived()


class _Elements(_Arriving):
    """A view of a collection: its complete elements, and by its index the one that is arriving."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        state = self._alloy_state
        if not hasattr(state.content.cls, "__getitem__"):
            raise TypeError(f"{state.content.cls.__name__} has no __getitem__")
        if isinstance(index, slice):
            return state.arrived()[index]
        if not 0 <= index < len(state.value):  # from the end it is another one with each element
            raise NotArrived
        return state.see(state.content.item, state.value[index])


class _Mapping(_Arriving):
    """A view of a dict: its complete members, and by its key the one that is arriving."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        state = self._alloy_state
        if key in (arrived := state.arrived()):
            return arrived[key]
        return state.see(state.content.item, state.content.member(state.value, key, state.resolve))

    def get(self, key: Any, _: object = None) -> Any:
        return self[key]

    def __getattr__(self, name: str) -> Any:
        if name in ("keys", "values", "items"):
            return getattr(self._alloy_state.arrived(), name)
        return super().__getattr__(name)


class _Tuple(_View):
    """A view of a tuple with a fixed length, which may be a named one."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._alloy_state.content.parts)

    def __bool__(self) -> bool:
        return len(self) > 0

    def __iter__(self) -> Iterator[Any]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index: Any) -> Any:
        state = self._alloy_state
        if isinstance(index, slice):
            return tuple(map(self.__getitem__, range(len(self))[index]))
        index = range(len(self))[index]
        if index >= len(state.value):
            raise NotArrived
        return state.see(state.content.parts[index], state.value[index])

    def __getattr__(self, name: str) -> Any:
        names = self._alloy_state.content.names
        return self[names.index(name)] if name in names else super().__getattr__(name)


def _view_of(content: Content) -> type[_View]:
    if isinstance(content, Fields):
        return _TypedDict if content.keyed else _Object
    return {Items: _Elements, Members: _Mapping, Positions: _Tuple}[type(content)]
