"""A cache with the real SDKs at a loopback server: every provider, in every way."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import replace
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.apis import APIS, GEMINI, OLLAMA, Api, every_api, pieces_of, three_characters
from kit.codec import feed
from kit.generated_answers import ANSWERS
from kit.mapping import NumberServer, double
from kit.talking import KEY
from kit.ways import asked_at, every_way, run
from kit.wire import Answer, WireServer, ollama
from typing_extensions import TypedDict

from alloy import Cache, ServerError, Usage, command, tool
from alloy._engine.caching import request_key
from alloy._engine.routes import Route
from alloy._engine.surrogates import with_whole_characters
from alloy.backends.local.backend import LocalBackend
from alloy.caches.replies import dumped, loaded
from alloy.endpoints import Endpoint
from alloy.messages import Reply, Request, User

PROMPT = "Which number follows 41?"


@tool
def add(left: int, right: int) -> int:
    """Add two numbers."""
    return left + right


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """A cache in a file that is not there yet."""
    return Cache(tmp_path / "answers.sqlite")


def answer(api: Api, way: Any, text: str = "", **fields: Any) -> Answer:
    """An answer of *api*, streamed if *way* is."""
    made = api.whole(text, **fields)
    return api.stream(api.events(made, three_characters)) if "stream" in way.__name__ else api.reply(made)


@every_api
@every_way
def test_the_second_call_sends_nothing(server: WireServer, api: Api, way: Any, cache: Cache):
    """Its result is the same without usage; neither the key nor the prompt is in the file."""
    server.script(answer(api, way, '{"value": 42}', thought="Hm, 42."))
    asked = asked_at(api, server, PROMPT, output=int, cache=cache)
    first, again = way(asked)[0], way(asked)[0]

    assert len(server.requests) == 1
    assert (first.value, again.value) == (42, 42)
    assert (first.cached, again.cached, again.usage, again.attempts) == (0, 1, Usage(), 0)
    assert (again.model, again.text) == (first.model, first.text)
    assert again.transcript == tuple(
        turn if isinstance(turn, User) else plain(turn) for turn in first.transcript
    )
    content = b"".join(path.read_bytes() for path in Path(cache.path).parent.iterdir())
    assert KEY.encode() not in content
    assert b"follows" not in content
    assert b"42" in content


def plain(reply: Any) -> Reply:
    """*reply* without what the cache does not store."""
    return replace(reply, usage=Usage())


@every_api
@every_way
def test_a_turn_from_the_file_is_sent_back_as_it_came(server: WireServer, api: Api, way: Any, cache: Cache):
    """With reasoning, signatures and ids: the request after it is the same, byte for byte."""
    if api is OLLAMA:
        server.script(ollama.shown("tools", "thinking"))
    server.script(
        answer(api, way, "Wait.", thought="Add.", calls=[("add", {"left": 41, "right": 1})]),
        api.failure(500, "down", None),
        answer(api, way, "It is 42."),
    )
    asked = asked_at(api, server, PROMPT, tools=[add], cache=cache)
    with pytest.raises(ServerError):
        way(asked)
    result, _ = way(asked)
    again, _ = way(asked)

    assert (result.value, result.cached, result.attempts) == ("It is 42.", 1, 1)
    assert (again.value, again.cached, again.attempts) == ("It is 42.", 2, 0)
    *_, failed, sent = server.requests
    assert failed.content == sent.content
    assert again.transcript[-1] == plain(result.transcript[-1])


@every_api
@every_way
def test_a_reply_that_repeats_the_key_is_not_stored(server: WireServer, api: Api, way: Any, cache: Cache):
    """Wherever the server writes it."""
    server.script(*(answer(api, way, f"Your key is {KEY}.") for _ in range(2)), answer(api, way, "Hello"))
    asked = asked_at(api, server, PROMPT, cache=cache)
    assert [way(asked)[0].cached for _ in range(4)] == [0, 0, 0, 1]


@every_api
def test_whoever_asks_shares_the_answers_of_a_server(server: WireServer, api: Api, cache: Cache):
    """Keys and their headers do not decide an answer; another server does."""
    server.script(answer(api, run, "one"), answer(api, run, "two"))
    asked = asked_at(api, server, PROMPT, cache=cache)
    assert run(asked)[0].value == "one"
    assert run(asked_at(api, server, PROMPT, cache=cache, api_key="sk-another"))[0].value == "one"
    elsewhere = asked_at(api, server, PROMPT, cache=cache, base_url=f"{server.url}/gateway{api.base}")
    assert run(elsewhere)[0].value == "two"
    assert [api.key_of(request) for request in server.requests] == [KEY, KEY]


def test_the_same_request_to_two_apis_is_two_requests():
    """Although one server may have both."""
    keys = {
        request_key(Route(api.backend, "m", Endpoint("http://host.example/v1")), Request("m", (User("Hi"),)))
        for api in APIS
    }
    assert len(keys) == len(APIS)


class Row(TypedDict):
    """A type of several kinds."""

    a: int
    b: Literal["x", "y"] | None
    c: dict[str, set[int]]


@tool
def label(left: int, right: frozenset[str] = frozenset()) -> int:
    """A tool with a set."""
    return left


def keys_of_all() -> list[str]:
    """The key of a request to each API."""
    found = []
    for api in APIS:
        options: dict[str, Any] = {"model": f"{api.name}:{api.model}", "tools": [label], "api_key": "k"}
        extra = {api.name: {"metadata": {"b": "1", "a": "2"}}}

        @command(output=list[Row], base_url="http://host.example", extra=extra, **options)
        def rows() -> str:
            return "rows"

        question = rows._prepared((), {}).question
        found.append(request_key(question.routes[0], question.plan(question.routes[0]).request).hex())
    return found


def test_keys_are_the_same_in_every_process():
    """Whatever the seed of Python's hashes is: bodies and schemas have an order."""
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here), str(here.parent)])
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": paths}
    code = "import test_cached_wire\nprint(*test_cached_wire.keys_of_all())"
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert ran.stdout.split() == keys_of_all(), ran.stderr
    assert len(set(keys_of_all())) == len(APIS)


