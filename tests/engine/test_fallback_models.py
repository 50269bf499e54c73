"""Fallback models: when one model fails, the next one of a list is asked."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from kit.apis import ANTHROPIC, APIS, CHAT, OLLAMA, RESPONSES, Api, every_api
from kit.patience import limits
from kit.scripted import ROUTE, Driven, question
from kit.talking import KEY
from kit.ways import Asked, every_way, weather
from kit.wire import Answer, Gate, WireServer, ollama

import alloy
from alloy import (
    AlloyError,
    AuthenticationError,
    CircuitBreaker,
    ConfigurationError,
    Conversation,
    DeadlineError,
    FilteredError,
    Image,
    ParseError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    RefusalError,
    ServerError,
    ToolError,
    TruncatedError,
    UnsupportedError,
    ask,
    command,
    configure,
    register_backend,
    tool,
    use_config,
)
from alloy import config as config_module
from alloy._engine.effects import CallModel
from alloy._engine.policy import Policy
from alloy._engine.routes import Route
from alloy.backends import Capabilities
from alloy.backends.fake.backend import FakeBackend
from alloy.backends.registry import registrations_undone
from alloy.config import current
from alloy.effects import Effect, Script
from alloy.events import CallFailed, CallStarted, FallbackTaken, RequestSent
from alloy.extras import import_extra
from alloy.messages import Echo, Reply, Request, User
from alloy.testing import call, replies

DOWN = ServerError("down", provider="fake", transient=False)
BUSY = RateLimitError("slow down", provider="fake")
TWO = ["fake:a", "fake:b"]


def refusal(text: str = "") -> Reply:
    """A reply in which the model refuses."""
    return Reply(text, finish="refusal", explanation="no")


def at(api: Api, server: WireServer, **own: Any) -> dict[str, Any]:
    """The entry for *api* in a list of models."""
    return {"model": f"{api.name}:{api.model}", "base_url": server.url + api.base, "api_key": KEY, **own}


def streamed(way: Any) -> bool:
    """Whether the requests of *way* are streams."""
    return "stream" in way.__name__


# --- over the wire ----------------------------------------------------------------------------------


@every_api
@pytest.mark.parametrize("second", APIS, ids=repr)
@every_way
def test_a_call_with_tools_moves_to_another_provider(server: WireServer, api: Any, second: Any, way: Any):
    """The history goes along, the first provider's reasoning does not, and no tool runs again."""
    mode = "open" if streamed(way) else "send"
    answers = iter(
        [
            api.answer(mode, "Let me look.", calls=[("weather", {"city": "Rome"})], thought="FIRST-THOUGHT"),
            api.failure(500, "down", None),
            second.answer(mode, "It is sunny."),
        ]
    )
    server.always = lambda request: (
        ollama.shown("tools") if request.path.endswith("/api/show") else next(answers)
    )
    ran: list[str] = []

    @tool
    def weather(city: str) -> str:
        """The weather in a city."""
        ran.append(city)
        return f"sunny in {city}"

    seen: list[Any] = []
    models = [at(api, server), at(second, server)]
    result, text = way(Asked("Where?", model=models, tools=[weather], retry=0, on_event=seen.append))

    assert (result.value, ran) == ("It is sunny.", ["Rome"])
    assert result.model.startswith(f"{second.name}:")
    assert text is None or text.endswith("It is sunny.")
    sent = json.dumps(server.requests[-1].json, ensure_ascii=False)
    assert "FIRST-THOUGHT" not in sent
    for part in ("Where?", "Let me look.", "weather", "Rome", "sunny in Rome"):
        assert part in sent
    [taken] = [event for event in seen if isinstance(event, FallbackTaken) and event.feature == "model"]
    assert (taken.model, type(taken.error)) == (f"{second.name}:{second.model}", ServerError)


@every_api
@every_way
def test_all_models_fail(server: WireServer, api: Any, way: Any):
    """The last error is the caller's, and says how each model before has failed."""
    first = at(CHAT, server)
    server.script(CHAT.failure(401, "wrong key", "invalid_api_key"), api.failure(503, "overloaded", None))
    with pytest.raises(ServerError, match="overloaded") as caught:
        way(Asked(model=[first, at(api, server)], retry=0))
    error = pickle.loads(pickle.dumps(caught.value))
    [before] = error.earlier
    assert isinstance(before, AuthenticationError)
    [note] = error.__notes__
    assert note.startswith(f"{first['model']} was asked before: AuthenticationError: openai-chat: wrong key")
    assert (caught.value.attempts, KEY in note) == (2, False)


