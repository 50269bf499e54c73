"""SDK clients are made once and shared safely: by threads, by event loops, across fork and at exit."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any

import pytest
from kit.patience import PATIENCE
from kit.talking import MODES, Running, at, body, talk, talk_async
from kit.wire import Answer, Gate, Received, WireServer
from kit.wire import openai as says

from alloy.backends.base import CancelToken
from alloy.backends.http.clients import BOOKS_MAX, CLIENTS, ClientCache
from alloy.backends.openai.address import OPENAI, read_settings
from alloy.backends.openai.responses import OpenAIBackend
from alloy.endpoints import Endpoint
from alloy.errors import ProviderConnectionError

BACKEND = OpenAIBackend()


def settings(key: str = "sk-one") -> Any:
    return read_settings(Endpoint(base_url="http://127.0.0.1:9/v1", api_key=key), keyless=False)


def echo(request: Received) -> Answer:
    """An answer that repeats the prompt."""
    return says.reply(says.response(text=request.json["input"][0]["content"]))


@pytest.fixture
def cache() -> Iterator[ClientCache]:
    made = ClientCache()
    yield made
    made.close()


# --- threads ------------------------------------------------------------------------------------------


def test_threads_share_one_client(cache: ClientCache) -> None:
    """However many ask at once, one client is made for the same settings, and another for others."""
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: cache.get(OPENAI, settings()), range(64)))

    assert len({id(connection.pool) for connection in made}) == 1
    assert len({id(connection.book) for connection in made}) == 1
    other = cache.get(OPENAI, settings("sk-two"))
    assert (other.book is made[0].book, other.pool is made[0].pool) == (False, True)


def test_rotating_keys_leave_no_heap_of_clients(cache: ClientCache) -> None:
    """The oldest clients are dropped; their connections belong to the pool, which stays."""
    first = cache.get(OPENAI, settings("sk-first"))
    kept = cache.get(OPENAI, settings("sk-0"))
    for number in range(1, BOOKS_MAX):
        cache.get(OPENAI, settings(f"sk-{number}"))

    assert cache.get(OPENAI, settings("sk-0")).book is kept.book
    assert cache.get(OPENAI, settings("sk-first")).book is not first.book
    assert not first.pool.is_closed


def test_64_threads_on_one_client_get_their_own_answers(server: WireServer) -> None:
    """No answer goes to another thread's call."""
    server.always = echo
    prompts = [f"prompt {number}" for number in range(256)]
    with ThreadPoolExecutor(64) as pool:
        replies = list(pool.map(lambda text: talk(BACKEND, "send", at(server), body(BACKEND, text)), prompts))

    assert [reply.text for reply in replies] == prompts
    assert len(server.connections) <= 64


def test_a_closed_cache_opens_again(server: WireServer) -> None:
    """Closing ends the connections and not the cache."""
    server.always = echo
    talk(BACKEND, "send", at(server))
    CLIENTS.close()
    server.connections[0].wait_closed()
    talk(BACKEND, "send", at(server))

    assert len(server.connections) == 2


def test_settings_show_no_key() -> None:
    """A key must not get into a log by way of a repr."""
    assert "sk-one" not in repr(settings())


def test_a_cache_does_not_pickle(cache: ClientCache) -> None:
    """A connection cannot be sent to another process."""
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(cache)


# --- event loops --------------------------------------------------------------------------------------


def test_each_loop_has_its_own_connections(server: WireServer) -> None:
    """Loops one after the other never share a connection, and each closes its own at its end."""
    server.always = echo
    for count in range(1, 4):
        assert talk(BACKEND, "send_async", at(server)).text == "Hello"
        assert len(server.connections) == count
        server.connections[-1].wait_closed()


def test_loops_in_many_threads_get_their_own_answers(server: WireServer) -> None:
    """Eight loops at once, each with twenty calls at once."""
    server.always = echo

    async def calls(loop: int) -> list[str]:
        sent = [body(BACKEND, f"{loop}/{number}") for number in range(20)]
        asked = [talk_async(BACKEND, "send_async", at(server), each) for each in sent]
        return [reply.text for reply in await asyncio.gather(*asked)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda loop: asyncio.run(calls(loop)), range(8)))

    assert answers == [[f"{loop}/{number}" for number in range(20)] for loop in range(8)]


def test_tasks_that_start_together_share_the_loops_client() -> None:
    """The first tasks of a loop race for its client and get the same one."""

    async def race() -> set[tuple[int, int]]:
        made = await asyncio.gather(*(CLIENTS.get_async(OPENAI, settings()) for _ in range(10)))
        return {(id(connection.book), id(connection.pool)) for connection in made}

    assert len(asyncio.run(race())) == 1


def test_a_loop_that_was_closed_without_ceremony_is_forgotten(cache: ClientCache) -> None:
    """Where nobody awaited the generators' end, the next loop sweeps the entry out."""
    loop = asyncio.new_event_loop()
    first = loop.run_until_complete(cache.get_async(OPENAI, settings()))
    loop.close()
    other = asyncio.run(cache.get_async(OPENAI, settings()))

    assert other.pool is not first.pool
    assert other.book is not first.book
    holders = [held for held in gc.get_referrers(loop) if isinstance(held, dict) and loop in held]
    assert holders == []


