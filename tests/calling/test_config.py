"""Settings: every layer, which of them wins, and what each setting refuses."""

import asyncio
import os
import string
import threading
import warnings
from collections.abc import Iterator
from dataclasses import fields
from types import NoneType
from typing import Any, get_args, get_type_hints

import httpx2
import pytest
from kit.patience import PATIENCE

from alloy import (
    AlloyError,
    Budget,
    Cache,
    CircuitBreaker,
    Config,
    ConfigurationError,
    DeadlineError,
    EmptyAnswerError,
    ParseError,
    RateLimitError,
    ServerError,
    Transport,
    ask,
    command,
    configure,
    tool,
    use_config,
)
from alloy import config as settings
from alloy.config import current
from alloy.endpoints import ByBackend
from alloy.messages import Request
from alloy.options import Settings
from alloy.settings import ABOUT_TOOLS, SENT, SETTINGS, VARIABLES
from alloy.testing import call, replies


@pytest.fixture(autouse=True)
def process_defaults() -> Iterator[None]:
    """Undo at its end what a test sets with `configure`; a process cannot do that itself."""
    before = settings._process
    yield
    settings._process = before


# --- what the settings are ------------------------------------------------------------------------

CLIENT = httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200)))

# One valid value for each setting that differs from its default, and one that it refuses.
VALUES: dict[str, tuple[Any, Any]] = {
    "model": ("openai:gpt-5", ""),
    "backend": ("fake", 7),
    "temperature": (0.5, -0.1),
    "max_tokens": (100, 0),
    "top_p": (0.9, 1.5),
    "seed": (7, -1),
    "stop": (("END",), ["", "END"]),
    "reasoning_effort": ("low", 3),
    "system": ("Be brief.", "  "),
    "retry": (5, -1),
    "retry_on": ((RateLimitError,), (ValueError,)),
    "backoff": (2.5, -1),
    "backoff_max": (9, float("inf")),
    "retry_after_max": (0, "60"),
    "retry_budget": (60, 0),
    "fallback_on": ((RateLimitError,), (ValueError,)),
    "circuit_breaker": (CircuitBreaker(failures=3), 3),
    "budget": (Budget(tokens=9), 9),
    "cache": (Cache("answers.sqlite"), True),
    "requests_per_minute": (60, 0),
    "tokens_per_minute": (60_000, 1.5),
    "reask": (3, 1.5),
    "timeout": (2.5, 0),
    "deadline": (9, float("inf")),
    "max_response_bytes": (5_000, 0),
    "max_tool_turns": (4, True),
    "parallel_tools_max": (2, 0),
    "max_connections": (2, 0),
    "tool_errors": ("raise", "ignore"),
    "tool_timeout": (1.5, 0),
    "tool_result_max_chars": (5_000, True),
    "auto_finalize_missing_output": (False, 1),
    "tool_choice": ("none", ["add"]),
    "allowed_tools": (("add",), []),
    "parallel_tools": (False, "no"),
    "prompt_caching": (True, 1),
    "tool_mode": ("react", "prompted"),
    "output_mode": ("prompted", "react"),
    "strict_capabilities": (True, "yes"),
    "pickle_secrets": (True, "yes"),
    "on_event": ((print,), "print"),
    "base_url": ("http://localhost:1/v1", b"http://localhost:1/v1"),
    "api_key": ("sk-secret", 12345),
    "headers": (ByBackend({None: (("x-team", "search"),)}), {"x team": "search"}),
    "http_client": (ByBackend({"openai": (CLIENT,)}), "client"),
    "transport": (ByBackend({None: Transport(ca_bundle="ca.pem")}), "http://proxy.example:3128"),
    "extra": ({"openai": {"service_tier": "flex"}}, {"openai": 1}),
}


def test_every_setting_is_checked_and_tested():
    """No field of `Config` goes without a check, nor without a case in this file."""
    assert {f.name for f in fields(Config)} == SETTINGS.keys() == VALUES.keys()


@pytest.mark.parametrize("name", VALUES)
def test_none_is_accepted_where_the_types_say_so(name: str):
    """The row, the field of `Config` and the option that checkers know agree."""
    in_config = get_type_hints(Config)[name]
    as_option = get_type_hints(Settings)[name]
    try:
        accepted = SETTINGS[name].check(None) is None
    except ValueError:
        accepted = False
    assert accepted == (NoneType in get_args(in_config)) == (NoneType in get_args(as_option))


