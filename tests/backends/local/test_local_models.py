"""`local:` with a real model file in a real llama.cpp server: its start, its life and its end."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.request import Request, urlopen

import pytest
from kit.local_model import write_model, write_vision
from kit.patience import PATIENCE, limits
from kit.ways import every_way

from alloy import (
    AlloyError,
    BadRequestError,
    ConfigurationError,
    Image,
    ProviderConnectionError,
    ProviderTimeoutError,
    TruncatedError,
    ask,
    command,
    listen,
    tool,
)
from alloy.backends.http.clients import CLIENTS
from alloy.backends.local import servers as local
from alloy.backends.local.model_files import find_model
from alloy.backends.local.servers import SERVERS
from alloy.events import FallbackTaken

pytest.importorskip("xllamacpp")
pytestmark = pytest.mark.local_model

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489") + b"\0" * 20


def png(pixel: bytes) -> Image:
    """A picture of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 20, 20, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + 20 * pixel) * 20)
    picture = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return Image.from_bytes(picture, "image/png")


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of random weights: quick to start, and it never stops talking by itself."""
    file = tmp_path_factory.mktemp("models") / "noise.gguf"
    write_model(file)
    return file


@pytest.fixture(autouse=True, scope="module")
def ended() -> Iterator[None]:
    yield
    CLIENTS.close()
    SERVERS.close()


@dataclass
class Pet:
    kind: Literal["cat", "dog"]
    tame: bool


def talker(noise: Path, **options: Any) -> Any:
    @command(model=f"local:{noise}", max_tokens=1000, seed=1, **options)
    def talk() -> str:
        return "Hello"

    return talk


def servers() -> list[Any]:
    return [start.result() for start in list(SERVERS._starts.values()) if start.done()]


@every_way
def test_a_typed_answer_comes_from_the_model_file(way: Any, noise: Path) -> None:
    """The grammar makes even a random model answer with the type."""
    result, _ = way(talker(noise, output=Pet))
    assert isinstance(result.value, Pet)
    assert result.model == "local:noise"


def test_threads_and_loops_share_one_server(noise: Path) -> None:
    SERVERS.close()
    talk = talker(noise, output=Pet)
    barrier = threading.Barrier(4)
    values: list[Any] = []

    def call(index: int) -> None:
        barrier.wait()
        values.append(talk() if index % 2 else asyncio.run(talk.async_()))

    threads = [threading.Thread(target=call, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(value) for value in values] == [Pet] * 4
    assert len(servers()) == 1


def test_other_options_are_another_server(noise: Path) -> None:
    SERVERS.close()
    talker(noise, output=Pet)()
    talker(noise, output=Pet).with_options(model=f"local:{noise}?context=512")()
    assert [server.model.context for server in servers()] == [8192, 512]
    assert [server.abilities.context for server in servers()] == [8192, 512]


@every_way
def test_a_server_that_died_is_started_again(way: Any, noise: Path) -> None:
    talk = talker(noise, output=Pet)
    talk()
    kill(noise)
    assert isinstance(way(talk)[0].value, Pet)


@every_way
def test_a_server_that_dies_in_the_middle_of_an_answer_is_named(way: Any, noise: Path) -> None:
    talk = talker(noise, retry=0, extra={"local": {"ignore_eos": True}}).with_options(max_tokens=8000)
    talker(noise, output=Pet)()
    over = threading.Event()
    killer = threading.Thread(target=kill_while_busy, args=(noise, over))
    killer.start()
    try:
        with pytest.raises(
            ProviderConnectionError, match=r"noise\.gguf ended with the exit status -9; the n"
        ):
            way(talk)
    finally:
        over.set()
        killer.join()
    assert isinstance(talker(noise, output=Pet)(), Pet)


def kill_while_busy(noise: Path, over: threading.Event) -> None:
    """Kill the model's server whenever it generates an answer, until the call is *over*."""
    while not over.is_set():
        with suppress(OSError):  # it has just been killed, or has not been started again yet
            for server in servers():
                slots = Request(f"{server.address}/slots", headers={"Authorization": f"Bearer {server.key}"})
                with urlopen(slots) as response:
                    if any(slot["is_processing"] for slot in json.load(response)):
                        kill(noise)


def kill(noise: Path) -> None:
    for server in servers():
        if server.model.path == str(noise):
            server.process.kill()
            server.process.wait()


def test_a_time_limit_ends_the_wait_and_not_the_start(noise: Path) -> None:
    """A model that takes long to load is ready for a later call."""
    seen: list[bool] = []
    for limit in limits(lambda: bool(seen)):
        SERVERS.close()
        talk = talker(noise, output=Pet, timeout=limit / 100, retry=0)
        try:
            talk()
        except ProviderTimeoutError:
            seen.append(True)
        assert isinstance(talk.with_options(timeout=PATIENCE)(), Pet)
        seen.append(True)


