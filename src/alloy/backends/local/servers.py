"""The servers of local models: one child process for each model, shared by all threads and event loops."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import re
import subprocess
import sys
import threading
from collections import deque
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from weakref import WeakSet

from alloy.backends.base import CancelToken
from alloy.backends.local.model_files import LocalModel
from alloy.errors import ConfigurationError, ProviderTimeoutError
from alloy.threads import in_forked_child, start_thread

__all__ = ["SERVERS", "LocalServer", "Servers", "check_package"]

CHILD = Path(__file__).with_name("child.py")
LEAVING = 5  # seconds in which a child ends by itself, before it is killed
LOG_LINES = 20
_OF_VISION = re.compile("clip|mtmd|mmproj|multimodal", re.IGNORECASE)
# llama.cpp's threads wait for each other after every step. With the default, they spin meanwhile, which on a
# busy machine takes the time from the thread that they wait for: 103 s instead of 1.1 s for a short answer.
# https://www.openmp.org/spec-html/5.0/openmpse55.html
_ENVIRONMENT = {"OMP_WAIT_POLICY": "passive"}


_children: WeakSet[subprocess.Popen[bytes]] = WeakSet()


class Abilities(NamedTuple):
    """What a model supports, as its server says."""

    tools: bool
    vision: bool
    context: int  # tokens


class LocalServer:
    """A running child process with one model. Raises `ConfigurationError` when it cannot start.

    The child ends when *process.stdin* is closed. The API key keeps other users of this machine out.
    """

    def __init__(self, model: LocalModel, port: int) -> None:
        self.model = model
        self.key = os.urandom(16).hex()
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self.process = _child()
        _children.add(self.process)
        self._reader = threading.Thread(target=self._read_log, name="alloy-local-log", daemon=True)
        start_thread(self._reader)
        self.address = self._started(port)
        self.abilities = self._abilities()

    @property
    def alive(self) -> bool:
        """Whether the process is still there."""
        return self.process.poll() is None

    def has_ended(self) -> bool:
        """Whether the process has ended, or does so now: its connections break a little earlier."""
        try:
            return self.process.wait(LEAVING) is not None
        except subprocess.TimeoutExpired:
            return False

    @property
    def last_words(self) -> str:
        """The first error that llama.cpp logged, which is the cause of the following ones."""
        return next(iter(self._log), "")

    def close(self) -> None:
        """End the process and wait for it."""
        self._stdin.close()
        try:
            self.process.wait(LEAVING)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join()
        _children.discard(self.process)

    @property
    def _stdin(self) -> Any:
        return self.process.stdin

    def _started(self, port: int) -> str:
        options = {**self.model._asdict(), "port": port, "key": self.key}
        stdout: Any = self.process.stdout
        try:
            self._stdin.write(json.dumps(options).encode() + b"\n")
            self._stdin.flush()
            answer = json.loads(stdout.readline() or b"{}")
        except (OSError, ValueError) as error:
            answer = {"error": str(error)}
        stdout.close()
        if "address" in answer:
            return str(answer["address"])
        self.close()
        raise self._failed(answer.get("error", f"exit status {self.process.returncode}"), port)

    def _failed(self, error: str, port: int) -> ConfigurationError:
        cause = self.last_words or error
        path = self.model.path
        advice = "the file may be incomplete, or of a newer format than this xllamacpp knows"
        if "main model" in cause:
            advice = f"it is the vision part of a model: local:PATH?mmproj={path}"
        elif self.model.mmproj and _OF_VISION.search(" ".join((*self._log, error))):
            path = self.model.mmproj
            advice = f"the file may be incomplete, or not the vision part of {self.model.path}"
        elif "bind" in cause:
            advice = f"the port {port} is taken: choose another one in base_url, or leave base_url out"
        elif "memory" in cause or "alloc" in cause:
            advice = "there is not enough memory: choose a smaller model or a smaller context"
        return ConfigurationError(f"local:{self.model.name}: llama.cpp cannot run {path} ({cause}): {advice}")

    def _read_log(self) -> None:
        stderr: Any = self.process.stderr
        with stderr:
            for line in stderr:
                # "0.00.029.863 E llama_model_load: error loading model: …"
                _, level, message = [*line.decode("utf-8", "replace").split(" ", 2), "", ""][:3]
                if level == "E" and len(self._log) < LOG_LINES:
                    self._log.append(message.strip())

    def _abilities(self) -> Abilities:
        parts = urlsplit(self.address)
        connection = HTTPConnection(parts.hostname or "", parts.port)
        connection.request("GET", "/props", headers={"Authorization": f"Bearer {self.key}"})
        with closing(connection), connection.getresponse() as response:
            told = json.load(response)
        template = told.get("chat_template_caps") or {}
        return Abilities(
            tools=bool(template.get("supports_tools", True)),
            vision=bool((told.get("modalities") or {}).get("vision")),
            context=int(told["default_generation_settings"]["n_ctx"]),
        )


def check_package() -> None:
    """Raise `ConfigurationError` when what runs a model is not installed."""
    if find_spec("xllamacpp") is None:
        raise ConfigurationError("this model needs the package 'xllamacpp': pip install 'alloy-ai[local]'")


def _child() -> subprocess.Popen[bytes]:
    check_package()
    # In a session of its own, so that Ctrl-C reaches only the parent, which ends the child in order.
    pipe = subprocess.PIPE
    return subprocess.Popen(  # noqa: S603 - our own file
        [sys.executable, "-P", str(CHILD)],
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        start_new_session=True,
        env={**_ENVIRONMENT, **os.environ},
    )


class Servers:
    """Finds the server of a model, or starts it. Safe to use from any thread and any event loop.

    The first call for a model starts its server in a thread; calls that come meanwhile wait for the same
    start. A server that has died is started again by the next call, and so is one that failed to start,
    because the file may have changed. At exit all are ended. A forked child forgets the servers of its
    parent and starts its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._starts: dict[tuple[LocalModel, int], Future[LocalServer]] = {}

    def get(self, model: LocalModel, port: int, cancel: CancelToken) -> LocalServer:
        """The running server of *model*. *cancel* ends the wait, not the start."""
        start = self._start(model, port)
        over = threading.Event()
        start.add_done_callback(lambda _: over.set())
        cancel.attach(over.set)
        over.wait()
        if not start.done():
            raise ProviderTimeoutError(f"the model is still being loaded from {model.path}", provider="local")
        return start.result()

    async def get_async(self, model: LocalModel, port: int) -> LocalServer:
        """As `get`. Cancelling it does not end the start."""
        return await asyncio.shield(asyncio.wrap_future(self._start(model, port)))

    def at(self, address: str) -> LocalServer | None:
        """The server at *address*, dead or alive."""
        with self._lock:
            return next((server for server in self._running() if server.address == address), None)

    def close(self) -> None:
        """End all servers."""
        with self._lock:
            running, self._starts = self._running(), {}
        for server in running:
            server.close()

    def forget(self) -> None:
        """Drop all servers, also those that are starting, without ending them: they are the parent's."""
        self._lock, self._starts = threading.Lock(), {}
        for process in list(_children):
            # Or else it would outlive the parent. A thread of the parent may hold the lock of the buffer.
            process.stdin.raw.close()  # type: ignore[union-attr]
            process.returncode = 0  # or else Python warns that it is still running
        _children.clear()

    def _start(self, model: LocalModel, port: int) -> Future[LocalServer]:
        with self._lock:
            found = self._starts.get((model, port))
            if found is not None and _is_good(found):
                return found
            start = self._starts[model, port] = Future[LocalServer]()
        if found is not None and found.exception() is None:
            found.result().close()  # it has died; this frees what is left of it
        run = partial(_run, start, model, port)
        try:
            start_thread(threading.Thread(target=run, name="alloy-local-start", daemon=True))
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            start.set_exception(error)
        return start

    def _running(self) -> list[LocalServer]:
        done = [start for start in self._starts.values() if start.done()]
        return [start.result() for start in done if start.exception() is None]


def _is_good(start: Future[LocalServer]) -> bool:
    return not start.done() or (start.exception() is None and start.result().alive)


def _run(start: Future[LocalServer], model: LocalModel, port: int) -> None:
    try:
        start.set_result(LocalServer(model, port))
    except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
        start.set_exception(error)


SERVERS = Servers()

atexit.register(SERVERS.close)
in_forked_child(SERVERS.forget)