def test_a_request_carries_what_is_sent():
    """Each setting that is sent has its field in `Request`; those about tools are all sent."""
    assert set(SENT) <= {f.name for f in fields(Request)}
    assert set(SENT) >= ABOUT_TOOLS


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_says_what_it_means(name: str):
    """In one sentence of its own, which the documentation shows."""
    meaning = SETTINGS[name].meaning
    assert meaning[0] in string.ascii_uppercase + "`" and meaning.endswith(".")
    assert [other for other, row in SETTINGS.items() if row.meaning == meaning] == [name]


@pytest.mark.parametrize("name", VALUES)
def test_a_valid_value_arrives(name: str):
    """Each layer that takes settings takes every one of them."""
    value, _ = VALUES[name]
    assert getattr(Config(), name) != value
    with use_config(**{name: value}):
        assert getattr(current(), name) == value
    assert getattr(current({name: value}), name) == value
    configure(**{name: value})
    assert getattr(current(), name) == value


@pytest.mark.parametrize("name", VALUES)
def test_a_wrong_value_is_refused_everywhere_by_name(name: str):
    """Every way to set it names the wrong setting, and sets nothing."""
    _, wrong = VALUES[name]
    before = current()

    @command
    def hello() -> str:
        return "hello"

    with pytest.raises(ConfigurationError, match=rf"^configure\(\): {name} must be "):
        configure(**{name: wrong, "model": VALUES["model"][0]} if name != "model" else {name: wrong})
    with (
        pytest.raises(ConfigurationError, match=rf"^use_config\(\): {name} must be "),
        use_config(**{name: wrong}),
    ):
        pytest.fail("the block ran")
    with pytest.raises(ConfigurationError, match=rf"greet\(\): {name} must be "):

        @command(**{name: wrong})
        def greet() -> str:
            return "hello"

    with pytest.raises(ConfigurationError, match=rf"^hello\.with_options\(\): {name} must be "):
        hello.with_options(**{name: wrong})
    with pytest.raises(ConfigurationError, match=rf"^ask\(\): {name} must be "):
        ask("hello", **{name: wrong})
    assert current() == before


@pytest.mark.parametrize(
    "use",
    [
        lambda **options: configure(**options),
        lambda **options: use_config(**options).__enter__(),
        lambda **options: command(**options)(_prompt),
        lambda **options: command(_prompt).with_options(**options),
        lambda **options: ask("hello", **options),
        lambda **options: ask.stream("hello", **options),
    ],
    ids=["configure", "use_config", "command", "with_options", "ask", "ask.stream"],
)
def test_an_unknown_name_is_refused_with_the_valid_ones(use: Any):
    """A slip of the pen gets the name that was meant and the list of all."""
    with pytest.raises(ConfigurationError) as raised:
        use(temprature=0.5)
    text = str(raised.value)
    assert "no option 'temprature' (did you mean 'temperature'?)" in text
    assert all(f.name in text for f in fields(Config))


def _prompt() -> str:
    return "hello"


def test_commands_name_their_own_options_too():
    """The error for an unknown option of a command lists `output` and `tools`, too."""
    with pytest.raises(ConfigurationError, match=r"did you mean 'tools'.*output, tools, .*model"):
        command(tool=[])(_prompt)
    with pytest.raises(ConfigurationError, match="did you mean 'context'"):
        ask("hello", contxt="x")


def test_default_system_is_another_name_for_system():
    """`default_system` sets `system`, and both at once are refused."""
    with use_config(default_system="Be kind."):
        assert current().system == "Be kind."
    with (
        pytest.raises(ConfigurationError, match="are the same option"),
        use_config(system="a", default_system="b"),
    ):
        pytest.fail("the block ran")


@pytest.mark.parametrize("given", [RateLimitError, [RateLimitError], {RateLimitError}, (RateLimitError,)])
def test_retry_on_takes_a_class_or_several(given: Any):
    """However it is written, a tuple of classes comes of it."""
    with use_config(retry_on=given):
        assert current().retry_on == (RateLimitError,)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "0.5"])
def test_a_temperature_is_a_finite_number(value: Any):
    """Neither NaN nor a bool nor text is sent to a provider as a number."""
    with pytest.raises(ConfigurationError, match="temperature must be a number of at least 0"):
        configure(temperature=value)


