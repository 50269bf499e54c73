"""Importing an SDK takes up to seconds, and is nobody's request."""

from __future__ import annotations

import subprocess
import sys

import pytest
from kit.patience import PATIENCE
from kit.wire import Answer, Received, WireServer
from kit.wire import anthropic as says
from kit.wire.server import Pause

PROGRAM = """
import asyncio, sys, time
from threading import Event
from alloy import ask

url, way, timeout = sys.argv[1], sys.argv[2], float(sys.argv[3])
options = dict(model="claude-sonnet-4-6", api_key="k", base_url=url, retry=0, timeout=timeout)
importing, beaten = Event(), Event()

class SlowImport:
    @staticmethod
    def find_spec(name, path, target=None):
        if name == "anthropic":
            importing.set()
            time.sleep(1.2 * timeout)
            # The loop has to go on while the SDK is imported.
            assert way == "sync" or beaten.wait(60), "the import blocked the loop"

sys.meta_path.insert(0, SlowImport)

async def beat():
    while True:
        await asyncio.sleep(0.001)
        if importing.is_set():
            beaten.set()

async def main():
    heart = asyncio.create_task(beat())
    print(await ask.async_("x", **options))
    heart.cancel()

if way == "sync":
    print(ask("x", **options))
else:
    asyncio.run(main())
assert importing.is_set()
"""


def warm(_: Received) -> Answer:
    """An answer whose body is not all there when its headers are, so that a late call cannot read it."""
    answer = says.reply(says.message(text="warm"))
    whole = b"".join(step for step in answer.body if isinstance(step, bytes))
    answer.body = [whole[:9], Pause(), whole[9:]]
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_cold_process_has_its_whole_timeout_for_the_request(server: WireServer, way: str) -> None:
    """The SDK is imported before the time limit runs, and in a thread where there is an event loop."""
    server.always = warm
    for timeout in (1, 5, 25):  # in which a loaded machine may not get the request done
        command = [sys.executable, "-c", PROGRAM, server.url, way, str(timeout)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=5 * PATIENCE)
        if "ProviderTimeoutError" not in done.stderr:
            break
    assert (done.stdout, done.stderr) == ("warm\n", "")