@every_api
@settings(max_examples=40)
@given(data=st.data())
def test_every_reply_is_read_as_it_was(api: Api, data: st.DataObject) -> None:
    """Whatever a codec makes of an answer, whole or streamed."""
    made = data.draw(ANSWERS[api])
    replies = [api.backend.decode(made)]
    if api is not GEMINI or data.draw(st.booleans()):
        replies.append(feed(api.backend, api.events(made, pieces_of(3)))[0])
    for reply in map(with_whole_characters, replies):
        content = dumped(reply)
        assert content is not None
        again = loaded(content)
        assert again == plain(reply)
        assert (again.is_end_stated, again.cached) == (reply.is_end_stated, True)
        assert api.backend.encode(Request(api.model, (again,))) == api.backend.encode(
            Request(api.model, (reply,))
        )


def test_an_expired_answer_is_asked_for_again(server: WireServer, tmp_path: Path):
    """And stored in its place."""
    now = [1e9]
    cache = Cache(tmp_path / "answers.sqlite", ttl=60, clock=lambda: now[0])
    api = APIS[0]
    server.script(answer(api, run, "one"), answer(api, run, "two"))
    asked = asked_at(api, server, PROMPT, cache=cache)
    for expected, seconds in (("one", 59), ("one", 2), ("two", 59), ("two", 0)):
        assert run(asked)[0].value == expected
        now[0] += seconds
    with closing(sqlite3.connect(cache.path)) as connection:
        assert connection.execute("SELECT count(*) FROM answers").fetchone() == (1,)


@pytest.mark.skipif("fork" not in get_all_start_methods(), reason="needs fork")
def test_workers_of_a_map_share_the_file(server: WireServer, cache: Cache, monkeypatch: pytest.MonkeyPatch):
    """The second map sends nothing, whoever asks, and its usage is zero."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)  # workers have the keys of their environment
    numbers = NumberServer(server)
    asked = double.with_options(**numbers.options, cache=cache)
    with ProcessPoolExecutor(2, get_context("fork")) as pool:
        first = asked.map(range(6), executor=pool)
        assert list(first) == [0, 2, 4, 6, 8, 10]
        again = asked.map(range(6), executor=pool)
        assert list(again) == [0, 2, 4, 6, 8, 10]
    assert list(asked.map(range(6))) == [0, 2, 4, 6, 8, 10]
    assert sorted(numbers.asked()) == list(range(6))
    assert (first.summary.requests, again.summary.requests, again.summary.usage) == (6, 0, Usage())
    cache.close()


def test_batches_neither_read_nor_store(cache: Cache):
    """Their answers come from the provider's batch."""
    asked = command(output=int, backend="fake", cache=cache)(double._function)
    assert asked.run(1).cached == 0
    (outcome,) = asked.batch([1]).outcomes()
    assert outcome.result is not None
    assert (outcome.result.cached, cache.info().answers) == (0, 1)
    cache.close()


def test_another_file_of_the_same_name_is_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In another folder, or when it has changed: the body and the address of a local model do not say it."""

    def key(model: str) -> bytes:
        return request_key(Route(LocalBackend(), model), Request(model, (User("Hi"),)))

    found = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tiny.gguf").write_bytes(b"GGUF\x03\0\0\0")
        monkeypatch.chdir(tmp_path / folder)
        found += [key("tiny.gguf"), key("tiny.gguf?mmproj=tiny.gguf")]
        assert key("tiny.gguf") == found[-2]
    (tmp_path / "b" / "tiny.gguf").write_bytes(b"GGUF\x03\0\0\0more")
    assert len({*found, key("tiny.gguf"), key("tiny.gguf?mmproj=tiny.gguf")}) == 6
