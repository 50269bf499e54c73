"""`tool_result_max_chars`: what the model reads of a long result, and what the caller gets."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import re
import unicodedata
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kit.apis import OLLAMA, Api, every_api
from kit.ways import Asked, asked_at, every_way
from kit.wire import WireServer
from kit.wire.ollama import shown

from alloy import ConfigurationError, ask, command, tool, use_config
from alloy._engine.tool_texts import cut_text
from alloy.config import current
from alloy.events import ToolFinished
from alloy.testing import call, calls, replies

LONG = "".join(f"{number:05}" for number in range(6_000))
MARKER = re.compile(r"\n\[… ([\d,]+) of ([\d,]+) characters cut: tool_result_max_chars=([\d,]+)\]\n")


def read_log() -> str:
    """Read the log."""
    return LONG


def read_list() -> list[int]:
    """Read a list."""
    return [1] * 20_000


def fails() -> str:
    """Fail."""
    raise ValueError(LONG)


def result_of(function: Any, way: Any = None, **options: Any) -> Any:
    """The result of the one call of *function*."""
    name = getattr(function, "name", None) or function.__name__
    with replies(call(name), "done"):
        return ask.run("go", tools=[function], **options).tool_calls[0]


# --- what the model reads -----------------------------------------------------------------------------


@every_api
@every_way
@pytest.mark.parametrize("function", [read_log, read_list, fails], ids=lambda function: function.__name__)
def test_the_model_reads_the_beginning_and_the_end(
    server: WireServer, api: Api, way: Any, function: Any
) -> None:
    """The caller gets the whole value, or the whole error."""
    mode = "open" if "stream" in way.__name__ else "send"
    events: list[Any] = []
    if api is OLLAMA:
        server.script(shown("tools"))
    server.script(api.answer(mode, "", calls=[(function.__name__, {})]), api.answer(mode, "done"))
    options = {"on_event": events.append, "tool_result_max_chars": 1000}
    (result, _) = way(asked_at(api, server, "go", tools=[function], **options))

    (called,) = result.tool_calls
    found = MARKER.search(called.content)
    assert found is not None
    cut, whole, limit = (int(number.replace(",", "")) for number in found.groups())
    assert (len(called.content) - len(found[0]), limit) == (1000, 1000)
    assert cut == whole - 1000
    assert found.start() == 750
    written = server.requests[-1].content.decode()
    assert json.dumps(found[0], ensure_ascii=False)[1:-1] in written.replace("\\u2026", "…")
    assert len(written) < 10_000
    (ended,) = [event.result for event in events if isinstance(event, ToolFinished)]
    assert ended == called
    if function is fails:
        assert called.error == f"ValueError: {LONG}"
    else:
        assert called.value == function()


def test_a_result_within_the_limit_is_whole() -> None:
    """The limit counts characters, not bytes."""

    def read() -> str:
        """Read."""
        return "ü" * 100

    assert result_of(read, tool_result_max_chars=100).content == "ü" * 100
    assert MARKER.search(result_of(read, tool_result_max_chars=99).content)


def test_a_cut_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It changes what the model answers."""
    with caplog.at_level(logging.WARNING, "alloy"):
        result_of(read_log, tool_result_max_chars=1000)
    assert "the result of the tool 'read_log' is cut: it has 30000 characters" in caplog.text
    assert LONG[:100] not in caplog.text


