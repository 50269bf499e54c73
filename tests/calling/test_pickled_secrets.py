"""A pickled command has no key, unless a setting asks for it: workers take theirs from their environment."""

from __future__ import annotations

import copy
import functools
import pickle
from concurrent.futures import Executor, Future
from typing import Any

import pytest
from kit.walking import parts_of, texts_of

from alloy import ConfigurationError, Transport, WorkerError, command, configure, use_config
from alloy import config as config_module
from alloy.maps.executors import _sendable

SECRET = f"gate-{9**24}"


@command(model="openai:gpt-5.6")
def greet(name: str) -> str:
    """Greet."""
    return f"Greet {name}."


def held_key() -> str:
    """A key function that a worker can import."""
    return "key-of-the-worker"


class Desk:
    """A command in a class."""

    @command(model="openai:gpt-5.6")
    def greet(self, name: str) -> str:
        """Greet."""
        return f"Greet {name}."


LOGIN = f"https://bob:{SECRET}@gate.example/v1?api-version=2&key={SECRET}"
HIDING: dict[str, dict[str, Any]] = {
    "key": {"api_key": SECRET},
    "address": {"base_url": LOGIN},
    "headers": {"headers": {"x-team": SECRET, "anthropic-beta": "context-1m"}},
    "headers by backend": {"headers": {"openai": {"authorization": SECRET}, "gemini": {"x-a": SECRET}}},
    "proxy": {"transport": Transport(proxy=LOGIN, client_certificate=("a", "b", SECRET))},
    "proxies": {"transport": {"openai": Transport(proxy=LOGIN)}},
    "fields": {
        "extra": {"openai": {"user_token": SECRET, "tools": [{"authorization": SECRET}], "max_tokens": 5}}
    },
    "models": {"model": ["gpt-5.6", {"model": "openai-chat:x", "api_key": SECRET, "base_url": LOGIN}]},
}
every_hiding = pytest.mark.parametrize("options", HIDING.values(), ids=HIDING.keys())


def settings_of(given: Any) -> dict[str, Any]:
    """The settings of a command."""
    return dict(given._options.settings)


@every_hiding
@pytest.mark.parametrize("base", [greet, Desk().greet], ids=["function", "method"])
def test_a_pickle_has_no_secret(base: Any, options: dict[str, Any]) -> None:
    """In any protocol, of any copy, and of a copy of a copy."""
    for given in (base.with_options(**options), base.with_options(**options).with_options(temperature=0)):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            data = pickle.dumps(given, protocol)
            assert parts_of(SECRET, data.decode("latin-1")) == []
        assert repr(pickle.loads(data)) == repr(given)


def plain(name: str) -> str:
    """Greet."""
    return f"Greet {name}."


@every_hiding
def test_a_command_that_is_pickled_by_its_parts_has_no_secret(options: dict[str, Any]) -> None:
    """No module has it by its name, so its checked options are in the pickle."""
    made = command(**options)(plain)
    data = pickle.dumps(made)
    assert parts_of(SECRET, data.decode("latin-1")) == []
    assert repr(pickle.loads(data)) == repr(made)
    with use_config(pickle_secrets=True):
        assert settings_of(pickle.loads(pickle.dumps(made))) == settings_of(made)


@every_hiding
def test_a_copy_in_the_process_keeps_it(options: dict[str, Any]) -> None:
    """`copy` and `deepcopy` are no pickles."""
    given = greet.with_options(**options)
    for way in (copy.copy, copy.deepcopy):
        assert settings_of(way(given)) == settings_of(given)


