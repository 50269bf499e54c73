"""What was probably meant by a name that is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean", "nearest"]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name among *known* that *name* resembles most, upper and lower case apart; `None` without one."""
    by_folded = {each.casefold(): each for each in known}
    near = get_close_matches(name.strip().casefold(), by_folded, 1)
    return by_folded[near[0]] if near else None


def did_you_mean(guess: str | None) -> str:
    """*guess* as a question, to be appended to the name that is not known; `""` without one."""
    return f" (did you mean {guess!r}?)" if guess else ""