@every_way
def test_a_model_that_cannot_be_reached_is_down(server: WireServer, way: Any):
    """No server there: the next model is asked."""
    nobody = {"model": "ollama:qwen3", "base_url": "http://127.0.0.1:9"}
    server.script(CHAT.answer("open" if streamed(way) else "send", "Hello"))
    result, _ = way(Asked(model=[nobody, at(CHAT, server)], retry=0))
    assert (result.value, result.attempts) == ("Hello", 2)


@pytest.mark.parametrize("way", ["stream", "stream_async"])
def test_after_the_first_text_no_other_model_is_asked(server: WireServer, way: str):
    """A reader has seen it. The error has the text."""
    events = CHAT.events(CHAT.whole("Once upon a time"), lambda text: [text[:4], text[4:]])
    answer = CHAT.stream(events)
    answer.body = answer.body[:4]  # type: ignore[index]
    server.script(answer)
    models = [at(CHAT, server), at(ANTHROPIC, server)]

    async def read() -> list[str]:
        return [piece async for piece in ask.stream_async("x", model=models, retry=0)]

    with pytest.raises(ProviderError) as caught:
        list(ask.stream("x", model=models, retry=0)) if way == "stream" else asyncio.run(read())
    assert caught.value.text.startswith("Once")
    assert len(server.requests) == 1


def test_each_model_gets_its_own_options(server: WireServer):
    """Those of the call are for all, and what a next model refuses is left out."""
    server.script(OLLAMA.failure(500, "down"), ANTHROPIC.answer("send", "Hello"))
    models = [at(OLLAMA, server, temperature=0.25, system="Be brief."), at(ANTHROPIC, server, max_tokens=77)]
    ask("x", model=models, retry=0, seed=7, max_tokens=99, system="Be kind.", stop="END")
    first, second = (request.json for request in server.requests)
    assert first["options"] == {"temperature": 0.25, "seed": 7, "num_predict": 99, "stop": ["END"]}
    assert first["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (second["max_tokens"], second["stop_sequences"]) == (77, ["END"])
    assert "Be kind." in json.dumps(second["system"])
    assert not {"seed", "temperature"} & second.keys()


def test_a_setting_that_its_own_model_refuses_is_an_error(server: WireServer):
    """The first model of a list, and one whose entry has the setting."""
    with pytest.raises(ConfigurationError, match="does not support seed"):
        ask("x", model=[at(ANTHROPIC, server), at(OLLAMA, server)], seed=7)
    with pytest.raises(ConfigurationError, match="does not support seed"):
        ask("x", model=[at(OLLAMA, server), at(ANTHROPIC, server, seed=7)])
    assert server.requests == []


def test_no_provider_gets_the_key_of_another_one(server: WireServer):
    """A key for all models is refused, unless each goes to an address that the user has written."""
    models = ["openai-chat:gpt-5.6", "anthropic:claude-haiku-4-5"]
    with pytest.raises(ConfigurationError, match="api_key is set for models of several providers") as caught:
        ask("x", model=models, api_key=KEY)
    assert KEY not in str(caught.value)
    ask.request("x", model=models, api_key=KEY, base_url=server.url)
    ask.request("x", model=["openai-chat:gpt-5.6", "openai-chat:gpt-5"], api_key=KEY)


def test_no_address_gets_the_keys_of_several_providers(server: WireServer, monkeypatch: pytest.MonkeyPatch):
    """An address for all models is refused, unless its own key is given: that of a gateway."""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, f"sk-{name}")
    models = ["openai-chat:gpt-5.6", "anthropic:claude-haiku-4-5", "gemini:gemini-3-flash"]
    with pytest.raises(ConfigurationError, match="base_url is set for models of several providers") as caught:
        ask("x", model=models, base_url=server.url)
    assert '{"model": "openai-chat:gpt-5.6", "base_url": …}' in str(caught.value).replace("'", '"')
    with use_config(base_url=server.url), pytest.raises(ConfigurationError, match="would be sent there"):
        ask("x", model=[{"model": models[0], "base_url": "http://127.0.0.1:1"}, *models[1:]])
    assert server.requests == []
    ask.request("x", model=[{"model": models[0], "base_url": server.url}, *models[1:]])
    ask.request("x", model=models, base_url=server.url, api_key=KEY)
    ask.request("x", model=["openai:gpt-5.6", "openai-chat:gpt-5"], base_url=server.url)  # they share a key
    ask.request("x", model=["openai-chat:a", {"model": models[1], "api_key": KEY}], base_url=server.url)


