"""Read-only views of unfinished values: what has arrived can be read from them as from the value itself."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from opcode import opmap
from types import CodeType, FunctionType, ModuleType
from typing import Any

from alloy._typed.json.unfinished import NOTHING, OpenText, is_open
from alloy._typed.types.parts import Content, Fields, Items, Members, NotValid, Part, Resolve, Text
from alloy.errors import ConfigurationError
from alloy.jsontypes import Json

__all__ = ["NotArrived", "Reading", "holds_view", "is_about_a_view", "seen"]


class NotArrived(Exception):
    """What a reader asked for has not arrived, or is not valid."""


@dataclass(slots=True)
class Reading:
    """One call of a reader. After it, the views that it got cannot be used: they must not be read later."""

    resolve: Resolve | None
    over: bool = False


def seen(part: Part, value: Json, reading: Reading) -> Any:
    """What a reader sees of *value*: the converted value, or a view of it. Raises `NotArrived`."""
    if value is NOTHING:
        raise NotArrived
    if not is_open(value):
        try:
            return part.read(value, reading.resolve)
        except NotValid:
            pass  # below, the parts of it that are valid can be seen
    content = part.content(value)
    if content is None:
        raise NotArrived
    if isinstance(content, Text):
        assert isinstance(value, OpenText)
        return str(value)
    return _view_of(content)(_State(content, value, reading))


def holds_view(result: Any) -> bool:
    """Whether *result* is a view, or a container or object with one."""
    return _holds_view(result, set())


def _holds_view(result: Any, checked: set[int]) -> bool:
    kind = type(result)  # not by isinstance, for which a view has the class of its value
    if issubclass(kind, _View):
        return True
    if id(result) in checked or issubclass(kind, type | FunctionType | ModuleType):
        return False
    checked.add(id(result))
    inside: Any = (getattr(result, "__dict__", None) or {}).values()
    if issubclass(kind, tuple | list | set | frozenset | deque):
        inside = result
    elif issubclass(kind, dict):
        inside = result.values()
    return any(_holds_view(part, checked) for part in inside)


def is_about_a_view(error: Exception) -> bool:
    """Whether *error* is that another library cannot read a view, as it could read the value."""
    text = str(error)
    return _View.__name__ in text or NotArrived.__name__ in text


@dataclass(frozen=True, slots=True)
class _State:
    """What a view shows: *value*, which has the *content* of its type."""

    content: Any
    value: Any
    reading: Reading

    def see(self, part: Part, value: Json) -> Any:
        return seen(part, value, self.reading)

    def arrived(self) -> Any:
        return self.content.arrived(self.value, self.reading.resolve)


class _View:
    """A view. What is computed from the whole value, as by methods and comparisons, has not arrived.

    What the type does not have is an error of the reader, as it is with the complete value. The view has no
    public attribute, because the user's class may have one of that name.
    """

    __slots__ = ("_alloy_kept",)
    _alloy_kept: _State

    def __init_subclass__(cls) -> None:
        cls.__name__ = cls.__qualname__ = _View.__name__

    def __init__(self, state: _State) -> None:
        object.__setattr__(self, "_alloy_kept", state)

    @property
    def _alloy_state(self) -> _State:
        state = self._alloy_kept
        if state.reading.over:
            raise ConfigurationError(
                "an unfinished value can only be read inside the function that you give to get(): "
                "return what you read, in a list instead of a generator or map()"
            )
        return state

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # for isinstance, by which a reader tells the members of a union apart
        kind = self._alloy_kept.content.cls
        if sys._getframe(1).f_globals.get("__name__") == "json.encoder" and issubclass(kind, _IN_JSON):
            raise NotArrived
        return kind

    def __getattr__(self, name: str) -> Any:
        content = self._alloy_state.content
        if hasattr(content.cls, name) or name in _declared(content) or _may_have(content.cls, name):
            raise NotArrived
        raise AttributeError(f"{content.cls.__name__} has no attribute {name!r}", name=name, obj=self)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("an unfinished value cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("an unfinished value cannot be changed")

    def __repr__(self) -> str:
        return f"<unfinished {self._alloy_kept.content.cls.__name__}>"

    def __reduce_ex__(self, _: object) -> Any:
        raise NotArrived

    def __bool__(self) -> bool:
        kind = self._alloy_kept.content.cls
        if hasattr(kind, "__len__") or hasattr(kind, "__bool__"):
            raise NotArrived
        return True


_View.__name__ = "<unfinished value>"  # this is in the errors of other libraries


def _declared(content: Any) -> Iterator[str]:
    """The fields of a class that it may not have as class attributes."""
    yield from getattr(content, "names", ())
    for mapping in ("__dataclass_fields__", "__private_attributes__"):
        yield from getattr(content.cls, mapping, ())
    for attribute in getattr(content.cls, "__attrs_attrs__", ()):
        yield attribute.name


def _may_have(kind: Any, name: str) -> bool:
    """Whether an instance of *kind* may have the attribute *name*, which is not declared."""
    configs = (getattr(kind, config, None) or {} for config in ("model_config", "__pydantic_config__"))
    if any(isinstance(config, dict) and config.get("extra") == "allow" for config in configs):
        return True
    own = [base for base in kind.__mro__ if base.__module__.partition(".")[0] not in ("builtins", "pydantic")]
    return name in _attributes_set(kind) or any("__getattr__" in vars(base) for base in own)


@lru_cache(maxsize=256)
def _attributes_set(kind: Any) -> frozenset[str]:
    """The attributes that methods of *kind* set, such as `__post_init__`."""
    found = [getattr(value, "wrapped", value) for base in kind.__mro__ for value in vars(base).values()]
    codes = (getattr(getattr(each, "__func__", each), "__code__", None) for each in found)
    return frozenset(name for code in codes if isinstance(code, CodeType) for name in _stored(code))


def _stored(code: CodeType) -> Iterator[str]:
    from dis import get_instructions

    yield from (each.argval for each in get_instructions(code) if each.opname == "STORE_ATTR")
    if not {"setattr", "__setattr__", "__dict__"}.isdisjoint(code.co_names):
        yield from (each for each in code.co_consts if isinstance(each, str))


def _in_match() -> bool:
    """Whether `match` asks for the length, and not the reader: it decides by that whether a pattern fits."""
    frame = sys._getframe(2)
    return frame.f_lasti >= 0 and frame.f_code.co_code[frame.f_lasti] == _GET_LEN


_GET_LEN = opmap["GET_LEN"]
_IN_JSON = (list, tuple, dict)
# What `+` does with a list or tuple on its left side is in the class of the left side.
_REFLECTED = {"__radd__": "__add__"}


def _operator(name: str) -> Any:
    def operator(self: _View, *_: object) -> Any:
        kind = self._alloy_state.content.cls
        if hasattr(kind, name) or hasattr(kind, _REFLECTED.get(name, name)):
            raise NotArrived
        raise TypeError(f"{kind.__name__} has no {name}")

    return operator


_BINARY = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and or xor"
_OTHER = (
    "eq ne lt le gt ge hash len contains iter reversed getitem call str format neg pos abs invert int float "
    "complex round trunc floor ceil enter exit fspath"
)
for _name in (*_OTHER.split(), *_BINARY.split(), *(f"r{name}" for name in _BINARY.split())):
    setattr(_View, f"__{_name}__", _operator(f"__{_name}__"))


class _Object(_View):
    """A view of an instance of a class."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        state = self._alloy_state
        if name in state.content.fields:
            return _field(state, name)
        return super().__getattr__(name)


