"""The methods of commands that take many inputs: `map` and `map_async`.

A `ParamSpec` cannot say "an iterable for each parameter", so the overloads say it for up to three of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, Literal, Required, TypeAlias, TypeVar, overload

from typing_extensions import TypedDict

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from os import PathLike

    from typing_extensions import Unpack

    from alloy.maps.async_iterators import AsyncMap
    from alloy.maps.iterators import Map

__all__ = ["AsyncMapped", "Mapped", "Raising", "Returning"]

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
T_co = TypeVar("T_co", covariant=True)

Inputs: TypeAlias = Iterable[A] | AsyncIterable[A]


class _Options(TypedDict, total=False):
    concurrency: int
    ordered: bool
    progress: bool | None
    checkpoint: str | PathLike[str] | None
    executor: Executor | None
    requests_per_minute: int | None
    tokens_per_minute: int | None


class Raising(_Options, total=False, closed=True):
    """The options of a map that ends with the first error."""

    on_error: Literal["raise"]


class Returning(_Options, total=False, closed=True):
    """The options of a map that gives errors in place of values."""

    on_error: Required[Literal["return"]]


# In these classes mypy does not see that commands are callable, hence `type: ignore[misc]`.


class _MappedInTasks(Generic[T_co]):
    @overload
    def map_async(  # type: ignore[misc]
        self: Callable[[A], Any], inputs: Inputs[A], /, **options: Unpack[Returning]
    ) -> AsyncMap[T_co, T_co | Exception]: ...
    @overload
    def map_async(  # type: ignore[misc]
        self: Callable[[A], Any], inputs: Inputs[A], /, **options: Unpack[Raising]
    ) -> AsyncMap[T_co]: ...
    @overload
    def map_async(  # type: ignore[misc]
        self: Callable[[A, B], Any], first: Inputs[A], second: Inputs[B], /, **options: Unpack[Returning]
    ) -> AsyncMap[T_co, T_co | Exception]: ...
    @overload
    def map_async(  # type: ignore[misc]
        self: Callable[[A, B], Any], first: Inputs[A], second: Inputs[B], /, **options: Unpack[Raising]
    ) -> AsyncMap[T_co]: ...
    @overload
    def map_async(  # type: ignore[misc]
        self: Callable[[A, B, C], Any],
        first: Inputs[A],
        second: Inputs[B],
        third: Inputs[C],
        /,
        **options: Unpack[Returning],
    ) -> AsyncMap[T_co, T_co | Exception]: ...
    @overload
    def map_async(  # type: ignore[misc]
        self: Callable[[A, B, C], Any],
        first: Inputs[A],
        second: Inputs[B],
        third: Inputs[C],
        /,
        **options: Unpack[Raising],
    ) -> AsyncMap[T_co]: ...
    @overload
    def map_async(
        self,
        first: Inputs[Any],
        second: Inputs[Any],
        third: Inputs[Any],
        fourth: Inputs[Any],
        /,
        *more: Inputs[Any],
        **options: Unpack[Returning],
    ) -> AsyncMap[T_co, T_co | Exception]: ...
    @overload
    def map_async(
        self,
        first: Inputs[Any],
        second: Inputs[Any],
        third: Inputs[Any],
        fourth: Inputs[Any],
        /,
        *more: Inputs[Any],
        **options: Unpack[Raising],
    ) -> AsyncMap[T_co]: ...
    def map_async(self, *inputs: Any, **options: Any) -> Any:
        """As `map`, for `async for` in the running event loop; the iterables may be async ones.

        Each call is a task. The function of a sync command runs in the event loop, as for `async_`.
        """
        from alloy.maps.async_iterators import AsyncMap
        from alloy.maps.calls import plan

        return AsyncMap(plan(self, inputs, options, asynchronous=True))


class Mapped(_MappedInTasks[T_co]):
    """What `Command` has for many inputs."""

    @overload
    def map(  # type: ignore[misc]
        self: Callable[[A], Any], inputs: Iterable[A], /, **options: Unpack[Returning]
    ) -> Map[T_co, T_co | Exception]: ...
    @overload
    def map(  # type: ignore[misc]
        self: Callable[[A], Any], inputs: Iterable[A], /, **options: Unpack[Raising]
    ) -> Map[T_co]: ...
    @overload
    def map(  # type: ignore[misc]
        self: Callable[[A, B], Any], first: Iterable[A], second: Iterable[B], /, **options: Unpack[Returning]
    ) -> Map[T_co, T_co | Exception]: ...
    @overload
    def map(  # type: ignore[misc]
        self: Callable[[A, B], Any], first: Iterable[A], second: Iterable[B], /, **options: Unpack[Raising]
    ) -> Map[T_co]: ...
    @overload
    def map(  # type: ignore[misc]
        self: Callable[[A, B, C], Any],
        first: Iterable[A],
        second: Iterable[B],
        third: Iterable[C],
        /,
        **options: Unpack[Returning],
    ) -> Map[T_co, T_co | Exception]: ...
    @overload
    def map(  # type: ignore[misc]
        self: Callable[[A, B, C], Any],
        first: Iterable[A],
        second: Iterable[B],
        third: Iterable[C],
        /,
        **options: Unpack[Raising],
    ) -> Map[T_co]: ...
    @overload
    def map(
        self,
        first: Iterable[Any],
        second: Iterable[Any],
        third: Iterable[Any],
        fourth: Iterable[Any],
        /,
        *more: Iterable[Any],
        **options: Unpack[Returning],
    ) -> Map[T_co, T_co | Exception]: ...
    @overload
    def map(
        self,
        first: Iterable[Any],
        second: Iterable[Any],
        third: Iterable[Any],
        fourth: Iterable[Any],
        /,
        *more: Iterable[Any],
        **options: Unpack[Raising],
    ) -> Map[T_co]: ...
    def map(self, *inputs: Any, **options: Any) -> Any:
        """Make a call for each element of *inputs*; with several iterables, for each element of all of them.

        Returns a `Map`, whose values arrive while it is iterated, with at most *concurrency* calls at a time,
        each in a thread. The iterables are read as the map is, so they may be endless; the shortest ends it.

        - *ordered*: whether the values are in the order of the inputs, or as the calls finish.
        - *on_error*: `"raise"` ends the map with the first error, which has the index of its input as a note;
          `"return"` gives the error in place of the value.
        - *progress*: `True` shows a bar in terminals and notebooks (extra `progress`), otherwise a line in
          the log now and then.

        - *checkpoint*: the path of a file that keeps the answers, so that a run which is killed or fails can
          be repeated, and only asks what was not answered.
        - *requests_per_minute*, *tokens_per_minute*: the settings of these names, for the calls of the map.
        - *executor*: a `concurrent.futures.Executor` that makes the calls, such as a pool of processes or
          that of a Dask client; commands, results and errors are pickled, keys are not.

        Raises `ConfigurationError` for wrong options, and for a wrong number of iterables.
        """
        from alloy.maps.calls import plan
        from alloy.maps.iterators import Map

        return Map(plan(self, inputs, options, asynchronous=False))


class AsyncMapped(_MappedInTasks[T_co]):
    """What `AsyncCommand` has for many inputs: `map` and `map_async` are the same."""

    @overload
    def map(  # type: ignore[misc]
        self: Callable[[A], Any], inputs: Inputs[A], /, **options: Unpack[Returning]
    ) -> AsyncMap[T_co, T_co | Exception]: ...
    @overload
    def map(  # type: ignore[misc]
        self: Callable[[A], Any], inputs: Inputs[A], /, **options: Unpack[Raising]
    ) -> AsyncMap[T_co]: ...
    @overload
    def map(  # type: ignore[misc]
        self: Callable[[A, B], Any], first: Inputs[A], second: Inputs[B], /, **options: Unpack[Returning]
    ) -> AsyncMap[T_co, T_co | Exception]: ...
    @overload
    def map(  # type: ignore[misc]
        self: Callable[[A, B], Any], first: Inputs[A], second: Inputs[B], /, **options: Unpack[Raising]
    ) -> AsyncMap[T_co]: ...
    @overload
    def map(  # type: ignore[misc]
        self: Callable[[A, B, C], Any],
        first: Inputs[A],
        second: Inputs[B],
        third: Inputs[C],
        /,
        **options: Unpack[Returning],
    ) -> AsyncMap[T_co, T_co | Exception]: ...
    @overload
    def map(  # type: ignore[misc]
        self: Callable[[A, B, C], Any],
        first: Inputs[A],
        second: Inputs[B],
        third: Inputs[C],
        /,
        **options: Unpack[Raising],
    ) -> AsyncMap[T_co]: ...
    @overload
    def map(
        self,
        first: Inputs[Any],
        second: Inputs[Any],
        third: Inputs[Any],
        fourth: Inputs[Any],
        /,
        *more: Inputs[Any],
        **options: Unpack[Returning],
    ) -> AsyncMap[T_co, T_co | Exception]: ...
    @overload
    def map(
        self,
        first: Inputs[Any],
        second: Inputs[Any],
        third: Inputs[Any],
        fourth: Inputs[Any],
        /,
        *more: Inputs[Any],
        **options: Unpack[Raising],
    ) -> AsyncMap[T_co]: ...
    def map(self, *inputs: Any, **options: Any) -> Any:
        """As `map_async`: code that holds either kind of command can use that name."""
        from alloy.maps.async_iterators import AsyncMap
        from alloy.maps.calls import plan

        return AsyncMap(plan(self, inputs, options, asynchronous=True))