def test_a_schema_that_a_model_refuses_for_good(server: WireServer):
    """Where the fallback to the prompt is forbidden, another model may take the schema."""
    server.script(
        CHAT.failure(400, "'response_format' of type 'json_schema' is not supported with this model", None),
        RESPONSES.answer("send", '{"value": 7}'),
    )
    models = [at(CHAT, server), at(RESPONSES, server)]
    result = ask.run("x", output=int, model=models, strict_capabilities=True, retry=0)
    assert (result.value, result.attempts, result.downgrades) == (7, 2, ())


# --- which errors -----------------------------------------------------------------------------------


@every_way
def test_retries_come_first(way: Any):
    """A transient error is tried again with the same model, and then with the next one."""
    seen: list[Any] = []
    with replies(BUSY, BUSY, BUSY, "7") as asked:
        result, _ = way(Asked(model=TWO, retry=1, backoff=0, output=int, on_event=seen.append))
    assert (result.value, result.model, result.attempts) == (7, "fake:b", 4)
    assert [body["model"] for body in asked.requests] == ["a", "a", "b", "b"]
    assert [event.model for event in seen if isinstance(event, RequestSent)] == ["fake:a"] * 2 + [
        "fake:b"
    ] * 2


BAD: list[tuple[Any, type[AlloyError]]] = [
    (refusal(), RefusalError),
    (Reply("", finish="filter"), FilteredError),
    (Reply("7", finish="length"), TruncatedError),
    (Reply("x"), ParseError),
]


@pytest.mark.parametrize(("answer", "kind"), BAD, ids=lambda value: getattr(value, "__name__", None))
@every_way
def test_a_refusal_or_a_bad_answer_is_the_callers(answer: Any, kind: type[AlloyError], way: Any):
    """Unless `fallback_on` names it; in a stream, only if no text was shown."""
    options: Any = {"model": TWO, "output": int, "reask": 0}
    with replies(answer), pytest.raises(kind):
        way(Asked(**options))
    asked = Asked(**options, fallback_on=(ProviderError, kind))
    if streamed(way) and answer.text:
        with replies(answer), pytest.raises(kind):
            way(asked)
        return
    with replies(answer, "8") as seen:
        assert way(asked)[0].value == 8
    assert len(seen.requests[1]["messages"]) == len(seen.requests[0]["messages"])


def test_fallback_on_replaces_the_list():
    """As `retry_on` does."""
    with replies(DOWN), pytest.raises(ServerError):
        ask("x", model=TWO, fallback_on=RefusalError)
    with replies(AuthenticationError("key", provider="fake")), pytest.raises(AuthenticationError):
        ask("x", model=TWO, fallback_on=(ServerError, RateLimitError))
    with replies(UnsupportedError("no", feature="tools", provider="fake"), "7"):
        ask("x", model=TWO, fallback_on=())


def test_each_model_has_its_own_reasks():
    """What one model wrote and was told about it is nothing to the next one."""
    options: Any = {"model": TWO, "output": int, "fallback_on": ParseError}
    with replies("one", "two", "three", "4") as seen:
        result = ask.run("x", **options)
    assert (result.value, result.model, len(result.transcript)) == (4, "fake:b", 4)
    assert [len(body["messages"]) for body in seen.requests] == [1, 3, 1, 3]
    assert result.usage.input_tokens > 0


def test_an_open_circuit_is_a_reason_to_go_on():
    """At once, without a request."""
    breaker = CircuitBreaker(failures=1)
    with use_config(circuit_breaker=breaker, retry=0, model=TWO), replies(DOWN, BUSY, "7", "8", "9") as seen:
        with pytest.raises(RateLimitError):
            ask("x", model=["fake:c", "fake:a"])
        assert [ask("x"), ask("x")] == ["7", "8"]
        assert [body["model"] for body in seen.requests] == ["c", "a", "b", "b"]
        assert ask("x", model=["fake:a", "fake:c", "fake:b"]) == "9"