class _OfDataclass(type):
    """A class that `dataclasses` takes for a dataclass; its functions need the complete value."""

    @property
    def __dataclass_fields__(cls) -> Any:
        raise NotArrived


class _Dataclass(_Object, metaclass=_OfDataclass):
    """A view of an instance of a dataclass."""

    __slots__ = ()


@Mapping.register
class _TypedDict(_View):
    """A view of a `TypedDict`."""

    __slots__ = ()

    def __getitem__(self, name: str) -> Any:
        content = self._alloy_state.content
        if name in content.fields:
            return _field(self._alloy_state, name)
        if name in content.names or _may_have(content.cls, name):
            raise NotArrived
        raise KeyError(name)

    def __len__(self) -> int:
        if _in_match():  # which looks at the keys next
            return sys.maxsize
        raise NotArrived

    def __contains__(self, name: str) -> bool:
        self[name]
        return True

    def get(self, name: str, _: object = None) -> Any:
        return self[name]


def _field(state: _State, name: str) -> Any:
    field = state.content.fields[name]
    key = field.key(state.value)
    if key is None:
        raise NotArrived
    return state.see(field.part, state.value[key])


class _Arriving(_View):
    """A view of a container, as long as what is complete in it."""

    __slots__ = ()

    def __len__(self) -> int:
        if _in_match():
            raise NotArrived
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


@Sequence.register
class _Sequence(_Elements):
    """A view of a collection that is a sequence."""

    __slots__ = ()


@Mapping.register
class _Mapping(_Arriving):
    """A view of a dict: its complete members, and by its key the one that is arriving."""

    __slots__ = ()

    def __len__(self) -> int:
        return sys.maxsize if _in_match() else len(self._alloy_state.arrived())

    def __getitem__(self, key: Any) -> Any:
        state = self._alloy_state
        if key in (arrived := state.arrived()):
            return arrived[key]
        return state.see(state.content.item, state.content.member(state.value, key, state.reading.resolve))

    def get(self, key: Any, _: object = None) -> Any:
        return self[key]

    def __getattr__(self, name: str) -> Any:
        if name in ("keys", "values", "items"):
            return getattr(self._alloy_state.arrived(), name)
        return super().__getattr__(name)


@Sequence.register
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
        record = _Dataclass if hasattr(content.cls, "__dataclass_fields__") else _Object
        return _TypedDict if content.keyed else record
    if isinstance(content, Items):
        return _Sequence if issubclass(content.cls, Sequence) else _Elements
    return _Mapping if isinstance(content, Members) else _Tuple
