"""What a model or a server writes opens no file, starts no process, reaches no other host, is not code."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.apis import APIS, Api
from kit.wire import Answer, WireServer, json_answer

ROOT = Path(__file__).parents[2]

# The program asks once to load what it needs, and then watches the interpreter: https://peps.python.org/pep-0578/
PROGRAM = r"""
import asyncio, io, json, logging, sys
from dataclasses import dataclass

import alloy
from alloy import Image, ask, tool

providers, text = json.loads(sys.argv[1])
logging.basicConfig(stream=io.StringIO(), level=logging.DEBUG)


@tool
def look(path: str) -> str:
    "Look."
    return path


@dataclass
class Answer:
    value: str
    paths: list[str]


image = Image.from_url("https://example.com/a.png")


def everything(model, url):
    options = {"model": model, "base_url": url, "api_key": "sk-test-1234567890", "retry": 1, "backoff": 0}
    for output in (str, int, Answer, list[str], dict[str, str], bool):
        for _ in range(2):
            try:
                ask([text, image], output=output, tools=[look], **options)
            except alloy.AlloyError:
                pass
            try:
                list(ask.stream(text, output=output, tools=[look], **options))
            except alloy.AlloyError:
                pass
    async def in_loop():
        try:
            await ask.async_(text, **options)
        except alloy.AlloyError:
            pass
    asyncio.run(in_loop())


alone, found = False, {}
forbidden = (
    "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "shutil.", "urllib.",
    "webbrowser.", "ctypes.", "pickle.find_class", "marshal.loads", "tempfile.", "os.remove", "os.rename",
)


def watch(event, arguments):
    if not alone:
        return
    if event in ("open", "exec", "compile", "import") or event.startswith(forbidden):
        seen.append((event, repr(arguments)[:300]))
    if event == "socket.connect" and arguments[1][0] != "127.0.0.1":
        seen.append((event, repr(arguments[1])))
    if event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", b"127.0.0.1"):
        seen.append((event, repr(arguments)))


sys.addaudithook(watch)
for model, url in providers:
    everything(model, url)
    seen = found[model] = []
    alone = True
    everything(model, url)
    compile("1", "the last event, which shows that the hook works", "eval")
    alone = False
print(json.dumps(found))
"""

# What would be seen if text were a path, a URL, code, a format or a pickle.
HOSTILE = (
    "/etc/passwd file:///etc/passwd http://example.com/x {0.__class__} %s%n __import__('os').system('id') "
    "; touch here; ${jndi:ldap://example.com} !!python/object/apply:os.system [id] ../../etc/passwd"
)


def answers(api: Api) -> list[Answer]:
    """Good answers, calls of tools and errors, all of which have such text."""
    arguments = {"path": HOSTILE, "__class__": HOSTILE}
    value = json.dumps({"value": HOSTILE, "paths": [HOSTILE], "$ref": "file:///etc/passwd"})
    whole = [
        api.whole(text=HOSTILE),
        api.whole(text=value),
        api.whole(calls=[("look", arguments)]),
        api.whole(calls=[(HOSTILE, arguments)]),
    ]
    return [
        *map(api.reply, whole),
        json_answer(
            {"error": {"message": HOSTILE, "code": HOSTILE}}, status=500, location="file:///etc/passwd"
        ),
        Answer([HOSTILE.encode()], 200, {"content-type": "text/html"}),
        Answer([], 307, {"location": "http://192.0.2.1/"}),
    ]


def next_of(made: list[Answer]) -> Callable[[object], Answer]:
    """Says each of *made* in turn, again and again."""
    turn = itertools.cycle(made)
    return lambda _: next(turn)


@pytest.mark.slow
def test_no_text_of_a_model_or_a_server_does_anything() -> None:
    """For every backend: plain, streamed and async, typed and with tools."""
    servers = {f"{api.name}:{api.model}": WireServer() for api in APIS}
    try:
        for api, server in zip(APIS, servers.values(), strict=True):
            server.always = next_of(answers(api))
        addresses = [
            (model, server.url + api.base) for api, (model, server) in zip(APIS, servers.items(), strict=True)
        ]
        command = [sys.executable, "-c", PROGRAM, json.dumps([addresses, HOSTILE])]
        ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        assert (ran.returncode, ran.stderr) == (0, "")
        found = json.loads(ran.stdout)
        assert {model: [event for event, _ in events] for model, events in found.items()} == {
            model: ["compile"] for model in servers
        }, found
        for model, server in servers.items():
            assert len(server.requests) > 20, model
    finally:
        for server in servers.values():
            server.stop()
