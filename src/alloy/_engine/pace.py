"""The pace of the requests to one model at one address, which all calls of the process share.

Requests wait in one queue, and only the first one may go. Two meters, of requests and of tokens, say up to
when what has been sent is paid: each request costs a part of a minute (1 second at 60 a minute), and so do
its tokens; it goes when both are paid. That is the generic cell rate algorithm (ITU-T I.371). A request that
does not come when it may go, such as that of a stream that nobody reads, goes back to the end of the queue.

The meters are read by a clock of their own (`PacedClock`), which runs as the real one, stops while the server
wants a pause, and runs slower after the server was overloaded. So nothing ever goes faster than the limits
say, and a slower clock slows everybody down together.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from alloy.backends.memory import Memory
from alloy.threads import in_forked_child

__all__ = ["PACES", "Limits", "Pace", "Paces", "Ticket"]

MINUTE = 60.0
TOKENS_AT_ONCE = 1.0  # seconds: so much of the tokens of a minute may be used at once
TOKENS_OF_REPLY = 500  # that are expected of the first reply, when there is no `max_tokens`
REMEMBERED = 8  # how many replies the expected size of the next one depends on

# Additive increase, multiplicative decrease: as TCP does it (RFC 5681), for servers in place of networks.
SLOWER = 0.5  # times the speed before, once for all requests that were under way
SLOWEST = 1 / 64
FASTER = 0.05  # of the full speed, after each so many seconds without an overload
FASTER_AFTER = 5.0
PAUSE = 1.0  # seconds, when the server does not say how long

PRECISION = 1e-7  # seconds: clocks and sums are not exact
LATE = 1.0  # seconds after which the next one may go, when the first does not come
NEXT_LOOK = 0.005  # seconds, at least, after which one who is not the first looks again


@dataclass(frozen=True, slots=True)
class Limits:
    """How many *requests* and *tokens* a minute may have; `None` means that they are not limited."""

    requests: int | None = None
    tokens: int | None = None

    def costs(self, tokens: int) -> tuple[float, float]:
        """The seconds that a request takes of the two meters, that of requests and that of tokens."""
        by_request = 0.0
        if self.requests is not None:
            # What may go at once is taken off the rate, so that no minute has more than the limit.
            by_request = MINUTE / (self.requests - self._at_once + 1)
        return by_request, self.seconds_of(tokens)

    def seconds_of(self, tokens: int) -> float:
        """The part of a minute that *tokens* take."""
        return 0.0 if self.tokens is None else tokens * MINUTE / self.tokens

    @property
    def leeway(self) -> tuple[float, float]:
        """How many seconds early a request may go, by each meter, when nothing went before."""
        if self.requests is None:
            return 0.0, TOKENS_AT_ONCE
        return self._at_once * MINUTE / (self.requests - self._at_once + 1), TOKENS_AT_ONCE

    @property
    def _at_once(self) -> int:
        """As many requests as the limit has in a second."""
        return 1 if self.requests is None else max(1, self.requests // round(MINUTE))


class Ticket:
    """The place of one request in the queue.

    By each meter, *costs* is what this request takes, and *queued* what all before it take or took. *tokens*
    is how many it is expected to use. *came* is when it got its place, by the paced clock, and *sent* the
    real time when it was let through.
    """

    __slots__ = ("came", "costs", "limits", "queued", "sent", "tokens")

    def __init__(self, limits: Limits, tokens: int) -> None:
        self.limits, self.tokens = limits, tokens
        self.queued: tuple[float, ...] = ()
        self.came = 0.0
        self.costs = limits.costs(tokens)
        self.sent: float | None = None


class _Meter:
    """*paid*: up to when what was sent is paid; *queued* and *gone*: what has come and left the queue."""

    __slots__ = ("gone", "paid", "queued")

    def __init__(self) -> None:
        self.paid = self.queued = self.gone = 0.0


class PacedClock:
    """A clock that may be stopped and slowed down, but never runs faster than the real *clock*."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._real, self._shown = clock(), 0.0
        self._stopped_until = self._slowed = self._changed = float("-inf")
        self.speed = 1.0

    def now(self) -> float:
        """The seconds that it has run."""
        real = self._clock()
        if real > self._real:
            self._shown += max(0.0, real - max(self._real, self._stopped_until)) * self.speed
            self._real = real
        return self._shown

    @property
    def real(self) -> float:
        """The real time at the last look."""
        return self._real

    def until(self, due: float) -> float:
        """The real seconds until it shows *due*; at least until the end of a pause."""
        pause = max(0.0, self._stopped_until - self._real)
        return pause + max(0.0, due - self._shown) / self.speed

    def stop(self, seconds: float) -> None:
        """Stand still for real *seconds*."""
        self.now()
        self._stopped_until = max(self._stopped_until, self._real + seconds)

    def slow_down(self, sent: float) -> None:
        """Run slower, because a request failed that was *sent* at that real time.

        Requests that were under way when it was slowed down last do not count again.
        """
        self.now()
        if sent >= self._slowed:
            self.speed = max(SLOWEST, self.speed * SLOWER)
            self._slowed = self._changed = self._real

    def speed_up(self) -> None:
        """Run a little faster, if that is not too soon."""
        self.now()
        if self.speed < 1 and self._real - max(self._changed, self._stopped_until) >= FASTER_AFTER:
            self.speed = min(1.0, self.speed + FASTER)
            self._changed = self._real


