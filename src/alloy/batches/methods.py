"""The methods of commands that begin a batch: `batch` and `batch_async`.

A `ParamSpec` cannot say "an iterable for each parameter", so the overloads say it for up to three of them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    from alloy.batches.batch import Batch

__all__ = ["AsyncBatchMethods", "BatchMethods"]

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
T_co = TypeVar("T_co", covariant=True)


# In these classes mypy does not see that commands are callable, hence `type: ignore[misc]`.


class _BatchedInLoops(Generic[T_co]):
    __name__: str
    _is_async = False

    @overload
    async def batch_async(  # type: ignore[misc]
        self: Callable[[A], Any], inputs: Iterable[A], /
    ) -> Batch[T_co]: ...
    @overload
    async def batch_async(  # type: ignore[misc]
        self: Callable[[A, B], Any], first: Iterable[A], second: Iterable[B], /
    ) -> Batch[T_co]: ...
    @overload
    async def batch_async(  # type: ignore[misc]
        self: Callable[[A, B, C], Any], first: Iterable[A], second: Iterable[B], third: Iterable[C], /
    ) -> Batch[T_co]: ...
    @overload
    async def batch_async(
        self,
        first: Iterable[Any],
        second: Iterable[Any],
        third: Iterable[Any],
        fourth: Iterable[Any],
        /,
        *more: Iterable[Any],
    ) -> Batch[T_co]: ...
    async def batch_async(self, *inputs: Any, **options: Any) -> Any:
        """As `batch`, without blocking the event loop."""
        from alloy.batches.beginning import begin_async

        return await begin_async(self, inputs, options)


class BatchMethods(_BatchedInLoops[T_co]):
    """The methods of a sync command."""

    @overload
    def batch(  # type: ignore[misc]
        self: Callable[[A], Any], inputs: Iterable[A], /
    ) -> Batch[T_co]: ...
    @overload
    def batch(  # type: ignore[misc]
        self: Callable[[A, B], Any], first: Iterable[A], second: Iterable[B], /
    ) -> Batch[T_co]: ...
    @overload
    def batch(  # type: ignore[misc]
        self: Callable[[A, B, C], Any], first: Iterable[A], second: Iterable[B], third: Iterable[C], /
    ) -> Batch[T_co]: ...
    @overload
    def batch(
        self,
        first: Iterable[Any],
        second: Iterable[Any],
        third: Iterable[Any],
        fourth: Iterable[Any],
        /,
        *more: Iterable[Any],
    ) -> Batch[T_co]: ...
    def batch(self, *inputs: Any, **options: Any) -> Any:
        """Begin a call for each element of *inputs*, all in one batch of the provider.

        *inputs* has an iterable for each parameter, as those of `map`. The provider answers within a day, for
        about half the price. Nothing is waited for: see `Batch`.

        Raises what a call raises before it sends anything, and `ConfigurationError` where batches are not
        possible: with tools, several models or a budget, without a batch API, and above the provider's
        limits. After a `ProviderError` no batch has begun, unless its message says that this is not known.
        """
        from alloy.batches.beginning import begin

        return begin(self, inputs, options)


class AsyncBatchMethods(_BatchedInLoops[T_co]):
    """The methods of an async command: `batch` is awaited."""

    _is_async = True

    @overload
    def batch(  # type: ignore[misc]
        self: Callable[[A], Any], inputs: Iterable[A], /
    ) -> Coroutine[Any, Any, Batch[T_co]]: ...
    @overload
    def batch(  # type: ignore[misc]
        self: Callable[[A, B], Any], first: Iterable[A], second: Iterable[B], /
    ) -> Coroutine[Any, Any, Batch[T_co]]: ...
    @overload
    def batch(  # type: ignore[misc]
        self: Callable[[A, B, C], Any], first: Iterable[A], second: Iterable[B], third: Iterable[C], /
    ) -> Coroutine[Any, Any, Batch[T_co]]: ...
    @overload
    def batch(
        self,
        first: Iterable[Any],
        second: Iterable[Any],
        third: Iterable[Any],
        fourth: Iterable[Any],
        /,
        *more: Iterable[Any],
    ) -> Coroutine[Any, Any, Batch[T_co]]: ...
    def batch(self, *inputs: Any, **options: Any) -> Any:
        """As `batch` of a sync command."""
        from alloy.batches.beginning import begin_async

        return begin_async(self, inputs, options)
