"""A typed answer of which only the beginning has arrived."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar, overload

from alloy.jsontypes import Json

__all__ = ["Partial"]

T_co = TypeVar("T_co", covariant=True)
R = TypeVar("R")
D = TypeVar("D")
E = TypeVar("E")
K = TypeVar("K")
V = TypeVar("V")


class _Source(Protocol):
    """Where a `Partial` gets its values from."""

    @property
    def data(self) -> Json: ...
    def read(self, read: Callable[[Any], Any], default: Any) -> Any: ...
    def elements(self) -> list[Any]: ...
    def entries(self) -> dict[Any, Any]: ...


class Partial(Generic[T_co]):
    """What has arrived of a `T`. It cannot be changed, and nothing is converted before it is asked for.

    `data` is plain JSON; a partial is equal to it, and indexing, `len`, `in` and iteration are those of
    `data`. `get`, `elements` and `entries` are typed.
    """

    __slots__ = ("_source",)

    def __init__(self, source: _Source) -> None:
        self._source = source

    @property
    def data(self) -> Json:
        """The answer so far as plain JSON data, not validated; the last string or number may be incomplete.

        For an answer that is text, the text so far.
        """
        return self._source.data

    @overload
    def get(self, read: Callable[[T_co], R], /) -> R | None: ...
    @overload
    def get(self, read: Callable[[T_co], R], /, default: D) -> R | D: ...
    def get(self, read: Callable[[T_co], Any], /, default: Any = None) -> Any:
        """What *read* returns for the value, or *default* if *read* uses something that has not arrived.

        *read* gets a read-only view of the value. What is complete has its declared type in it, a `str` may
        be its beginning, and an object, list or dict may be a view again: that of a list or dict has its
        complete elements. What does not fit its type counts as not arrived. Other errors of *read* are
        raised, such as the `AttributeError` for an attribute that the type does not have. A view that is read
        later, such as by a generator that *read* returns, raises `ConfigurationError`.
        """
        return self._source.read(read, default)

    def elements(self: Partial[Collection[E]]) -> list[E]:
        """The complete elements of a sequence, converted, up to the first one that does not fit.

        Raises `ConfigurationError` when the output is not a sequence.
        """
        return self._source.elements()

    def entries(self: Partial[Mapping[K, V]]) -> dict[K, V]:
        """The complete entries of a dict, or fields of a `TypedDict`, converted, that fit.

        Raises `ConfigurationError` when the output is not a dict.
        """
        return self._source.entries()

    def __eq__(self, other: object) -> bool:
        return bool(self.data == (other.data if isinstance(other, Partial) else other))

    __hash__ = None  # type: ignore[assignment]  # as of the list or dict that it is equal to

    def __getitem__(self, key: Any) -> Json:
        return self.data[key]

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, item: object) -> bool:
        return item in self.data

    def __iter__(self) -> Iterator[Json]:
        return iter(self.data)

    def __copy__(self) -> Partial[T_co]:
        return self

    def __deepcopy__(self, _: object) -> Partial[T_co]:
        return self

    def __repr__(self) -> str:
        return f"Partial({self.data!r})"