class Pace:
    """Says when each request may be sent. *clock* returns a number of seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock, self._clock = threading.Lock(), PacedClock(clock)
        self._meters = (_Meter(), _Meter())
        self._waiting: dict[Ticket, None] = {}  # in the order in which they came
        self._reply = 0.0  # tokens of a reply, the average of the last ones

    @property
    def speed(self) -> float:
        """The part of the limits that the server can take at present."""
        return self._clock.speed

    def reserve(self, limits: Limits, prompt: int = 0, reply_max: int | None = None) -> Ticket:
        """The place of a request of about *prompt* tokens, whose reply has *reply_max* at most."""
        with self._lock:
            reply = self._reply or reply_max or TOKENS_OF_REPLY
            tokens = prompt + round(reply if reply_max is None else min(reply, reply_max))
            ticket = Ticket(limits, tokens)
            self._come(ticket, self._clock.now())
            return ticket

    def wait(self, ticket: Ticket) -> float:
        """The seconds until the request may be sent, as far as that is known now; 0 lets it through."""
        with self._lock:
            now = self._clock.now()
            first = self._first(ticket, now)
            seconds = self._clock.until(max(now, self._due(ticket, now)))
            if first is not ticket:
                return max(seconds, NEXT_LOOK)
            if seconds > PRECISION:
                return seconds
            self._leave(ticket)
            for meter, cost in zip(self._meters, ticket.costs, strict=True):
                meter.paid = max(meter.paid, now) + cost
            ticket.sent = self._clock.real
            return 0.0

    def give_up(self, ticket: Ticket) -> None:
        """Take back the place of a request that was not sent."""
        with self._lock:
            if ticket in self._waiting:
                self._leave(ticket)
            elif ticket.sent is not None:
                for meter, cost in zip(self._meters, ticket.costs, strict=True):
                    self._correct(meter, -cost)

    def answered(self, ticket: Ticket, tokens: int, reply: int) -> None:
        """Take in that the request used so many *tokens*, *reply* of them for its reply; 0 is unknown."""
        with self._lock:
            if tokens:
                self._correct(self._meters[1], ticket.limits.seconds_of(tokens - ticket.tokens))
                self._reply += (reply - self._reply) / (REMEMBERED if self._reply else 1)
            self._clock.speed_up()

    def refused(self, ticket: Ticket) -> None:
        """Take in that the server answered with an error, so that no tokens were used."""
        with self._lock:
            self._correct(self._meters[1], -ticket.costs[1])

    def overloaded(self, ticket: Ticket, seconds: float | None) -> None:
        """Slow down, because the server asks to wait for *seconds*, or does not say for how long."""
        with self._lock:
            self._clock.slow_down(self._clock.real if ticket.sent is None else ticket.sent)
            self._clock.stop(PAUSE if seconds is None else seconds)

    def _first(self, ticket: Ticket, now: float) -> Ticket:
        """The first in the queue, without those before *ticket* that did not come when they might."""
        while (first := next(iter(self._waiting))) is not ticket:
            if now - max(self._due(first, now), first.came) < LATE:
                break
            self._leave(first)
            self._come(first, now)
        return first

    def _due(self, ticket: Ticket, now: float) -> float:
        """When the request may go, by the paced clock, if those before it go as soon as they may."""
        due = 0.0
        leeways = ticket.limits.leeway
        for meter, cost, queued, leeway in zip(
            self._meters, ticket.costs, ticket.queued, leeways, strict=True
        ):
            if not cost:
                continue
            before = max(0.0, queued - meter.gone)
            paid = max(meter.paid, now) + before if before else meter.paid
            due = max(due, paid - leeway + min(cost, leeway))
        return due

    def _come(self, ticket: Ticket, now: float) -> None:
        ticket.came, ticket.queued = now, tuple(meter.queued for meter in self._meters)
        for meter, cost in zip(self._meters, ticket.costs, strict=True):
            meter.queued += cost
        self._waiting[ticket] = None

    def _leave(self, ticket: Ticket) -> None:
        del self._waiting[ticket]
        for meter, cost in zip(self._meters, ticket.costs, strict=True):
            meter.gone += cost
        if not self._waiting:  # the sums begin again, so that they stay exact
            for meter in self._meters:
                meter.queued = meter.gone = 0.0

    def _correct(self, meter: _Meter, seconds: float) -> None:
        """Count *seconds* more for what was sent, or fewer: what was not used while nobody waited is lost."""
        least = min(meter.paid, self._clock.now())
        meter.paid = max(meter.paid + seconds, least) if seconds < 0 else max(meter.paid, least) + seconds


class Paces:
    """The pace of each model at each address. A forked child begins again, and counts for itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paces: Memory[Hashable, Pace] = Memory()

    def of(self, address: Hashable) -> Pace:
        """The pace of the requests to *address*."""
        with self._lock:
            pace = self._paces.get(address)
            if pace is None:
                pace = self._paces[address] = Pace()
            return pace


PACES = Paces()

in_forked_child(PACES.__init__)  # type: ignore[misc]