@every_hiding
def test_a_setting_keeps_it_in_the_pickle(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """As an option before or after, in a block, for the process, and from the environment."""
    asked = [
        greet.with_options(**options, pickle_secrets=True),
        greet.with_options(**options).with_options(pickle_secrets=True),
        greet.with_options(pickle_secrets=True).with_options(**options),
    ]
    for given in asked:
        assert settings_of(pickle.loads(pickle.dumps(given))) == settings_of(given)
    given = greet.with_options(**options)
    with use_config(pickle_secrets=True):
        assert settings_of(pickle.loads(pickle.dumps(given))) == settings_of(given)
        kept_out = given.with_options(pickle_secrets=False)
        assert SECRET not in pickle.dumps(kept_out).decode("latin-1")
    monkeypatch.setenv("ALLOY_PICKLE_SECRETS", "true")
    assert settings_of(pickle.loads(pickle.dumps(given))) == settings_of(given)
    monkeypatch.delenv("ALLOY_PICKLE_SECRETS")
    monkeypatch.setattr(config_module, "_process", {})
    configure(pickle_secrets=True)
    assert settings_of(pickle.loads(pickle.dumps(given))) == settings_of(given)


def test_what_is_no_secret_stays() -> None:
    """The address, public headers, fields, certificates, models, and a key function that can be imported."""
    back = {
        name: settings_of(pickle.loads(pickle.dumps(greet.with_options(**options))))
        for name, options in HIDING.items()
    }
    assert back["address"]["base_url"] == "https://gate.example/v1?api-version=2"
    assert back["headers"]["headers"] == {None: (("anthropic-beta", "context-1m"),)}
    assert "headers" not in back["headers by backend"]
    transport = back["proxy"]["transport"][None]
    assert (transport.proxy, transport.client_certificate) == (
        "https://gate.example/v1?api-version=2",
        ("a", "b"),
    )
    assert back["fields"]["extra"] == {"openai": {"tools": [{}], "max_tokens": 5}}
    assert back["models"]["model"][1] == {
        "model": "openai-chat:x",
        "base_url": "https://gate.example/v1?api-version=2",
    }
    assert "api_key" not in back["key"]
    held = greet.with_options(api_key=held_key, default_system="Be brief.").with_options(system="Be kind.")
    assert settings_of(pickle.loads(pickle.dumps(held)))["api_key"].function is held_key


def test_a_key_function_with_a_key_in_it_stays_here() -> None:
    """Cloudpickle would copy its variables."""
    for function in (lambda: SECRET, functools.partial(str, SECRET)):
        given = greet.with_options(api_key=function)
        assert "api_key" not in settings_of(pickle.loads(pickle.dumps(given)))


class Unwilling:
    """An object whose own methods raise when it is pickled, with a text of its own."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, *_: Any) -> Any:
        return self.text

    def __reduce__(self) -> Any:
        raise OSError(f"no copy of {self.text}!") from ValueError(self.text)


@every_hiding
def test_what_an_object_says_when_it_is_pickled_shows_no_secret(options: dict[str, Any]) -> None:
    """Of the command itself, and of the settings in force."""
    for option in ("on_event", "parser"):
        given = greet.with_options(**options, **{option: Unwilling(SECRET)})
        with pytest.raises(
            ConfigurationError, match=rf"option {option} .*OSError: no copy of \[key\]!"
        ) as info:
            pickle.dumps(given)
        assert parts_of(SECRET, texts_of(info.value)) == []
        with use_config(**options), pytest.raises(ConfigurationError, match=r"no copy of \[key\]!"):
            pickle.dumps(greet.with_options(**{option: Unwilling(SECRET)}))


def test_what_an_object_says_shows_no_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key is not always a setting."""
    for name, value in (("SOME_API_KEY", SECRET), ("SOME_URL", f"http://bob:{SECRET}@gate.example/")):
        monkeypatch.setenv(name, value)
        with pytest.raises(ConfigurationError, match=r"no copy of \[key\]!"):
            pickle.dumps(greet.with_options(parser=Unwilling(SECRET)))
        monkeypatch.delenv(name)
    with pytest.raises(ConfigurationError, match=f"no copy of {SECRET}!"):
        pickle.dumps(greet.with_options(parser=Unwilling(SECRET)))


class Sending(Executor):
    """Pickles what it is given, as a pool of processes does."""

    def submit(self, function: Any, /, *args: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(pickle.loads(pickle.dumps(function))(*args, **named))
        except Exception as error:
            future.set_exception(error)
        return future


@command(model="fake:m")
def shout(word: Any) -> str:
    """Shout."""
    return "Shout."


def test_an_input_that_cannot_be_sent_shows_no_secret() -> None:
    """To a worker."""
    asked = shout.with_options(api_key=SECRET)
    (outcome,) = asked.map([Unwilling(SECRET)], executor=Sending(), on_error="return")
    assert isinstance(outcome, WorkerError)
    assert "OSError: no copy of [key]!" in str(outcome)
    assert parts_of(SECRET, texts_of(outcome)) == []


def test_a_value_that_cannot_be_sent_back_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a worker, which has the key of its environment."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    done = _sendable("shout", None, ValueError(Unwilling(SECRET)))
    assert isinstance(done[1], WorkerError)
    assert parts_of(SECRET, texts_of(done[1])) == []