# --- fork and exit ------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_never_reads_its_parents_answer(server: WireServer) -> None:
    """The child opens connections of its own, and the parent's stay in use."""
    server.always = echo
    talk(BACKEND, "send", at(server))
    answers = [_in_child(lambda number=number: _ask_often(server, f"child {number}")) for number in range(2)]
    mine = _ask_often(server, "parent")

    assert mine == 20
    assert [answer() for answer in answers] == [20, 20]
    used = {request.json["input"][0]["content"]: request.connection.id for request in server.requests}
    assert used["parent"] == used["Hello"] == 0
    assert len(set(used.values())) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_lock_held_during_fork_does_not_stay_locked(server: WireServer) -> None:
    """Another thread may be making a client at that moment; the child must not wait for it."""
    server.always = echo
    with CLIENTS._lock:
        answer = _in_child(lambda: _ask_often(server, "child"))

    assert answer() == 20


def _ask_often(server: WireServer, prompt: str) -> int:
    """How many of 20 calls got their own answer."""
    sent = body(BACKEND, prompt)
    return sum(talk(BACKEND, "send", at(server), sent).text == prompt for _ in range(20))


def _in_child(work: Any) -> Any:
    """Start *work* in a forked child; the function given back waits for its number."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 0
        try:
            code = work()
        finally:
            os.write(writer, bytes([code]))
            os._exit(0)
    os.close(writer)

    def wait() -> int:
        with os.fdopen(reader, "rb") as pipe:
            said = pipe.read()
        os.waitpid(child, 0)
        return said[0]

    return wait


SCRIPT = """
import atexit, logging, sys
logging.getLogger("asyncio").setLevel(logging.ERROR)  # a slow machine is not a leak
clients = []
atexit.register(lambda: print([client.pool.is_closed for client in clients]))  # first in, last out
from kit.talking import talk
from alloy.backends.http.clients import CLIENTS
from alloy.backends.openai.responses import OpenAIBackend
from alloy.backends.openai.address import OPENAI, read_settings
from alloy.endpoints import Endpoint
backend, endpoint = OpenAIBackend(), Endpoint(base_url=sys.argv[1], api_key="sk-1")
for mode in ("send", "open", "send_async", "open_async"):
    print(talk(backend, mode, endpoint).text)
clients.append(CLIENTS.get(OPENAI, read_settings(endpoint, keyless=False)))
"""


def test_a_process_ends_without_a_leak(server: WireServer) -> None:
    """With every warning on, nothing is left open: the exit closes what threads shared."""
    answer = says.response(text="Hello")
    server.script(says.reply(answer), says.stream(answer), says.reply(answer), says.stream(answer))
    here = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", SCRIPT, f"{server.url}/v1"],
        env={**os.environ, "PYTHONPATH": str(here)},
        capture_output=True,
        text=True,
        timeout=5 * PATIENCE,
        check=False,
    )

    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.split() == ["Hello"] * 4 + ["[True]"]
    for connection in server.connections:
        connection.wait_closed()


def test_no_thread_is_left_behind(server: WireServer) -> None:
    """All four calls, the timer after `[DONE]` included, leave the threads as they were."""
    server.always = echo
    before = {thread for thread in threading.enumerate() if thread.name != "wire"}
    for _ in range(3):
        talk(BACKEND, "send", at(server))
        talk(BACKEND, "send_async", at(server))

    assert {thread for thread in threading.enumerate() if thread.name != "wire"} == before


# --- TLS ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody trusts, with its key, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl program")
    made = tmp_path_factory.mktemp("tls") / "both.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=alloy"
    )
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", made, "-out", f"{made}.crt"],
        check=True,
        capture_output=True,
    )
    made.write_text(made.read_text() + Path(f"{made}.crt").read_text())
    return made


@pytest.fixture
def secure(certificate: Path) -> Iterator[WireServer]:
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    running = WireServer(context)
    CLIENTS.close()
    CLIENTS.forget()  # SSL_CERT_FILE is read once per process
    yield running
    CLIENTS.close()
    CLIENTS.forget()
    running.stop()


@pytest.mark.parametrize("mode", MODES)
def test_a_certificate_of_ones_own_is_trusted_by_the_environment(
    secure: WireServer, certificate: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """SSL_CERT_FILE is respected, as the SDK's default client does."""
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
    answer = says.response(text="Hello")
    secure.script(says.reply(answer) if mode.startswith("send") else says.stream(answer))

    assert talk(BACKEND, mode, at(secure)).text == "Hello"


@pytest.mark.parametrize("mode", MODES)
def test_an_untrusted_certificate_is_refused(secure: WireServer, mode: str) -> None:
    """The error is a connection error that names the certificate."""
    with pytest.raises(ProviderConnectionError, match=r"(?i)certificate"):
        talk(BACKEND, mode, at(secure))


def test_a_token_cuts_a_secure_connection_too(
    secure: WireServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket below the TLS layer is shut down, and the reader wakes with an error."""
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
    gate, token = Gate(), CancelToken()
    secure.script(Answer([b"{", gate], framing="chunked", headers={"content-type": "application/json"}))
    running = Running(lambda: talk(BACKEND, "send", at(secure), cancel=token))
    gate.wait_reached()
    token.fire()

    with pytest.raises(ProviderConnectionError):
        running.result()
