"""`alloy doctor` and `alloy.doctor()`: what a call would need, and what is known of servers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kit.apis import CHAT, OLLAMA, Api, every_api
from kit.patience import PATIENCE
from kit.wire import WireServer

import alloy
from alloy import CircuitBreaker, ConfigurationError, ProviderError, ask, configure, doctor, use_config
from alloy._engine.fallbacks import remember_missing_feature
from alloy._engine.routes import ModelAddress
from alloy.backends.memory import forget
from alloy.backends.registry import register_backend, registrations_undone
from alloy.cli import main

SECRET = "sk-planted-0123456789abcdef"


@pytest.fixture(autouse=True)
def clean() -> Any:
    yield
    forget()


def row(text: str, start: str) -> str:
    """The line of *text* that begins with *start*, blanks aside."""
    return next(line.strip() for line in text.splitlines() if line.strip().startswith(start))


# --- models -------------------------------------------------------------------------------------------


def test_offline_everything_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOY_BACKEND", "fake")
    found = doctor()
    assert found.ok
    assert [(model.name, model.problem) for model in found.models] == [("fake:fake", None)]
    assert str(found).endswith("Ready.")


@every_api
def test_a_server_of_this_machine_is_reached(server: WireServer, api: Api) -> None:
    """No request is made: the server sees none."""
    found = doctor(**api.options(server))
    (model,) = found.models
    assert (found.ok, model.is_reached, model.backend) == (True, True, api.name)
    assert model.address == server.url + api.base
    assert server.requests == []
    assert "(reached)" in row(str(found), "address")


@every_api
def test_a_server_that_does_not_run_is_a_problem(nobody: str, api: Api) -> None:
    found = doctor(model=f"{api.name}:{api.model}", base_url=nobody, api_key=SECRET)
    (model,) = found.models
    assert not found.ok
    assert model.is_reached is False
    assert "start the server, or correct base_url" in found.problems[0]
    assert str(found).endswith("Not ready.")


@pytest.mark.parametrize(
    ("model", "variable"),
    [
        ("openai:gpt-5.6", "OPENAI_API_KEY"),
        ("anthropic:claude-sonnet-4-6", "ANTHROPIC_API_KEY"),
        ("gemini:gemini-3-flash-preview", "GEMINI_API_KEY"),
    ],
)
def test_a_missing_key_is_a_problem_and_a_key_is_not_shown(
    model: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider's own server is not connected to."""
    found = doctor(model=model)
    assert variable in found.problems[0]
    assert not found.ok
    monkeypatch.setenv(variable, SECRET)
    found = doctor(model=model)
    assert found.ok
    assert found.models[0].is_reached is None
    assert next(key for key in found.keys if key.variable == variable).is_set
    assert SECRET not in str(found) + repr(found) + json.dumps(found.to_dict())


def test_secrets_of_settings_and_addresses_are_not_shown(server: WireServer) -> None:
    address = server.url.replace("://", f"://ann:{SECRET}@") + f"/v1?key={SECRET}"
    with use_config(
        base_url=address, api_key=SECRET, headers={"x-key": SECRET}, extra={"openai": {"a": SECRET}}
    ):
        found = doctor(model="openai-chat:qwen3")
    shown = str(found) + repr(found) + json.dumps(found.to_dict())
    assert SECRET not in shown
    shown_settings = {each.name: each.value for each in found.settings}
    assert shown_settings["base_url"] == repr(server.url + "/v1")
    assert [shown_settings[name] for name in ("api_key", "headers", "extra")] == ["(hidden)"] * 3
    assert found.models[0].address == server.url + "/v1"


def test_models_of_a_list_are_shown_without_their_secrets() -> None:
    models = ["fake:a", {"model": "fake:b", "api_key": SECRET, "base_url": f"http://ann:{SECRET}@host/v1"}]
    found = doctor(model=models)
    (shown,) = [each.value for each in found.settings]
    assert shown == (
        "[{'model': 'fake:a'}, {'model': 'fake:b', 'api_key': '(hidden)', 'base_url': 'http://host/v1'}]"
    )
    assert SECRET not in str(found) + repr(found)