def test_a_deadline_is_for_all_models():
    """Another model has no time either."""
    error = DeadlineError("over")
    with replies(error), pytest.raises(DeadlineError):
        ask("x", model=TWO)


@tool
def fails() -> str:
    """Fail."""
    raise ServerError("a nested call", provider="fake")


def test_the_error_of_a_tool_is_no_fault_of_the_model():
    """No other model is asked, and no tool runs again."""
    with replies(call("fails")), pytest.raises(ToolError):
        ask("x", model=TWO, tools=[fails], tool_errors="raise")


def test_a_forced_tool_that_has_run_is_not_forced_again():
    """The next model answers."""
    with replies(call("weather", city="Rome"), DOWN, "sunny") as seen:
        ask("x", model=TWO, tools=[weather], tool_choice="weather", retry=0)
    assert [body.get("tool_choice") for body in seen.requests] == ["weather", None, None]


# --- models that are not set up ---------------------------------------------------------------------

# A model whose key is missing, whose SDK is, and whose key is given by a function that has none.
NOT_SET_UP: dict[str, tuple[dict[str, Any], str]] = {
    "key": ({"model": "anthropic:claude-haiku-4-5"}, "ANTHROPIC_API_KEY"),
    "package": ({"model": "unpacked:b", "backend": "unpacked"}, "pip install"),
    "key function": ({"model": "openai:gpt-5.6", "api_key": str}, "must return a non-empty str"),
}
every_gap = pytest.mark.parametrize("gap", NOT_SET_UP)


class Unpacked(FakeBackend):
    """A backend whose SDK is not installed."""

    def load(self) -> None:
        """Import it."""
        import_extra("a_package_that_nobody_has", "missing", "Unpacked needs its SDK")