def test_a_truncated_file_is_named(noise: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.gguf"
    half.write_bytes(noise.read_bytes()[:20_000])
    with pytest.raises(ConfigurationError, match=r"llama\.cpp cannot run .*half\.gguf \(.*incomplete"):
        ask("?", model=f"local:{half}")
    half.write_bytes(noise.read_bytes())
    assert isinstance(
        ask("?", model=f"local:{half}", seed=1, output=Pet), Pet
    )  # the failure is not remembered


def test_a_port_that_is_taken_is_named(noise: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"the port {port} is taken"):
            ask("?", model=f"local:{noise}", base_url=f"http://127.0.0.1:{port}")
    assert isinstance(
        ask("?", model=f"local:{noise}", seed=1, output=Pet, base_url=f"http://127.0.0.1:{port}"), Pet
    )


@pytest.mark.parametrize(
    "address", ["https://127.0.0.1:1", "http://example.com:1", "http://127.0.0.1", "http://[::1", "x"]
)
def test_only_a_port_of_this_machine_can_be_chosen(noise: Path, address: str) -> None:
    with pytest.raises(ConfigurationError, match="at which port of this machine"):
        ask("?", model=f"local:{noise}", base_url=address)


def test_a_prompt_that_is_too_long_names_the_option(noise: Path) -> None:
    with pytest.raises(AlloyError, match=r"local:PATH\?context=16384"):
        ask("word " * 3000, model=f"local:{noise}")


def test_an_image_for_a_model_without_vision_is_refused(noise: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"noise does not accept images: .*mmproj=PATH"):
        ask(["What is it?", Image.from_bytes(PNG, "image/png")], model=f"local:{noise}")


# --- vision -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vision(noise: Path) -> Path:
    """A vision part for it: four tokens for each image."""
    write_vision(noise.with_name("vision.gguf"))
    return noise.with_name("vision.gguf")


@every_way
def test_a_model_with_its_vision_part_gets_images(noise: Path, vision: Path, way: Any) -> None:
    """Plain, async and streamed: the tokens of each image are in the prompt."""
    shown: list[Image] = []

    @command(model=f"local:{noise}?mmproj={vision}", seed=1, output=Pet)
    def look() -> list[str | Image]:
        return ["What is it?", *shown]

    counts = []
    for pixel in (b"\xff\0\0", b"\0\xff\0", b"\0\0\xff"):
        result, _ = way(look)
        assert isinstance(result.value, Pet)
        counts.append(result.usage.input_tokens)
        shown.append(png(pixel))
    assert counts[1] >= counts[0] + 4 and counts[2] >= counts[1] + 4


def test_a_picture_that_cannot_be_read_names_the_formats(noise: Path, vision: Path) -> None:
    with pytest.raises(BadRequestError, match="JPEG, PNG, GIF and BMP") as caught:
        ask(["?", Image.from_bytes(PNG, "image/png")], model=f"local:{noise}?mmproj={vision}", retry=2)
    assert not caught.value.transient


@pytest.mark.parametrize("broken", ["half", "head", "language", "text", "missing", "alone"])
def test_a_broken_vision_part_is_named(noise: Path, vision: Path, tmp_path: Path, broken: str) -> None:
    """Cut off, of a language model, or no model at all; and as the model itself."""
    content, file = vision.read_bytes(), tmp_path / "eyes.gguf"
    if broken != "missing":
        wrong = {"half": content[: len(content) // 2], "head": content[:100], "text": b"<html>"}
        file.write_bytes(wrong.get(broken, content if broken == "alone" else noise.read_bytes()))
    model = f"local:{file}" if broken == "alone" else f"local:{noise}?mmproj={file}"
    with pytest.raises(ConfigurationError) as caught:
        ask("?", model=model)

    message = str(caught.value)
    words = {"text": "not a GGUF file", "missing": "there is no file", "alone": f"mmproj={file}"}
    assert str(file) in message and words.get(broken, f"not the vision part of {noise}") in message
    assert "memory:" not in message and "smollm2" not in message


def test_proxies_and_headers_of_the_outside_world_are_not_used(
    noise: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SERVERS.close()
    CLIENTS.close()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert isinstance(ask("?", model=f"local:{noise}", seed=1, output=Pet, headers={"x-secret": "s"}), Pet)


def test_another_user_without_the_key_is_refused(noise: Path) -> None:
    talker(noise, output=Pet)()
    (address,) = {server.address for server in servers() if server.alive and server.model.context == 8192}
    with pytest.raises(AlloyError, match="401"):
        ask("?", model="openai-chat:noise", base_url=f"{address}/v1", api_key="guess")


SCRIPT = """
import os, sys
from alloy import ask
from alloy.backends.local.servers import SERVERS
from alloy.events import FallbackTaken
ask("?", model="local:" + sys.argv[1], output=bool, seed=1, max_tokens=1000)
(start,) = SERVERS._starts.values()
print(start.result().process.pid, flush=True)
{end}
"""


@pytest.mark.parametrize(
    "end",
    ["", "os._exit(0)", "sys.stdin.read()", "raise SystemExit(3)"],
    ids=["exit", "hard exit", "killed", "error"],
)
def test_the_server_ends_with_the_program(noise: Path, end: str) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.replace("{end}", end), str(noise)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert program.stdin is not None and program.stdout is not None
    with program, program.stdin, program.stdout:
        pid = int(program.stdout.readline())
        if end == "sys.stdin.read()":
            program.kill()
    _wait_for_the_end(pid)


def _wait_for_the_end(pid: int) -> None:
    """Wait until no process has the *pid*, or only one that nobody has waited for."""
    import time

    for _ in range(int(PATIENCE * 10)):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        time.sleep(0.1)
    raise AssertionError(f"the server {pid} is still running")


def test_ctrl_c_in_the_terminal_ends_the_program_and_its_server(noise: Path) -> None:
    """The terminal sends SIGINT to every process of its group."""
    # A shell starts a background job with SIGINT ignored, and its children inherit that.
    script = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + SCRIPT
    program = subprocess.Popen(
        [sys.executable, "-c", script.replace("{end}", "sys.stdin.read()"), str(noise)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert program.stdin is not None and program.stdout is not None and program.stderr is not None
    with program, program.stdin, program.stdout, program.stderr:
        pid = int(program.stdout.readline())
        os.killpg(program.pid, signal.SIGINT)
        program.wait()
        assert b"KeyboardInterrupt" in program.stderr.read()
    _wait_for_the_end(pid)


def _in_child(noise: str, results: Any) -> None:
    value = ask("?", model=f"local:{noise}", seed=1, output=Pet)
    results.put((type(value).__name__, servers()[-1].process.pid))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_starts_its_own_server(noise: Path) -> None:
    SERVERS.close()
    ask("?", model=f"local:{noise}", seed=1, output=Pet)
    fork = multiprocessing.get_context("fork")
    results = fork.Queue()
    child = fork.Process(target=_in_child, args=(str(noise), results))
    child.start()
    name, pid = results.get()
    child.join()
    assert name == "Pet" and pid != servers()[0].process.pid
    _wait_for_the_end(pid)
    assert isinstance(ask("?", model=f"local:{noise}", seed=1, output=Pet), Pet)
    assert servers()[0].alive


def _inherited(results: Any) -> None:
    results.put((len(local._children), servers(), all(pipe.closed for pipe in _pipes)))


_pipes: list[Any] = []


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_that_is_forked_while_a_model_is_loaded_keeps_no_pipe_of_its_server(noise: Path) -> None:
    """With one, the server would outlive the program that started it."""
    SERVERS.close()
    others = set(local._children)
    start = SERVERS._start(find_model(str(noise)), 0)
    while not (started := set(local._children) - others):
        time.sleep(0.001)
    _pipes[:] = [process.stdin for process in started]
    fork = multiprocessing.get_context("fork")
    results = fork.Queue()
    child = fork.Process(target=_inherited, args=(results,))
    child.start()
    assert results.get() == (0, [], True)
    child.join()
    assert start.result().alive


def test_requests_at_the_same_time_each_have_a_whole_context() -> None:
    """With a shared one, llama.cpp breaks all of them off when it is full."""
    prompts = [f"Write a very long story about {number} cats and dogs." for number in range(3)]
    ended: list[str] = []

    def tell(prompt: str) -> None:
        try:
            ask(prompt, model="local:smollm2?context=256&parallel=2&threads=1", max_tokens=180)
        except TruncatedError:
            ended.append("cut at max_tokens")
        else:
            ended.append("whole")

    threads = [threading.Thread(target=tell, args=(prompt,)) for prompt in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == 3


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def test_a_model_without_a_place_for_tools_gets_them_through_react() -> None:
    """The server says so before a request is sent: llama.cpp would leave the tools out in silence."""
    seen: list[Any] = []
    with suppress(AlloyError), listen(seen.append):  # the model is too small to follow the format reliably
        ask("What is 2 + 3? Use add.", model="local:smollm2", tools=[add], max_tokens=80)
    assert [event.feature for event in seen if isinstance(event, FallbackTaken)] == ["tools"]