def test_what_a_model_lacks_is_shown(server: WireServer) -> None:
    """By the table, and what was learned from its server in this process."""
    options = OLLAMA.options(server)
    remember_missing_feature(ModelAddress("ollama", server.url, OLLAMA.model), "tools")
    (model,) = doctor(**options).models
    assert "tools" in model.lacks
    assert "tools with structured output" in model.lacks
    assert "prompt_caching" in model.left_out
    assert "tool_choice" in model.refused
    assert "tools" in row(str(doctor(**options)), "emulated")


def test_every_model_of_a_list_is_looked_at(server: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", SECRET)
    found = doctor(model=[{"model": "ollama:qwen3", "base_url": server.url}, "gemini:gemini-3-flash-preview"])
    assert [model.name for model in found.models] == ["ollama:qwen3", "gemini:gemini-3-flash-preview"]
    assert found.ok


def test_an_unknown_model_is_a_problem_and_a_wrong_setting_an_error() -> None:
    assert "opanai" in doctor(model="opanai:gpt-5.6").problems[0]
    assert "no model" in doctor().problems[0]
    with pytest.raises(ConfigurationError, match=r"doctor\(\): no option 'modle' \(did you mean 'model'\?\)"):
        doctor(modle="gpt-5.6")  # type: ignore[call-arg]


def test_a_model_of_another_package_may_say_what_is_missing() -> None:
    """`check` is an optional part of a backend, like `load`."""
    from alloy.backends.fake.backend import FakeBackend

    class Picky(FakeBackend):
        name = "picky"

        def check(self, model: str, endpoint: Any) -> None:
            if model != "good":
                raise ConfigurationError(f"no model {model} here: pull it first")

    with registrations_undone():
        register_backend("picky", backend := Picky())
        backend.name = "picky"
        assert doctor(model="picky:good").ok
        assert doctor(model="picky:bad").problems == ("picky:bad: no model bad here: pull it first",)


def test_a_local_model_needs_its_file() -> None:
    assert "no-such-file.gguf" in doctor(model="local:no-such-file.gguf").problems[0]


# --- servers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("localhost", True),
        ("[::1]", True),
        ("[::ffff:127.0.0.1]", True),
        ("0.0.0.0", True),
        ("127.example.com", False),
        ("127.1", False),
        ("localhost.example.com", False),
        ("10.0.0.1", False),
        ("[2001:db8::1]", False),
    ],
)
def test_only_servers_of_this_machine_are_connected_to(host: str, is_here: bool) -> None:
    """What a name begins with says nothing: 127.example.com may be anywhere."""
    (model,) = doctor(model="openai-chat:m", base_url=f"http://{host}:1/v1").models
    assert (model.is_reached is None) is not is_here


