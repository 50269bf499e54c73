"""Numbers as settings and limits accept them: one rule for each kind, whoever asks.

A check returns a valid value. It raises `ValueError` with a description of what is accepted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from alloy.errors import ConfigurationError
from alloy.excerpts import beginning, shown_value

__all__ = ["LONGEST_WAIT", "checked", "count", "number", "seconds"]

LONGEST_WAIT = 1e9  # seconds, 31 years: clocks and locks cannot measure much longer times
LARGEST = 1e300  # larger than any useful setting, and small enough for a float
SHOWN = 80  # characters of a wrong value
COUNT_BITS = 64  # of the largest count: a float can hold what is calculated with it

Check = Callable[[Any], Any]


def number(low: float, high: float = math.inf, *, above: bool = False) -> Check:
    """A finite number from *low* to *high*, or only *above* the lower bound."""
    wanted = f"a number {'above' if above else 'of at least'} {low:g}"
    most = min(high, LARGEST)
    limited = f"{wanted} and at most {most:g}"

    def check(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(limited if high < math.inf else wanted)
        if not low <= value <= most or (above and value == low):  # false for NaN, too
            raise ValueError(limited if high < math.inf or value > most else wanted)
        return value

    return check


def seconds(*, above: bool = False) -> Check:
    """A time that can be waited for: at least 0, or *above* 0."""
    return number(0, LONGEST_WAIT, above=above)


def count(low: int) -> Check:
    """An int of at least *low*."""
    wanted = f"an int of at least {low}"

    def check(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ValueError(wanted)
        if value.bit_length() > COUNT_BITS:
            raise ValueError(f"{wanted} and below 2**{COUNT_BITS}")
        return value

    return check


def checked(where: str, name: str, value: Any, check: Check) -> Any:
    """*value* of the argument *name*. Raises `ConfigurationError`, which begins with *where*."""
    try:
        return check(value)
    except ValueError as error:
        shown = beginning(shown_value(value), SHOWN)
        raise ConfigurationError(f"{where}: {name} must be {error}, not {shown}") from None
