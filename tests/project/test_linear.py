"""Regular expressions need steps in proportion to the text, whatever a model or a server writes."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit.steps import TooManySteps, regex_steps

import alloy
from alloy.backends.http.errors import LONGEST, ErrorBody, _letters
from alloy.backends.http.finish import _key

SIZE = 12  # repetitions; a pattern of quadratic cost needs sixteen times the steps for four times as many
ROOM = 6  # times the steps that four times the text may cost

PUMPS = (" ", "_", "a", "1", "*", "a ", ": ", " \n", "max", "(", '"', '\\"', "/*", "[1]")
PREFIXES = (
    "",
    "Action",
    "Action: ",
    "# Final Answer",
    "fake: say a",
    ":param",
    "a",
    "}",
    "data",
    "/*",
    "```",
)
ENDS = ("x!", "\n!")

# Patterns that another function gets, which calls `match`.
MATCHED = {
    "alloy._typed.types.guards._SECONDS.0",
    "alloy._typed.types.guards._MONTHS.0",
    "alloy.backends.fallback.react_reader._CLOSING.0",
}
# Patterns for texts that are cut before: names and messages of servers, and what is before a JSON value.
BOUNDED = re.compile(
    r"alloy\.backends\.(\w+\.errors|http\.finish|openai\.limits)\.|alloy\._typed\.json\.extraction\._PREVIOUS\."
)


def patterns() -> Iterator[tuple[str, re.Pattern[Any], bool]]:
    """The name of each compiled pattern, the pattern, and whether it is searched for."""
    for module in pkgutil.walk_packages(alloy.__path__, "alloy."):
        loaded = importlib.import_module(module.name)
        source = Path(str(loaded.__file__)).read_text(encoding="utf-8")
        for name, value in vars(loaded).items():
            if f"\n{name}" not in source:  # imported from another module
                continue
            for nth, pattern in enumerate(_in(value)):
                used = set(re.findall(rf"\b{name}(?:\[\w+\])?\.(\w+)\(", source))
                title = f"{module.name}.{name}.{nth}"
                searched = not used or not used <= {"match", "fullmatch"}
                yield title, pattern, searched and title not in MATCHED


def _in(value: Any) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _in(item)
    elif type(value) in (list, tuple):
        for item in value:
            yield from _in(item)


PATTERNS = {name: (pattern, search) for name, pattern, search in patterns()}


def test_the_patterns_are_found():
    """The table below is not empty by mistake."""
    assert len(PATTERNS) > 60
    assert PATTERNS["alloy.backends.fallback.react_reader._LABEL.0"][1]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in sorted(PATTERNS) if not BOUNDED.match(name)])
def test_a_pattern_needs_steps_in_proportion_to_the_text(name: str):
    """For n, 2n and 4n repetitions, after a beginning that fits and before an end that does not."""
    pattern, search = PATTERNS[name]
    words = re.findall(r"[A-Za-z_]{4,}", str(pattern.pattern))
    for prefix in PREFIXES:
        for pump in PUMPS if prefix else (*PUMPS, *words[:30]):
            for end in ENDS:
                _check(pattern, prefix, pump, end, search=search)


def _check(pattern: re.Pattern[Any], prefix: str, pump: str, end: str, *, search: bool) -> int:
    def cost(size: int, limit: int) -> int:
        text: Any = prefix + pump * size + end
        if isinstance(pattern.pattern, bytes):
            text = text.encode()
        return regex_steps(pattern, text, search=search, limit=limit)

    try:
        return cost(4 * SIZE, 8 * len(prefix + pump * 4 * SIZE + end))  # a few steps for each character
    except TooManySteps:
        once = cost(SIZE, 1_000_000)
    try:
        cost(2 * SIZE, once * ROOM // 2)
        return cost(4 * SIZE, once * ROOM)
    except TooManySteps:
        pytest.fail(f"{prefix!r} + {pump!r} * n + {end!r} costs more than n steps")


def test_the_texts_of_errors_are_cut_before_they_are_searched():
    """Their patterns have parts with anything in between, which cost more than the length of the text."""
    text = "schema exceeds insufficient " * 10_000
    for body in (text, {"message": text}, {"error": {"message": text}}, [{"detail": text}], {"other": text}):
        assert len(ErrorBody.read(body).message) <= LONGEST + 1
    assert len(_letters(text)) <= LONGEST and len(_key(text)) <= LONGEST