def test_a_server_of_ollama_is_found_without_a_scheme(
    server: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its variable, by the setting, and at its usual port."""
    (model,) = doctor(model="ollama:m", base_url=f"ann:{SECRET}@127.0.0.1:{server.port}").models
    assert (model.address, model.is_reached) == (server.url, True)
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{server.port}/behind")
    (model,) = doctor(model="ollama:m").models
    assert (model.address, model.is_reached) == (f"{server.url}/behind", True)
    monkeypatch.delenv("OLLAMA_HOST")
    (model,) = doctor(model="ollama:m").models
    assert model.address == "http://127.0.0.1:11434"
    assert model.is_reached is not None
    for given, address in {
        "host": "http://host:11434",
        ":1234": "http://127.0.0.1:1234",
        "[::1]": "http://[::1]:11434",
        "http://host": "http://host",
        "host:port": "host:…",
    }.items():
        assert doctor(model="ollama:m", base_url=given).models[0].address == address


def test_a_model_of_another_package_may_have_any_address() -> None:
    """Its `address` raises nothing, and so nobody has checked what it returns."""
    from alloy.backends.fake.backend import FakeBackend

    class Remote(FakeBackend):
        name = "remote"

        def address(self, endpoint: Any) -> str | None:
            return endpoint.base_url

    with registrations_undone():
        register_backend("remote", backend := Remote())
        backend.name = "remote"
        for address in ("http://[::1", "http://127.0.0.1:99999", "http://127.0.0.1:x", "http://a..b"):
            (problem,) = doctor(model="remote:m", base_url=address, connect=True).problems
            assert f"{address.replace(':x', ':…')} is not an address, because its " in problem
        for address in ("somewhere", "cloud project", "ftp://127.0.0.1"):
            assert doctor(model="remote:m", base_url=address, connect=True).ok


# --- settings and packages ----------------------------------------------------------------------------


def test_where_a_setting_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """The strongest source counts, and defaults are not listed."""
    monkeypatch.setenv("ALLOY_BACKEND", "fake")
    monkeypatch.setenv("ALLOY_RETRY", "3")
    monkeypatch.setenv("ALLOY_TIMEOUT", "7")
    monkeypatch.setattr("alloy.config._process", {})
    configure(retry=4, reask=2)
    with use_config(reask=3):
        found = doctor(temperature=0.5)
    assert {each.name: (each.value, each.source) for each in found.settings} == {
        "backend": ("'fake'", "ALLOY_BACKEND"),
        "timeout": ("7.0", "ALLOY_TIMEOUT"),
        "retry": ("4", "configure()"),
        "reask": ("3", "use_config()"),
        "temperature": ("0.5", "an argument"),
    }


@pytest.mark.filterwarnings("ignore:ALLOY_RETRY")
def test_variables_that_are_ignored_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"ALLOY_BACKEND": "fake", "ALLOY_RETRY": "rarely", "ALLOY_MODLE": "gpt-5.6"}.items():
        monkeypatch.setenv(name, text)
    found = doctor()
    assert found.ok
    assert found.notes == (
        "ALLOY_MODLE is ignored: no setting has this variable (did you mean 'ALLOY_MODEL'?)",
        "ALLOY_RETRY is ignored: it must be an int",
    )


def test_packages_are_listed_once_with_their_versions() -> None:
    import openai

    packages = {each.name: each for each in doctor().packages}
    assert (packages["openai"].installed, packages["openai"].extra) == (openai.__version__, "openai")
    assert packages["openai"].is_right
    assert len(packages) == len(doctor().packages)


@every_api
def test_an_sdk_of_another_version_is_a_problem(
    server: WireServer, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the models that would be asked; that of another provider is noted."""
    (*_, package) = api.backend.packages  # type: ignore[attr-defined]
    found = tmp_path / f"{package.replace('-', '_')}-0.1.dist-info"
    found.mkdir()
    (found / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1\n")
    monkeypatch.syspath_prepend(tmp_path)

    checked = doctor(**api.options(server))
    (problem,) = checked.problems
    assert problem.startswith(f"{api.name}:{api.model}: {package} 0.1 is installed, and Alloy needs >=")
    assert "pip install 'alloy-ai[" in problem
    assert not any(package in note for note in checked.notes)
    other = doctor(backend="fake")
    assert other.ok
    assert any(note.startswith(f"{package} 0.1 is installed") for note in other.notes)


@pytest.mark.parametrize(
    ("version", "bounds", "fits"),
    [
        ("2.34", ">=2.34,<4", True),
        ("2.34.0rc1", ">=2.34,<4", True),
        ("2.33.9", ">=2.34,<4", False),
        ("4.0", ">=2.34,<4", False),
        ("10.1", ">=2.34", True),
        ("2", "<4,>=2.0", True),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, bounds: str, fits: bool) -> None:
    from alloy.checkup import _is_within

    assert _is_within(version, bounds) is fits


# --- circuits -----------------------------------------------------------------------------------------


@every_api
def test_an_open_circuit_is_visible(server: WireServer, api: Api) -> None:
    """With its model and address, whichever call has the breaker."""
    breaker = CircuitBreaker(failures=2)
    server.script(api.failure(503, "overloaded", None), api.failure(503, "overloaded", None))
    for _ in range(2):
        with pytest.raises(ProviderError):
            ask("Hi", **api.options(server), circuit_breaker=breaker)
    found = doctor(**api.options(server))
    (circuit,) = [each for each in found.circuits if each.address == server.url + api.base]
    assert (circuit.backend, circuit.model) == (api.name, api.model)
    assert (circuit.state, circuit.failures) == ("open", 2)
    assert "open, 2 failures, next trial in" in row(str(found), f"{api.name}:{api.model}")
    assert breaker.states()  # it lives until here


def test_a_closed_circuit_shows_its_failures(server: WireServer) -> None:
    breaker = CircuitBreaker()
    server.script(CHAT.failure(503, "overloaded", None))
    with pytest.raises(ProviderError):
        ask("Hi", **CHAT.options(server), circuit_breaker=breaker)
    assert any("closed, 1 failure" in line for line in str(doctor()).splitlines())
    assert breaker.states()


# --- the command line ---------------------------------------------------------------------------------


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("ALLOY_", "OPENAI_"))}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "alloy", *arguments],
        env={**kept, **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_the_command_in_a_process_of_its_own() -> None:
    """0 and 1, as text and as JSON; a variable that is ignored is no line on stderr."""
    ran = run("doctor", ALLOY_BACKEND="fake", ALLOY_RETRY="often")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(f"Alloy {alloy.__version__}, Python 3.")
    ran = run("doctor", "--model", "gpt-5.6", "--json")
    found = json.loads(ran.stdout)
    assert (ran.returncode, ran.stderr, found["ok"]) == (1, "", False)
    assert found["models"][0]["name"] == "openai:gpt-5.6"


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_any_terminal_can_show_it(encoding: str) -> None:
    """A character that it cannot show is escaped, and so is one that would control it."""
    ran = run("doctor", "--model", "fake:größe\u4e2d\x1b[31m", PYTHONIOENCODING=encoding)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "\x1b" not in ran.stdout
    assert row(ran.stdout, "Model fake:gr").endswith("\\x1b[31m")


def test_several_models_are_given_as_in_the_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--model", "fake:a, fake:b", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [model["name"] for model in found["models"]] == ["fake:a", "fake:b"]
    assert main(["doctor", "--model", "fake:a,"]) == 2
    assert "entry 2 must be a non-empty str" in capsys.readouterr().err


def test_wrong_arguments_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["doctr"], ["doctor", "--modle", "a"], []):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
    assert main(["doctor", "--model", ""]) == 2
    assert "model must be a non-empty str" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--help"])
    assert ended.value.code == 0
    assert "Exit status" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"alloy {alloy.__version__}\n"


# --- the response cache -------------------------------------------------------------------------------


def test_a_cache_and_what_is_wrong_with_it(tmp_path: Path) -> None:
    """How many answers it has; its file is neither made nor changed."""
    file = tmp_path / "answers.sqlite"
    found = doctor(model="fake:m", cache=file)
    assert found.cache is not None
    assert (found.cache.answers, found.ok, file.exists()) == (0, True, False)
    with use_config(model="fake:m", cache=file):
        ask("Hello")
    found = doctor(model="fake:m", cache=file)
    assert re.search(rf"Response cache\n  {re.escape(str(file))}  1 answer  0\.0 MB\n", str(found))
    assert found.to_dict()["cache"]["answers"] == 1

    file.unlink()
    file.write_bytes(b"a novel " * 100)
    found = doctor(model="fake:m", cache=file)
    assert (found.cache, found.ok) == (None, False)
    assert re.search(r"Problems\n  Cache: '.*answers.sqlite' cannot be read: it is damaged", str(found))
    (problem,) = doctor(model="fake:m", cache=tmp_path / "missing" / "x").problems
    assert "there is no folder" in problem
    assert doctor(model="fake:m").cache is None
