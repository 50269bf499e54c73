"""A thread that outlives the main thread can make calls, though no `ThreadPoolExecutor` works there."""

from __future__ import annotations

import subprocess
import sys

import pytest
from kit.patience import PATIENCE
from kit.wire import WireServer
from kit.wire import openai as says

PROGRAM = """
import asyncio, sys, threading
import alloy
from alloy import AlloyError, ask, parse, register_parser, tool

way, url = sys.argv[1], sys.argv[2]
if "imported" in way:
    import concurrent.futures.thread

@tool
def now(n: int) -> str:
    "The time."
    return "ok"

class Money:
    pass

async def look_up(text):
    return Money()

SCRIPT = 'fake: call now {"n": 0}\\nfake: say hey'
FAKE = dict(backend="fake", tools=[now])
HTTP = dict(model="openai-chat:m", api_key=lambda: "key-of-a-test", base_url=url, retry=0)

def call():
    if way.startswith("tools"):
        return ask(SCRIPT, deadline=600, **FAKE)
    if way.startswith("async tools"):
        return asyncio.run(ask.async_(SCRIPT, **FAKE))
    if way.startswith("http"):
        return ask("x", timeout=600, **HTTP)
    if way.startswith("async http"):
        return asyncio.run(ask.async_("x", **HTTP))
    if way.startswith("async name"):
        named = {**HTTP, "base_url": url.replace("127.0.0.1", "localhost")}
        return asyncio.run(ask.async_("x", **named))
    register_parser(Money, parse=look_up)
    return "hey" if isinstance(parse(Money, '"x"'), Money) else None

def late():
    threading.main_thread().join()
    try:
        print(call())
    except AlloyError as error:
        print(type(error).__name__, error)

threading.Thread(target=late).start()
"""


# Some versions of Python 3.12 start no thread at all then: https://github.com/python/cpython/issues/113964.
STARTS_THREADS = """
import threading
def late():
    threading.main_thread().join()
    threading.Thread(target=print, args=("hey",)).start()
threading.Thread(target=late).start()
"""


@pytest.fixture(scope="module")
def starts_threads() -> bool:
    """Whether this Python starts threads once the main thread has ended."""
    line = [sys.executable, "-c", STARTS_THREADS]
    return subprocess.run(line, capture_output=True, timeout=PATIENCE).stdout == b"hey\n"


@pytest.mark.slow
@pytest.mark.parametrize("imported", ["", " imported"])
@pytest.mark.parametrize("way", ["tools", "async tools", "http", "async http", "async name", "parser"])
def test_a_late_thread_makes_calls(server: WireServer, way: str, imported: str, starts_threads: bool):
    """Only asyncio's own look-up of a host's name is impossible, and the error says what to do."""
    server.always = lambda _: says.reply(says.completion(text="hey"))
    line = [sys.executable, "-c", PROGRAM, way + imported, f"{server.url}/v1"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE)
    if "http" in way or "name" in way or not starts_threads:
        expected = ("hey", "ConfigurationError")
        assert done.stdout.startswith(expected), done.stderr
        assert "hey" in done.stdout or "let the main thread wait" in done.stdout
    else:
        assert done.stdout == "hey\n", done.stderr
    assert done.stderr == ""
