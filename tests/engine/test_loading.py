"""Importing an SDK takes up to seconds, and is nobody's request."""

from __future__ import annotations

import subprocess
import sys

import pytest
from kit.wire import WireServer
from kit.wire import anthropic as says

PROGRAM = """
import asyncio, sys
from alloy import ask

options = dict(model="claude-sonnet-4-6", api_key="k", base_url=sys.argv[1], retry=0, timeout=1)
if sys.argv[2] == "sync":
    print(ask("x", **options))
else:
    beats = 0

    async def beat():
        global beats
        while True:
            await asyncio.sleep(0.001)
            beats += 1

    async def main():
        heart = asyncio.create_task(beat())
        print(await ask.async_("x", **options))
        heart.cancel()
        # The loop went on while the SDK was imported.
        assert beats > 10, beats

    asyncio.run(main())
"""


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_cold_process_has_its_whole_timeout_for_the_request(server: WireServer, colour: str) -> None:
    """The SDK is imported before the clock runs, and in a thread where there is a loop."""
    server.script(says.reply(says.message(text="warm")))
    command = [sys.executable, "-c", PROGRAM, server.url, colour]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("warm\n", "")