def test_the_limit_can_be_set_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each layer, and the tool itself, which is stronger than the call."""

    def limit(function: Any = read_log, **options: Any) -> int | None:
        found = MARKER.search(result_of(function, **options).content)
        return int(found[3].replace(",", "")) if found else None

    def read_longer() -> str:
        """Read more."""
        return "a" * 100_001

    assert current().tool_result_max_chars == 100_000
    assert limit(read_longer) == 100_000
    assert limit(read_longer, tool_result_max_chars=None) is None
    monkeypatch.setenv("ALLOY_TOOL_RESULT_MAX_CHARS", "11")
    assert limit() == 11
    with use_config(tool_result_max_chars=12):
        assert limit() == 12
        assert limit(tool_result_max_chars=13) == 13
        own = tool(tool_result_max_chars=14)(read_log)
        for same in (own, copy.copy(own), tool(description="Read.")(own), pickle.loads(pickle.dumps(own))):
            assert limit(same, tool_result_max_chars=13) == 14
        assert limit(tool(tool_timeout=60)(own)) == 14
        assert limit(tool(tool_result_max_chars=10**9)(read_log)) is None
    with pytest.raises(
        ConfigurationError, match=r"@tool: tool_result_max_chars must be an int of at least 1"
    ):
        tool(tool_result_max_chars=0)


def test_other_results_are_limited_too() -> None:
    """A wrong name, and arguments that the model made very long."""

    @tool
    def add(a: int) -> int:
        """Add."""
        return a

    for made in (call("x" * 5000), call("add", **{"b" * 5000: 1}), call("add", a="z" * 5000)):
        with replies(made, "done"):
            (result,) = ask.run("go", tools=[add], tool_result_max_chars=500).tool_calls
        assert result.error
        assert len(result.content) < 600


def test_a_command_as_a_tool_is_limited() -> None:
    """Its value becomes the result of a call."""

    @command(output=str)
    def long() -> str:
        return "Write."

    with replies(call("long"), "a" * 500, "done"):
        (result,) = ask.run("go", tools=[long], tool_result_max_chars=100).tool_calls
    assert MARKER.search(result.content)
    assert result.value == "a" * 500


# --- where a text is cut ------------------------------------------------------------------------------

WHOLE = [
    "a",
    "e\u0301",
    "👩\u200d👩\u200d👧",
    "👍🏽",
    "🇳🇴",
    "\r\n",
    "\\ud83d\\ude00",
    "\\u00e9",
    "\\n",
    "\\\\",
    "❤\ufe0f",
    "é",
]


@given(st.lists(st.sampled_from(WHOLE), min_size=1, max_size=60), st.integers(1, 100))
@example(["\\\\"] * 4 + ["\\u00e9"], 4)
@example(["\\\\"] * 40 + ["\\ud83d\\ude00"], 20)
def test_nothing_that_belongs_together_is_cut(parts: list[str], limit: int) -> None:
    """Characters of several code points, and escapes of JSON, in any order."""
    text = "".join(parts)
    shown = cut_text(text, limit)
    if len(text) <= limit:
        assert shown is text
        return
    found = re.search(r"\n?\[… ([\d,]+) of ([\d,]+) characters cut: [^]]+\]\n?", shown)
    assert found is not None
    begin, end = shown[: found.start()], shown[found.end() :]
    assert len(begin) + len(end) <= limit
    assert int(found[1]) == len(text) - len(begin) - len(end)
    assert text.startswith(begin)
    assert text.endswith(end)
    places = {0}
    for part in parts:
        places.add(max(places) + len(part))
    # Two halves of flags, or an accent after a line end, may join what was apart: then the cut is elsewhere.
    assert len(begin) in places
    assert len(text) - len(end) in places


def test_a_character_without_an_end_is_cut_somewhere() -> None:
    """The search for a better place is short."""
    text = "a" + "\u0301" * 10_000
    assert unicodedata.combining(text[-1])
    assert len(cut_text(text, 100)) < 200


@every_way
@pytest.mark.parametrize("function", [read_log, fails], ids=lambda function: function.__name__)
def test_none_lifts_the_limit_for_one_tool(way: Any, function: Any) -> None:
    """Of the setting, and of the tool that it is made of."""
    limited = tool(tool_result_max_chars=30)(function)
    free = tool(name="free", tool_result_max_chars=None)(limited)
    with replies(calls(call("free"), call(function.__name__)), "done"):
        result, _ = way(Asked("go", tools=[free, limited], tool_result_max_chars=50))
    whole, cut = (each.content for each in result.tool_calls)
    assert LONG in whole
    assert LONG not in cut