@pytest.fixture
def gaps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment without keys, and a backend without its package."""
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with registrations_undone():
        register_backend("unpacked", Unpacked("unpacked"))
        yield


@pytest.mark.usefixtures("gaps")
@every_gap
@every_way
def test_a_further_model_that_is_not_set_up_is_skipped(server: WireServer, gap: str, way: Any):
    """The next one is asked, and an event says why."""
    model, words = NOT_SET_UP[gap]
    server.script(
        CHAT.failure(503, "overloaded", None), OLLAMA.answer("open" if streamed(way) else "send", "Hello")
    )
    server.always = lambda _: ollama.shown("tools")
    seen: list[Any] = []
    models = [at(CHAT, server), model, at(OLLAMA, server)]
    result, _ = way(Asked(model=models, retry=0, on_event=seen.append))
    assert (result.value, result.attempts) == ("Hello", 2)
    taken = [event for event in seen if isinstance(event, FallbackTaken) and event.feature == "model"]
    assert [type(event.error) for event in taken] == [ServerError, ConfigurationError]
    assert taken[1].model == f"ollama:{OLLAMA.model}"
    assert words in str(taken[1].error)


@pytest.mark.usefixtures("gaps")
@every_gap
@every_way
def test_the_failure_stays_when_no_further_model_is_set_up(server: WireServer, gap: str, way: Any):
    """A note says what is missing; the failure is no consequence of that."""
    model, words = NOT_SET_UP[gap]
    server.script(CHAT.failure(429, "slow down", None), CHAT.failure(503, "overloaded", None))
    seen: list[Any] = []
    first, second = at(CHAT, server), at(CHAT, server, temperature=0)
    with pytest.raises(ServerError, match="overloaded") as caught:
        way(Asked(model=[first, second, model, model], retry=0, on_event=seen.append))
    error = pickle.loads(pickle.dumps(caught.value))
    for each in (caught.value, error):
        assert [type(one) for one in each.earlier] == [RateLimitError, *[ConfigurationError] * 2]
        before, *notes = each.__notes__
        assert before.startswith(f"{first['model']} was asked before: RateLimitError")
        for note in notes:
            assert " could not be asked: ConfigurationError: " in note and words in note
        assert len(notes) == 2
    assert isinstance(caught.value.__cause__, RateLimitError)
    assert caught.value.attempts == 2
    [failed] = [event for event in seen if isinstance(event, CallFailed)]
    assert (failed.error, failed.model) == (caught.value, first["model"])


@pytest.mark.usefixtures("gaps")
@every_gap
@every_way
def test_the_first_model_must_be_set_up(gap: str, way: Any):
    """A mistake in the set-up is an error at once."""
    model, words = NOT_SET_UP[gap]
    with pytest.raises(ConfigurationError, match=words) as caught, replies():
        way(Asked(model=[model, {"model": "fake:a", "backend": "fake"}], backend=None))
    assert (caught.value.earlier, caught.value.attempts) == ((), 0)


@pytest.mark.usefixtures("gaps")
def test_a_wrong_handler_is_an_error_for_a_further_model_too():
    """It is no reason to ask another one."""

    def handler(effect: Effect) -> Script:
        if isinstance(effect, CallModel) and effect.route.model == "b":
            return "not a reply"
        return (yield from effect)

    with (
        alloy.handlers(handler),
        replies(DOWN),
        pytest.raises(ConfigurationError, match="handler"),
    ):
        ask("x", model=[*TWO, "fake:c"], retry=0)


# --- time limits ------------------------------------------------------------------------------------

LIMITS: dict[str, type[AlloyError]] = {"timeout": ProviderTimeoutError, "deadline": DeadlineError}


@pytest.mark.parametrize("limit", LIMITS)
@every_way
def test_the_cause_of_a_passed_limit_is_the_error_of_the_model_before(
    server: WireServer, limit: str, way: Any
):
    """And not that Alloy closed the connection; it says what it waited for."""
    CHAT.backend.load()
    models = [at(CHAT, server), at(CHAT, server, temperature=0)]
    answers = {0: Answer(before=Gate()), None: CHAT.failure(503, "overloaded", None)}
    server.always = lambda request: answers[request.json.get("temperature")]
    found: list[AlloyError] = []
    for seconds in limits(lambda: found and isinstance(found[-1].__cause__, ServerError)):
        with pytest.raises(AlloyError) as caught:  # too short a limit may end at the first model
            way(Asked(model=models, retry=0, **{limit: seconds}))
        found.append(caught.value)
    assert isinstance(found[-1], LIMITS[limit])
    assert "it waited for the headers of the answer" in str(found[-1])
    assert found[-1].earlier == (found[-1].__cause__,)


@every_way
def test_both_models_hang(server: WireServer, way: Any):
    """The first one for its timeout, the second one until the deadline: the first is the cause."""
    CHAT.backend.load()
    server.always = lambda _: Answer(before=Gate())
    models = [at(CHAT, server), at(CHAT, server, temperature=0)]
    found: list[AlloyError] = []
    for seconds in limits(lambda: found and found[-1].earlier):
        with pytest.raises(DeadlineError, match="it waited for ") as caught:
            way(Asked(model=models, retry=0, timeout=seconds * 0.75, deadline=seconds))
        found.append(caught.value)
    assert isinstance(found[-1].__cause__, ProviderTimeoutError)
    assert found[-1].earlier == (found[-1].__cause__,)


# --- what models lack -------------------------------------------------------------------------------


@pytest.fixture
def weak() -> Iterator[None]:
    """A model without tools, structured output and images."""
    weak = Capabilities(tools=False, structured_output=False, images=False)
    with registrations_undone():
        register_backend("weak", FakeBackend("weak", capabilities=weak))
        yield


def reached(option: Any, **options: Any) -> tuple[str, list[Any]]:
    """Which of two models is asked first, and what is published of the other."""
    found: list[str] = []
    seen: list[Any] = []

    def handler(effect: Effect) -> Script:
        if isinstance(effect, CallModel):
            found.append(effect.route.name)
            return Reply("7")
        return (yield from effect)

    with alloy.handlers(handler):
        ask(option, model=["weak:a", "fake:b"], on_event=seen.append, **options)
    return found[0], seen


@pytest.mark.usefixtures("weak")
def test_a_missing_capability_is_a_reason_to_go_on():
    """Under `strict_capabilities`, and for an image: known before anything is sent."""
    image = Image.from_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 20)
    for prompt, options in (
        ("x", {"output": int, "strict_capabilities": True}),
        ("x", {"tools": [weather], "strict_capabilities": True}),
        (["What is this?", image], {}),
    ):
        found, seen = reached(prompt, **options)
        assert found == "fake:b"
        [started] = [event for event in seen if isinstance(event, CallStarted)]
        [taken] = [event for event in seen if isinstance(event, FallbackTaken)]
        assert (started.model, taken.feature, taken.model) == ("fake:b", "model", "fake:b")
        assert "weak:a does not" in str(taken.error)
    assert reached("x", output=int)[0] == "weak:a"
    body = ask.request("x", model=["weak:a", "fake:b"], output=int, strict_capabilities=True)
    assert body["model"] == "b"


@pytest.mark.usefixtures("weak")
def test_no_model_has_what_is_needed():
    """Nothing is sent, and the error names each model."""
    with pytest.raises(ConfigurationError, match=r"weak:a does not .*; weak:b does not"), replies():
        ask("x", model=["weak:a", "weak:b"], backend=None, output=int, strict_capabilities=True)


@pytest.mark.usefixtures("weak")
def test_the_last_model_may_lack_it():
    """Then the error names the failure of the one before."""
    with (
        use_config(retry=0),
        replies(DOWN),
        pytest.raises(ConfigurationError, match="weak:b does not") as caught,
    ):
        ask(
            "x",
            model=["fake:a", {"model": "weak:b", "backend": "weak"}],
            output=int,
            strict_capabilities=True,
        )
    assert caught.value.earlier == (DOWN,) == (caught.value.__cause__,)


# --- how it is written ------------------------------------------------------------------------------


@command(output=int, model=TWO)
def number() -> str:
    """A number."""
    return "A number?"


def test_every_layer_takes_a_list(monkeypatch: pytest.MonkeyPatch):
    """An option, `with_options`, `use_config`, `configure`, and the environment with commas."""
    with replies(DOWN, "7", DOWN, "8"):
        assert number.run().model == "fake:b"
        assert number.with_options(model=["fake:c", {"model": "fake:d"}]).run().model == "fake:d"
    monkeypatch.setenv("ALLOY_MODEL", "gpt-5.6, claude-haiku-4-5,ollama:qwen3:8b")
    names = [entry["model"] for entry in current().model or () if isinstance(entry, dict)]
    assert names == ["gpt-5.6", "claude-haiku-4-5", "ollama:qwen3:8b"]
    before = config_module._process
    try:
        configure(model=TWO)
        with replies(DOWN, "7"):
            assert ask.run("x").model == "fake:b"
    finally:
        config_module._process = before
    assert pickle.loads(pickle.dumps(number)).request() == number.request()


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ([], "a non-empty str, or a list"),
        ([""], r"ask\(\): model: entry 1 must be a non-empty str, or a dict, not ''$"),
        ([{"temperature": 0}], "entry 1, a dict, has no 'model'; it has 'temperature'$"),
        ({}, "entry 1, a dict, has no 'model'; it has nothing$"),
        ([{"model": ["a"]}], "entry 1: 'model' must be a non-empty str, not of type list$"),
        (
            [{"model": "a", "temperatur": 0}],
            r"entry 1 \(a\) has 'temperatur', which is not a setting \(did you mean 'temperature'\?\); "
            "a dict takes model, backend, temperature, ",
        ),
        (
            {"model": "a", "timeout": 3, "api_key": "k"},
            r"entry 1 \(a\) has 'timeout', a setting of the whole call: give it next to model, "
            "not in the dict; a dict takes model, backend, ",
        ),
        (["b", {"model": "a", "retry": 0}], r"entry 2 \(a\) has 'retry', a setting of"),
        ([{"model": "a", "temperature": -1}], "temperature must be a number of at least 0, not -1$"),
        ([{"model": "a", "api_key": 3}], r"api_key must be a non-empty str, .*, not \(hidden\)$"),
        ([{"model": "a", "system": "x", "default_system": "y"}], "has 'system' twice, also as"),
        (("a", 3), "entry 2 must be a non-empty str, or a dict, not 3$"),
    ],
)
def test_a_wrong_list_is_refused_where_it_is_written(wrong: Any, match: str):
    """With the name of the model and of the setting."""
    with pytest.raises(ConfigurationError, match=match):
        ask("x", model=wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "a", "api_key": ["sk-hidden"]},
        {"model": "a", "headers": {"x-key": ["sk-hidden"]}},
        {"model": "a", "base_url": ["http://me:sk-hidden@host"]},
        {"model": "a", "http_client": {"openai": "sk-hidden"}},
        {"model": "a", "transport": {"proxy": "http://me:sk-hidden@host"}},
        {"model": "a", "extra": {"openai": "sk-hidden"}},
        {"model": {"api_key": "sk-hidden"}},
        {"model": "a", "timeout": 3, "api_key": "sk-hidden"},
        {"api_key": "sk-hidden"},
        [{"model": "a", "api_key": "sk-hidden"}],
    ],
)
def test_what_is_wrong_with_a_model_is_said_without_its_secrets(wrong: Any):
    """In whichever of several it is, and whatever is wrong with the others."""
    for model in (wrong, ["fake:b", wrong], [{"model": "c", "api_key": "sk-hidden"}, wrong, 3]):
        with pytest.raises(ConfigurationError) as caught:
            ask("x", model=model)
        assert "sk-hidden" not in str(caught.value)
        assert "is not one" not in str(caught.value)


def test_the_key_of_a_model_is_never_shown():
    """Neither in an error nor in a repr."""
    models: Any = [{"model": "a", "api_key": KEY, "headers": {"x-key": KEY}, "temperature": "hot"}]
    with pytest.raises(ConfigurationError) as caught:
        ask("x", model=models)
    assert KEY not in str(caught.value)
    models[0]["temperature"] = 1
    with use_config(model=models):
        assert KEY not in repr(current()) and "'temperature': 1" in repr(current())


def test_the_log_names_the_error_and_not_its_text(caplog: pytest.LogCaptureFixture):
    """One warning for each change."""
    with caplog.at_level(logging.WARNING, "alloy"), replies(DOWN, "7"):
        ask("x", model=TWO)
    assert caplog.messages == ["ask(): fake:a failed (ServerError); the call continues with fake:b"]


# --- what is kept -----------------------------------------------------------------------------------


def test_a_conversation_goes_on_with_the_model_that_answered():
    """The failed tries are not part of it."""
    talk = Conversation()
    with replies(DOWN, "7", "8") as seen:
        ask("one", model=TWO, conversation=talk)
        ask("two", model="fake:a", conversation=talk)
    assert len(talk.turns) == 4
    assert len(seen.requests[2]["messages"]) == 3


def test_what_another_model_wrote_is_sent_in_its_plain_form():
    """Its own form may be encrypted for it; the transcript keeps that."""
    echo = Echo("p", {"encrypted": "x"})
    asked = Request("m", (User("hi"), Reply("hello", echo=echo), User("how many?")))
    other = Route(FakeBackend("q"), "n")
    talk = Driven(question(asked, routes=(ROUTE, other), policy=Policy(retry=0)))
    assert isinstance(talk.pending, CallModel)
    assert talk.pending.request.messages[1].echo is echo  # type: ignore[union-attr]
    talk.fail(DOWN)
    assert isinstance(talk.pending, CallModel)
    assert talk.pending.request.messages[1] == Reply("hello")
    talk.resume(Reply("7", echo=Echo("q", {})))
    assert talk.result.transcript[1].echo is echo
    assert talk.result.model == "q:n"


@pytest.mark.parametrize("read", ["items", "partials"])
def test_a_stream_is_read_in_the_dialect_of_the_model_that_answers(server: WireServer, read: str):
    """The next provider may want another form of the type."""
    models = [at(OLLAMA, server), at(RESPONSES, server)]
    answer = '{"value": [[{"key": "a", "value": 1}, {"key": "b", "value": 2}]]}'
    server.script(OLLAMA.failure(500, "down"), RESPONSES.answer("open", answer))
    stream = ask.stream("x", output=list[dict[str, int]], model=models, retry=0)
    found = list(getattr(stream, read)())
    whole = stream.run().value
    assert whole == [{"a": 1, "b": 2}]
    assert found == whole if read == "items" else found[-1].elements() == whole


def test_a_paused_turn_is_not_continued_by_another_model():
    """It would have to guess what comes next: it answers the prompt."""
    other = Route(FakeBackend("q"), "n")
    asked = Request("m", (User("how many?"),))
    talk = Driven(question(asked, routes=(ROUTE, other), policy=Policy(retry=0)))
    talk.resume(Reply("fo", finish="pause"))
    talk.fail(DOWN)
    assert isinstance(talk.pending, CallModel)
    assert talk.pending.request.messages == (User("how many?"),)
    talk.resume(Reply("seven"))
    assert talk.result.text == "seven"
