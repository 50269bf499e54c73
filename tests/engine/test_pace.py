"""The pace of requests: never faster than the limits, first come first served, slower after an overload."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable
from functools import partial
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloy._engine.pace import FASTER_AFTER, PAUSE, SLOWEST, Limits, Pace, Ticket

MINUTE = 60.0
ALMOST = 1e-6  # floats are not exact


class Time:
    """A clock that a test sets, and callers that sleep by it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleeping: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()

    def __call__(self) -> float:
        return self.now

    def after(self, seconds: float, work: Callable[[], None]) -> None:
        """Do *work* in so many seconds."""
        heapq.heappush(self._sleeping, (self.now + seconds, next(self._number), work))

    def run(self) -> None:
        """Let time pass until nobody sleeps."""
        while self._sleeping:
            then, _, work = heapq.heappop(self._sleeping)
            self.now = max(self.now, then)
            work()


class Callers:
    """Callers of one pace: `sent` has the number of each request, and when it was let through."""

    def __init__(self, limits: Limits) -> None:
        self.time = Time()
        self.pace = Pace(self.time)
        self.limits = limits
        self.sent: list[tuple[int, float]] = []
        self.tokens: list[tuple[float, int]] = []  # that were reserved, by when
        self._waiting: dict[int, Ticket] = {}

    def arrive(self, number: int, tokens: int = 0, then: Callable[[Ticket], None] | None = None) -> None:
        """A request of so many *tokens* comes now; *then* is called when it is sent."""
        ticket = self._waiting[number] = self.pace.reserve(self.limits, tokens, 0 if tokens else None)

        def look() -> None:
            if number not in self._waiting:
                return
            seconds = self.pace.wait(ticket)
            if seconds:
                self.time.after(seconds, look)
                return
            del self._waiting[number]
            self.sent.append((number, self.time.now))
            self.tokens.append((self.time.now, ticket.tokens))
            if then is not None:
                then(ticket)

        look()

    def leave(self, number: int) -> None:
        """The caller of a request goes away, unless it was sent."""
        if (ticket := self._waiting.pop(number, None)) is not None:
            self.pace.give_up(ticket)

    def most_in_a_minute(self) -> int:
        """The most requests that were sent in any 60 seconds."""
        times = [when for _, when in self.sent]
        return max(bisect_left(times, when + MINUTE - ALMOST) - nth for nth, when in enumerate(times))


arrivals = st.lists(st.floats(0, 30), min_size=1, max_size=150)


@given(arrivals, st.integers(1, 300), st.data())
def test_no_minute_has_more_requests_than_the_limit(seconds: list[float], limit: int, data: st.DataObject):
    """Whenever they come, and whoever leaves; each of the others is sent, in the order in which they came."""
    callers = Callers(Limits(limit))
    for number, when in enumerate(sorted(seconds)):
        callers.time.after(when, lambda number=number: callers.arrive(number))  # type: ignore[misc]
    left = data.draw(st.lists(st.tuples(st.integers(0, len(seconds) - 1), st.floats(0, 60)), max_size=20))
    for number, when in left:
        callers.time.after(when, lambda number=number: callers.leave(number))  # type: ignore[misc]
    callers.time.run()
    assert callers.most_in_a_minute() <= limit
    numbers = [number for number, _ in callers.sent]
    assert {*numbers, *(number for number, _ in left)} == {*range(len(seconds)), *(n for n, _ in left)}
    if not left:  # one who moves up may have been sleeping for longer
        assert numbers == sorted(numbers)


@given(arrivals, st.integers(1000, 60_000), st.data())
def test_no_minute_has_more_tokens_than_the_limit_and_one_request(
    seconds: list[float], limit: int, data: st.DataObject
):
    """Besides what may be used at once: those of a second."""
    sizes = data.draw(st.lists(st.integers(1, 5000), min_size=len(seconds), max_size=len(seconds)))
    callers = Callers(Limits(tokens=limit))
    for number, (when, size) in enumerate(zip(sorted(seconds), sizes, strict=True)):
        callers.time.after(when, lambda number=number, size=size: callers.arrive(number, size))  # type: ignore[misc]
    callers.time.run()
    assert len(callers.sent) == len(seconds)
    for start, _ in callers.tokens:
        used = sum(size for when, size in callers.tokens if start <= when < start + MINUTE - ALMOST)
        assert used <= limit + limit / MINUTE + max(sizes)