# --- precedence -----------------------------------------------------------------------------------


@command(model="fake:decorator", retry=1)
def greet() -> str:
    """A command with a setting of its own."""
    return "hello"


def model_of(request: dict[str, Any]) -> str:
    """The model that a request names."""
    return request["model"]


def test_each_layer_wins_over_the_one_below(monkeypatch: pytest.MonkeyPatch):
    """Call over scope over `configure` over environment over the default, each setting by itself."""
    assert current().retry == 2
    monkeypatch.setenv("ALLOY_RETRY", "3")
    monkeypatch.setenv("ALLOY_REASK", "7")
    assert (current().retry, current().reask) == (3, 7)
    configure(retry=4)
    assert (current().retry, current().reask) == (4, 7)
    with use_config(retry=5):
        assert (current().retry, current().reask) == (5, 7)
        with use_config(reask=0):
            assert (current().retry, current().reask) == (5, 0)
        assert current({"retry": 6}).retry == 6
        assert current({"retry": 6}, {"retry": 7}).retry == 7
    assert (current().retry, current().reask) == (4, 7)


def test_decorator_and_with_options_win_over_the_scope():
    """A command's own model is stronger than a scope's, and a copy's is stronger still."""
    with use_config(model="fake:scope"):
        assert model_of(greet.request()) == "decorator"
        assert model_of(greet.with_options(model="fake:copy").request()) == "copy"
        assert model_of(greet.with_options(retry=0).request()) == "decorator"
        assert model_of(ask.request("hello")) == "scope"
        assert model_of(ask.request("hello", model="fake:call")) == "call"
    assert model_of(greet.request()) == "decorator"


def test_none_is_a_value_of_its_own(monkeypatch: pytest.MonkeyPatch):
    """A layer that sets `None` removes the value of a lower layer."""
    monkeypatch.setenv("ALLOY_TEMPERATURE", "0.5")
    configure(system="Be brief.", timeout=3)
    assert (current().temperature, current().system, current().timeout) == (0.5, "Be brief.", 3)
    with use_config(temperature=None, system=None, timeout=None):
        assert (current().temperature, current().system, current().timeout) == (None, None, None)
    request = greet.with_options(temperature=None, system=None).request()
    assert "temperature" not in request and "system" not in request


def test_settings_reach_the_request():
    """What is configured is what the provider gets."""
    with use_config(
        system="Be brief.", temperature=0.25, max_tokens=64, extra={"fake": {"seed": 7}, "openai": {"x": 1}}
    ):
        request = greet.request()
    assert request["system"] == "Be brief."
    assert (request["temperature"], request["max_tokens"], request["seed"]) == (0.25, 64, 7)
    assert "x" not in request


def test_configure_sets_nothing_when_one_value_is_wrong():
    """A call of `configure` is all or nothing."""
    with pytest.raises(ConfigurationError):
        configure(retry=9, reask=-1)
    assert current().retry == 2


# --- scopes ---------------------------------------------------------------------------------------


def test_a_scope_ends_with_its_block_also_by_an_error():
    """An exception ends it as well."""
    with pytest.raises(KeyError), use_config(retry=9):
        raise KeyError
    assert current().retry == 2


