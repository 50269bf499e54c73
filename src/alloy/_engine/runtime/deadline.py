"""How much time a call has left. The SDKs' timeouts bound single phases; these bound the whole."""

from __future__ import annotations

from time import monotonic

from alloy.errors import AlloyError, DeadlineError, ProviderTimeoutError

__all__ = ["BETWEEN", "Clock", "loading"]

BETWEEN = "what ran before the next request"  # a tool, a handler, a listener, a parser


class Clock:
    """Starts when it is made. *timeout* is per model request, *deadline* for the whole call, in seconds."""

    def __init__(self, timeout: float | None = None, deadline: float | None = None) -> None:
        self.timeout, self.deadline = timeout, deadline
        self._began = monotonic()
        self._end = None if deadline is None else self._began + deadline

    def elapsed(self) -> float:
        """Seconds since the call began."""
        return monotonic() - self._began

    def left(self, waited_for: str) -> float | None:
        """Seconds until the deadline; `None` without one. Raises `DeadlineError` when it has passed."""
        if self._end is None:
            return None
        left = self._end - monotonic()
        if left <= 0:
            raise self.deadline_error(waited_for)
        return left

    def remaining(self) -> float | None:
        """Seconds until the deadline, 0 when it has passed; `None` without one."""
        return None if self._end is None else max(0.0, self._end - monotonic())

    def request_limit(self) -> float | None:
        """Seconds that the next model request may take. Raises `DeadlineError` as `left`."""
        left = self.left(BETWEEN)
        if left is None or self.timeout is None:
            return self.timeout if left is None else left
        return min(left, self.timeout)

    def passed(self) -> bool:
        """Whether the deadline has passed."""
        return self._end is not None and monotonic() >= self._end

    def check(self, seconds: float) -> None:
        """Raise `DeadlineError` now when a wait of *seconds* would end after the deadline."""
        left = self.left(BETWEEN)
        if left is not None and seconds >= left:
            raise DeadlineError(
                f"a wait of {seconds:.1f} seconds would exceed deadline={self.deadline} seconds"
            )

    def check_reader(self) -> None:
        """Raise `DeadlineError` when the reader of a stream has used the time up, which nothing else sees."""
        if self.passed():
            raise self.deadline_error("the reader of the stream")

    def timeout_error(self, provider: str, waited_for: str, text: str = "") -> AlloyError:
        """The error for a model request that used its limit up, with the *text* it had streamed."""
        if self.passed():
            return self.deadline_error(waited_for)
        return ProviderTimeoutError(
            f"no whole answer within timeout={self.timeout} seconds; it waited for {waited_for}",
            provider=provider,
            text=text,
        )

    def deadline_error(self, waited_for: str) -> DeadlineError:
        """The error for a call that has used its deadline up."""
        return DeadlineError(
            f"the call took longer than deadline={self.deadline} seconds; it waited for {waited_for}"
        )


def loading(provider: str) -> str:
    """What a call waits for whose *provider* has an SDK that was not imported yet."""
    return f"the import of the SDK for {provider}"