def test_the_limit_is_used_up():
    """Of 600 at once at 300 a minute, the first few go at once, and the last after about two minutes."""
    callers = Callers(Limits(300))
    for number in range(600):
        callers.arrive(number)
    assert len(callers.sent) == 300 // 60
    callers.time.run()
    assert 118 < callers.sent[-1][1] - 1000 < 122


def test_an_idle_minute_is_not_saved_up():
    """After it, no more go at once than at the beginning."""
    callers = Callers(Limits(120))
    callers.time.now += 600
    for number in range(10):
        callers.arrive(number)
    assert len(callers.sent) == 2


def test_those_behind_one_who_leaves_move_up():
    """As if it had never come."""
    callers = Callers(Limits(60))
    for number in range(5):
        callers.arrive(number)
    callers.leave(1)
    callers.leave(2)
    callers.time.run()
    assert callers.sent == [
        (0, 1000),
        (3, pytest.approx(1003)),
        (4, pytest.approx(1004)),
    ] or callers.sent == [
        (0, 1000),
        (3, pytest.approx(1001)),
        (4, pytest.approx(1002)),
    ]


def ticket_sent(pace: Pace, limits: Limits, prompt: int = 0) -> Ticket:
    """A ticket that was let through at once."""
    ticket = pace.reserve(limits, prompt, 0 if prompt else None)
    assert pace.wait(ticket) == 0
    return ticket


def test_estimates_are_corrected_by_what_was_used():
    """One that used fewer tokens lets the next go sooner, one that used more later."""
    time, limits = Time(), Limits(tokens=60)  # a token a second
    pace = Pace(time)
    first = ticket_sent(pace, limits, 30)
    second = pace.reserve(limits, 10, 0)
    assert pace.wait(second) == pytest.approx(30)
    pace.answered(first, 11, 1)
    assert pace.wait(second) == pytest.approx(11)
    time.now += 11
    assert pace.wait(second) == 0
    pace.answered(second, 20, 5)
    assert pace.wait(pace.reserve(limits, 1, 0)) == pytest.approx(20)


def test_a_correction_that_comes_late_saves_nothing_up():
    """What could have gone earlier is over."""
    time, limits = Time(), Limits(tokens=60)
    pace = Pace(time)
    first = ticket_sent(pace, limits, 10)
    time.now += 600
    pace.answered(first, 1, 1)
    waits = [pace.wait(pace.reserve(limits, 10, 0)) for _ in range(3)]
    assert waits == [0, pytest.approx(10), pytest.approx(20)]


def test_a_request_that_failed_used_no_tokens():
    """The error of a server is free."""
    pace, limits = Pace(Time()), Limits(tokens=60)
    pace.refused(ticket_sent(pace, limits, 30))
    assert pace.wait(pace.reserve(limits, 10, 0)) == 0


def test_a_reply_is_expected_to_be_as_long_as_the_last_ones():
    """Until there are some, as long as `max_tokens` allows."""
    pace, limits = Pace(Time()), Limits(tokens=6_000_000)
    first = pace.reserve(limits, 10, 4000)
    assert first.tokens == 4010
    pace.answered(first, 30, 20)
    assert pace.reserve(limits, 10, 4000).tokens == 30
    assert pace.reserve(limits, 10, 5).tokens == 15
    assert pace.reserve(limits, 10).tokens == 30