def test_scopes_of_threads_do_not_meet():
    """Two threads hold different scopes at the same time."""
    both, found = threading.Barrier(2), {}

    def work(retry: int) -> None:
        with use_config(retry=retry):
            both.wait(PATIENCE)
            found[retry] = current().retry
            both.wait(PATIENCE)

    threads = [threading.Thread(target=work, args=(retry,)) for retry in (3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {3: 3, 4: 4}
    assert current().retry == 2


def test_scopes_of_tasks_do_not_meet():
    """Two tasks of one loop hold different scopes at the same time."""

    async def work(retry: int, both: asyncio.Barrier) -> int:
        with use_config(retry=retry):
            await both.wait()
            return current().retry

    async def main() -> list[int]:
        both = asyncio.Barrier(2)
        return await asyncio.gather(work(3, both), work(4, both))

    assert asyncio.run(main()) == [3, 4]


def test_use_config_reaches_sync_and_async_tools():
    """A tool, sync or async, run alone or in parallel, sees the scope of the call."""

    @tool
    def look() -> str:
        """Look."""
        return str(current().max_tokens)

    @tool
    async def look_async() -> str:
        """Look."""
        return str(current().max_tokens)

    tools = [look, look_async]
    turns = (call("look"), call("look_async"), "done")
    with use_config(max_tokens=77):
        with replies(*turns):
            sync = ask.run("hello", tools=tools, deadline=PATIENCE)
        with replies(*turns):
            other = asyncio.run(ask.run_async("hello", tools=tools))
    assert [made.value for made in (*sync.tool_calls, *other.tool_calls)] == ["77"] * 4


# --- the environment ------------------------------------------------------------------------------

TEXTS: dict[str, tuple[str, Any]] = {
    "ALLOY_MODEL": ("openai:gpt-5", "openai:gpt-5"),
    "ALLOY_BACKEND": ("fake", "fake"),
    "ALLOY_TEMPERATURE": ("0.7", 0.7),
    "ALLOY_MAX_TOKENS": ("512", 512),
    "ALLOY_DEFAULT_SYSTEM": ("Be kind.", "Be kind."),
    "ALLOY_SYSTEM": ("Be brief.", "Be brief."),
    "ALLOY_RETRY": ("0", 0),
    "ALLOY_BACKOFF": ("0.1", 0.1),
    "ALLOY_BACKOFF_MAX": ("9", 9),
    "ALLOY_RETRY_AFTER_MAX": ("0", 0),
    "ALLOY_RETRY_BUDGET": ("60", 60),
    "ALLOY_CACHE": ("answers.sqlite", Cache("answers.sqlite")),
    "ALLOY_REQUESTS_PER_MINUTE": ("60", 60),
    "ALLOY_TOKENS_PER_MINUTE": ("60", 60),
    "ALLOY_REASK": ("4", 4),
    "ALLOY_TIMEOUT": ("2.5", 2.5),
    "ALLOY_DEADLINE": ("60", 60),
    "ALLOY_MAX_RESPONSE_BYTES": ("5000", 5000),
    "ALLOY_MAX_TOOL_TURNS": ("3", 3),
    "ALLOY_PARALLEL_TOOLS_MAX": ("1", 1),
    "ALLOY_MAX_CONNECTIONS": ("16", 16),
    "ALLOY_TOOL_ERRORS": ("raise", "raise"),
    "ALLOY_TOOL_TIMEOUT": ("2.5", 2.5),
    "ALLOY_TOOL_RESULT_MAX_CHARS": ("5000", 5000),
    "ALLOY_AUTO_FINALIZE_MISSING_OUTPUT": ("false", False),
    "ALLOY_REASONING_EFFORT": ("low", "low"),
    "ALLOY_TOOL_MODE": ("react", "react"),
    "ALLOY_OUTPUT_MODE": ("prompted", "prompted"),
    "ALLOY_STRICT_CAPABILITIES": ("yes", True),
    "ALLOY_PICKLE_SECRETS": ("yes", True),
    "ALLOY_BASE_URL": ("http://localhost:1", "http://localhost:1"),
    "ALLOY_EXTRA_JSON": ('{"openai": {"seed": 1}}', {"openai": {"seed": 1}}),
}


def test_every_variable_has_its_case():
    """The table above is the table of the library."""
    assert TEXTS.keys() == VARIABLES.keys()


@pytest.mark.parametrize("others", [0, 300])
@pytest.mark.parametrize("variable", TEXTS)
def test_a_variable_sets_its_setting(variable: str, others: int, monkeypatch: pytest.MonkeyPatch):
    """Each `ALLOY_*` variable arrives, and is gone when it is unset, in small and large environments."""
    for name in list(os.environ)[5:]:  # the machine's own may be few or many
        monkeypatch.delenv(name)
    for number in range(others):
        monkeypatch.setenv(f"SERVICE_{number}_PORT", "1")
    text, value = TEXTS[variable]
    name = VARIABLES[variable]
    monkeypatch.setenv(variable, f" {text} ")
    assert getattr(current(), name) == value
    monkeypatch.delenv(variable)
    assert getattr(current(), name) == getattr(Config(), name)


BAD = {
    "ALLOY_TEMPERATURE": ["warm", "nan", "-1"],
    "ALLOY_MAX_TOKENS": ["0", "many", "1.5"],
    "ALLOY_RETRY": ["-3", "often"],
    "ALLOY_REASK": ["x"],
    "ALLOY_TIMEOUT": ["0", "inf", "soon"],
    "ALLOY_DEADLINE": ["-2"],
    "ALLOY_MAX_RESPONSE_BYTES": ["0", "none"],
    "ALLOY_MAX_TOOL_TURNS": ["-4"],
    "ALLOY_PARALLEL_TOOLS_MAX": ["0", "all"],
    "ALLOY_MAX_CONNECTIONS": ["0", "many"],
    "ALLOY_TOOL_ERRORS": ["shrug"],
    "ALLOY_TOOL_TIMEOUT": ["0"],
    "ALLOY_AUTO_FINALIZE_MISSING_OUTPUT": ["maybe", "2"],
    "ALLOY_TOOL_MODE": ["prompted"],
    "ALLOY_OUTPUT_MODE": ["react"],
    "ALLOY_STRICT_CAPABILITIES": ["very"],
    "ALLOY_PICKLE_SECRETS": ["very"],
    "ALLOY_EXTRA_JSON": ["{", "[]", '{"openai": 1}', "[" * 100_000],
}


@pytest.mark.parametrize(
    ("variable", "text"), [(name, text) for name, texts in BAD.items() for text in texts]
)
def test_a_bad_variable_warns_once_and_is_ignored(variable: str, text: str, monkeypatch: pytest.MonkeyPatch):
    """The warning names the variable; the other variables still count, and there is no second warning."""
    monkeypatch.setenv(variable, text)
    monkeypatch.setenv("ALLOY_SYSTEM", "Be brief.")
    with pytest.warns(RuntimeWarning, match=f"^{variable} must be .*ignored$") as caught:
        found = current()
    assert len(caught) == 1
    assert found == Config(system="Be brief.")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setenv("ALLOY_SYSTEM", "Be kind.")  # the environment is read again
        assert current() == Config(system="Be kind.")


@pytest.mark.parametrize("text", ["1", "true", "YES", "On"])
def test_booleans_are_read_as_people_write_them(text: str, monkeypatch: pytest.MonkeyPatch):
    """All usual spellings of yes count."""
    configured = current({"auto_finalize_missing_output": False})
    assert configured.auto_finalize_missing_output is False
    monkeypatch.setenv("ALLOY_AUTO_FINALIZE_MISSING_OUTPUT", text)
    assert current().auto_finalize_missing_output is True


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch):
    """A compose file's `ALLOY_MODEL=` means nothing, without a warning."""
    monkeypatch.setenv("ALLOY_MODEL", "")
    monkeypatch.setenv("ALLOY_RETRY", "  ")
    assert current() == Config()


def test_the_shorter_system_variable_wins(monkeypatch: pytest.MonkeyPatch):
    """With both set, `ALLOY_SYSTEM` is the one that counts."""
    monkeypatch.setenv("ALLOY_SYSTEM", "short")
    monkeypatch.setenv("ALLOY_DEFAULT_SYSTEM", "long")
    assert current().system == "short"


def test_the_fake_backend_by_environment_alone(monkeypatch: pytest.MonkeyPatch):
    """`ALLOY_BACKEND=fake` runs any command offline, whatever its model is."""
    monkeypatch.setenv("ALLOY_BACKEND", "fake")

    @command(output=int, model="openai:gpt-5")
    def count() -> str:
        return "how many?"

    assert isinstance(count(), int)
    assert count() == count()


# --- secrets --------------------------------------------------------------------------------------


def test_a_key_is_in_no_repr_and_no_error():
    """Neither settings nor commands nor refusals show an API key."""
    secret = "sk-very-secret"
    with use_config(api_key=secret):
        assert secret not in repr(current())
    hidden = greet.with_options(api_key=secret)
    assert secret not in repr(hidden)
    assert secret not in repr(hidden.run.__self__)
    with pytest.raises(ConfigurationError) as raised:
        configure(api_key=[secret])
    assert secret not in str(raised.value) and "(hidden)" in str(raised.value)
    with pytest.raises(ConfigurationError) as raised, use_config(apikey=secret):
        pytest.fail("the block ran")
    assert secret not in str(raised.value)
    with replies(ServerError("down", provider="fake")), pytest.raises(ServerError) as failed:
        hidden.with_options(retry=0)()
    assert secret not in str(failed.value) + repr(vars(failed.value))


@pytest.mark.parametrize("kind", [ParseError, EmptyAnswerError, DeadlineError, ValueError])
def test_retry_on_takes_what_can_be_retried(kind: type[Exception]):
    """An answer that does not fit is asked for again by `reask`: naming its error here would do nothing."""
    with pytest.raises(ConfigurationError, match="see reask"):
        configure(retry_on=kind)


@pytest.mark.parametrize("setting", ["retry_on", "fallback_on"])
@pytest.mark.parametrize("kind", [AlloyError, Exception, BaseException, object])
@pytest.mark.parametrize("wrap", [lambda kind: kind, lambda kind: (RateLimitError, kind)], ids=["one", "two"])
def test_errors_that_come_again_are_not_retried(setting: str, kind: Any, wrap: Any):
    """A class that includes `ConfigurationError` is refused where it is written, and the text says why."""
    match = f"{kind.__name__} includes errors that would come again, such as ConfigurationError"
    with pytest.raises(ConfigurationError, match=match):
        configure(**{setting: wrap(kind)})


@pytest.mark.parametrize("value", [10**400, float("inf"), float("nan"), -1])
def test_numbers_beyond_all_sense_are_refused(value: float):
    """Also those that no float holds."""
    with pytest.raises(ConfigurationError, match="timeout must be"):
        configure(timeout=value)


def test_an_address_with_a_password_stays_out_of_the_repr():
    """As the key does."""
    assert "hunter2" not in repr(Config(base_url="http://me:hunter2@host/v1"))


@pytest.mark.parametrize("name", ["api_key", "base_url", "extra"])
def test_a_setting_that_may_hold_a_secret_is_not_shown(name: str):
    """Neither in the repr of the settings nor in the error for a wrong value."""
    secret = {"openai": {"key": "hunter2"}} if name == "extra" else "https://me:hunter2@host"
    assert "hunter2" not in repr(Config(**{name: secret}))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=f"{name} must be .*, not \\(hidden\\)$") as raised:
        configure(**{name: [secret]})  # type: ignore[arg-type,misc]
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("variable", ["ALLOY_EXTRA_JSON"])
def test_a_bad_value_that_may_hold_a_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch, variable: str):
    """The warning names the variable and the fault alone."""
    monkeypatch.setenv(variable, '{"openai": hunter2}')
    with pytest.warns(RuntimeWarning, match=variable) as caught:
        current()
    assert "hunter2" not in str(caught[0].message)


