"""Circuit breakers: a model that keeps failing is not asked for a while."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from alloy.arguments import with_names_checked
from alloy.endpoints import without_credentials
from alloy.errors import CircuitOpenError, ProviderError
from alloy.quantities import checked, count, seconds
from alloy.threads import SharedByCalls, all_shared

__all__ = ["CircuitBreaker", "CircuitState"]

CIRCUITS_MAX = 1024  # bounds what ever new addresses and models leave behind

Key = tuple[str, str | None, str]


@dataclass(frozen=True, slots=True)
class CircuitState:
    """What a breaker knows of a *model* of *backend* at *address*, which is `None` if only the SDK knows it.

    *failures* is the number of transient failures in the window. *seconds* is the time until the next trial
    request of an open circuit.
    """

    backend: str
    address: str | None
    model: str
    state: Literal["closed", "open", "half-open"]
    failures: int
    seconds: float


@dataclass(slots=True)
class _Circuit:
    """*until* is when the next trial may begin, `None` while the circuit is closed."""

    failures: deque[float] = field(default_factory=deque)
    until: float | None = None
    is_tried: bool = False


@with_names_checked
class CircuitBreaker(SharedByCalls):
    """Stops asking a model that keeps failing, for each address and model separately.

    After *failures* transient errors within *window* seconds the circuit opens: for *pause* seconds each
    request raises `CircuitOpenError` at once, without being sent. Then it is half-open: one request is sent
    as a trial. If that gets a reply, or an error that is not transient, the circuit is closed again;
    otherwise it stays open for another pause.

    Use one object for all calls that should share it, in threads and event loops alike:
    `configure(circuit_breaker=CircuitBreaker())`. *clock* returns a number of seconds, for tests.

    Raises `ConfigurationError` for numbers that make no sense.
    """

    def __init__(
        self,
        failures: int = 5,
        window: float = 60.0,
        pause: float = 30.0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.failures: int = checked("CircuitBreaker", "failures", failures, count(1))
        self.window: float = checked("CircuitBreaker", "window", window, seconds(above=True))
        self.pause: float = checked("CircuitBreaker", "pause", pause, seconds(above=True))
        super().__init__(clock)
        self._identity = ""  # has a value once it is pickled
        self._circuits: dict[Key, _Circuit] = {}

    @contextmanager
    def request(self, backend: str, address: str | None, model: str) -> Iterator[None]:
        """Count the request in the `with` block. Raises `CircuitOpenError` when it must not be sent."""
        key = (backend, address, model)
        is_trial, failed = self._enter(key), None
        try:
            yield
            failed = False
        except ProviderError as error:
            failed = error.transient
            raise
        finally:
            with self._lock:
                self._leave(key, is_trial, failed)

    def check(self, backend: str, address: str | None, model: str, *, seconds: float = 0.0) -> None:
        """Raise `CircuitOpenError` if a request in so many *seconds* must not be sent."""
        key = (backend, address, model)
        with self._lock:
            circuit, now = self._circuits.get(key), self._clock()
            if circuit is not None and circuit.until is not None and now + seconds < circuit.until:
                raise self._open_error(key, circuit, circuit.until - now)

    def states(self) -> tuple[CircuitState, ...]:
        """The state of each model that has failed."""
        with self._lock:
            now = self._clock()
            return tuple(self._state(key, circuit, now) for key, circuit in self._circuits.items())

    def _state(self, key: Key, circuit: _Circuit, now: float) -> CircuitState:
        backend, address, model = key
        self._forget(circuit, now)
        left = 0.0 if circuit.until is None else max(0.0, circuit.until - now)
        half = "half-open" if circuit.is_tried or not left else "open"
        return CircuitState(
            backend,
            address and without_credentials(address),
            model,
            "closed" if circuit.until is None else half,  # type: ignore[arg-type]
            len(circuit.failures),
            left,
        )

    def _enter(self, key: Key) -> bool:
        """Whether the request is a trial. Raises `CircuitOpenError`."""
        with self._lock:
            circuit, now = self._circuits.get(key), self._clock()
            if circuit is None or circuit.until is None:
                return False
            if now < circuit.until:
                raise self._open_error(key, circuit, circuit.until - now)
            # A trial that does not end lets another one begin after the next pause.
            circuit.until, circuit.is_tried = now + self.pause, True
            return True

    def _leave(self, key: Key, is_trial: bool, failed: bool | None) -> None:
        """Take in how a request ended; *failed* is `None` when it was left without an outcome."""
        now, circuit = self._clock(), self._circuits.get(key)
        if is_trial and circuit is not None:
            if failed is False:
                del self._circuits[key]
            else:
                circuit.is_tried = False
                circuit.until = now + self.pause if failed else now
        elif failed and (circuit is None or circuit.until is None):
            if circuit is None:
                circuit = self._new_circuit(key)
            circuit.failures.append(now)
            self._forget(circuit, now)
            if len(circuit.failures) >= self.failures:
                circuit.until = now + self.pause

    def _new_circuit(self, key: Key) -> _Circuit:
        if len(self._circuits) >= CIRCUITS_MAX:
            self._circuits.clear()
        return self._circuits.setdefault(key, _Circuit())

    def _forget(self, circuit: _Circuit, now: float) -> None:
        """Forget the failures before the window; those that opened the circuit stay."""
        while circuit.until is None and circuit.failures and circuit.failures[0] <= now - self.window:
            circuit.failures.popleft()

    def _open_error(self, key: Key, circuit: _Circuit, wait: float) -> CircuitOpenError:
        backend, _, model = key
        why = "a trial request is running" if circuit.is_tried else f"the next trial is in {wait:.3g} s"
        return CircuitOpenError(
            f"the circuit breaker of {model} is open after {len(circuit.failures)} failures within "
            f"{self.window:g} s; {why}",
            provider=backend,
            retry_after=wait,
        )

    def __repr__(self) -> str:
        return f"CircuitBreaker(failures={self.failures}, window={self.window:g}, pause={self.pause:g})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process counts for itself, in one object however often it gets this one.
        from uuid import uuid4

        self._identity = self._identity or uuid4().hex
        return _arrived, (self._identity, self.failures, self.window, self.pause, self._clock)


def circuit_states() -> tuple[CircuitState, ...]:
    """The states of all breakers of this process, each once."""
    breakers = (each for each in all_shared() if isinstance(each, CircuitBreaker))
    return tuple(state for breaker in breakers for state in breaker.states())


_arrivals: dict[str, CircuitBreaker] = {}
ARRIVALS_MAX = 256  # bounds what a worker keeps of the breakers that it was sent


def _arrived(
    identity: str, failures: int, window: float, pause: float, clock: Callable[[], float]
) -> CircuitBreaker:
    """The breaker that was sent to this process; each call of a map brings it again."""
    if (known := _arrivals.get(identity)) is not None:
        return known
    breaker = CircuitBreaker(failures, window, pause, clock=clock)
    breaker._identity = identity
    if len(_arrivals) >= ARRIVALS_MAX:
        _arrivals.pop(next(iter(_arrivals)), None)
    return _arrivals.setdefault(identity, breaker)