def test_requests_and_tokens_count_both():
    """Whichever is later."""
    pace = Pace(Time())
    ticket_sent(pace, Limits(60, 60), 5)
    assert pace.wait(pace.reserve(Limits(60, 60), 1, 0)) == pytest.approx(5)
    other = Pace(Time())
    ticket_sent(other, Limits(6, 60), 5)
    assert other.wait(other.reserve(Limits(6, 60), 1, 0)) == pytest.approx(10)


def test_calls_with_other_limits_share_the_pace():
    """Each request takes its part of a minute, by its own limit."""
    pace = Pace(Time())
    ticket_sent(pace, Limits(6))
    assert pace.wait(pace.reserve(Limits(60))) == pytest.approx(10)
    assert pace.wait(pace.reserve(Limits(60))) == pytest.approx(11)


def test_a_storm_of_failures_slows_down_once():
    """Of 64 requests that were under way together: nobody goes before the pause ends, then half as fast."""
    time, limits = Time(), Limits(60 * 64)
    pace = Pace(time)
    tickets = [ticket_sent(pace, limits) for _ in range(64)]
    waiting = [pace.reserve(limits) for _ in range(3)]
    for ticket in tickets:
        time.now += 0.001
        pace.overloaded(ticket, 7)
    assert pace.speed == 0.5
    waits = [pace.wait(ticket) for ticket in waiting]
    assert all(7 < wait < 7.2 for wait in waits)
    interval = 60 / (60 * 64 - 63)
    assert waits[2] - waits[1] == pytest.approx(2 * interval)
    time.now += waits[0]
    assert pace.wait(waiting[0]) == 0
    pace.overloaded(waiting[0], None)
    assert pace.speed == 0.25
    assert pace.wait(waiting[1]) > PAUSE


def test_it_speeds_up_slowly_and_never_above_the_limit():
    """Back at full speed after a minute of replies, and not faster then."""
    time, limits = Time(), Limits(6000)
    pace = Pace(time)
    for _ in range(20):
        pace.overloaded(ticket_sent(pace, limits), 0)
        time.now += 0.5
    assert pace.speed == SLOWEST
    speeds = []
    for _ in range(40):
        time.now += FASTER_AFTER
        for _ in range(3):  # so many replies at once are no reason to go faster
            pace.answered(ticket_sent(pace, limits), 10, 5)
        speeds.append(pace.speed)
    assert speeds == sorted(speeds)
    assert max(later - earlier for earlier, later in pairwise(speeds)) <= 0.0501
    assert speeds[-1] == 1


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans(), st.floats(0, 5)), min_size=1, max_size=80))
def test_no_failure_makes_it_faster(events: list[tuple[float, bool, float]]):
    """Whatever the server answers: no minute has more than the limit, and everybody is sent in order."""
    callers = Callers(Limits(30))

    def outcome(fails: bool, pause: float) -> Callable[[Ticket], None]:
        def end(ticket: Ticket) -> None:
            def take_in() -> None:
                if fails:
                    callers.pace.refused(ticket)
                    callers.pace.overloaded(ticket, pause)
                else:
                    callers.pace.answered(ticket, 10, 5)

            callers.time.after(pause / 2, take_in)

        return end

    for number, (when, fails, pause) in enumerate(events):
        callers.time.after(when, partial(callers.arrive, number, then=outcome(fails, pause)))
    callers.time.run()
    assert callers.most_in_a_minute() <= 30
    assert len(callers.sent) == len(events)


def test_one_who_does_not_come_keeps_nobody_waiting():
    """Such as a stream that nobody reads: it goes back to the end of the queue."""
    time, limits = Time(), Limits(60)
    pace = Pace(time)
    ticket_sent(pace, limits)
    absent, second, third = (pace.reserve(limits) for _ in range(3))
    time.now += 1
    assert pace.wait(second) == pytest.approx(1)
    time.now += 1
    assert pace.wait(second) == 0
    assert pace.wait(third) == pytest.approx(1)
    assert pace.wait(absent) == pytest.approx(2)
    time.now += 1
    assert pace.wait(third) == 0
    time.now += 1
    assert pace.wait(absent) == 0