def test_extra_for_a_backend_that_does_not_exist_is_refused():
    """A misspelt name would be left out in silence."""
    with pytest.raises(
        ConfigurationError, match=r"opnai is not a backend .did you mean 'openai'.*; the backends are "
    ):
        ask("x", backend="fake", extra={"opnai": {"a": 1}})


@pytest.mark.parametrize("options", [{"tool_choice": "addd"}, {"allowed_tools": ["addd"]}])
def test_a_tool_that_does_not_exist_cannot_be_chosen(options: dict[str, Any]):
    """Also where there are no tools at all."""
    with pytest.raises(ConfigurationError, match="names addd, but the tools are none"):
        ask("x", backend="fake", **options)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("max_retries", "retry"),
        ("retries", "retry"),
        ("max_output_tokens", "max_tokens"),
        ("max_completion_tokens", "max_tokens"),
        ("stop_sequences", "stop"),
        ("system_prompt", "system"),
        ("instructions", "system"),
        ("api_base", "base_url"),
        ("apikey", "api_key"),
        ("Temperature", "temperature"),
        ("MAX_RETRIES", "retry"),
        ("provider", "backend"),
        ("effort", "reasoning_effort"),
        ("callbacks", "on_event"),
        ("proxies", "transport"),
        ("top_k", "extra"),
        ("max_turns", "max_tool_turns"),
    ],
)
def test_what_other_libraries_call_a_setting_is_understood(given: str, meant: str):
    """Also where the two names do not resemble each other."""
    for use in (configure, lambda **options: ask("hello", **options)):
        with pytest.raises(ConfigurationError, match=f"no option '{given}' .did you mean '{meant}'"):
            use(**{given: 1})


@pytest.mark.parametrize("given", ["output_type", "response_format", "schema"])
def test_only_what_is_valid_there_is_suggested(given: str):
    """`output` is an option of calls, and not a setting."""
    with pytest.raises(ConfigurationError, match="did you mean 'output'"):
        ask("hello", **{given: int})  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError) as caught:
        configure(**{given: int})  # type: ignore[call-arg]
    assert "did you mean 'output'" not in str(caught.value)
