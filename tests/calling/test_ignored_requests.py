"""A server that ignores the schema or the tool choice of a request: what Alloy does, with every provider."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from kit.apis import CHAT, OLLAMA, OLLAMA_CHAT, Api, apis, every_api, every_mode
from kit.wire import Received, WireServer

from alloy import (
    AlloyError,
    Conversation,
    ParseError,
    UnsupportedError,
    ask,
    command,
    listen,
    register_backend,
    tool,
)
from alloy.backends.memory import forget
from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.backends.registry import registrations_undone
from alloy.events import FallbackTaken, Reask
from alloy.messages import Reply

PROSE = "Ada is a woman of thirty-six years."
ADA_JSON = '{"surname": "Lovelace", "birth_year": 1815}'


@dataclass
class Person:
    surname: str
    birth_year: int


ADA = Person("Lovelace", 1815)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    forget()
    yield
    forget()


def script(server: WireServer, api: Api, mode: str, *texts: str) -> None:
    for text in texts:
        server.script(api.answer(mode, text))


def person(mode: str, **options: Any) -> Any:
    """The result of a call in *mode*, and the events of it."""

    @command(output=Person, **options)
    def who() -> str:
        return "Who is it?"

    seen: list[Any] = []
    with listen(seen.append):
        return WAYS[mode](who), seen


def _run(call: Any) -> Any:
    return call.run()


def _run_async(call: Any) -> Any:
    import asyncio

    return asyncio.run(call.run_async())


def _stream(call: Any) -> Any:
    with call.stream() as pieces:
        for _ in pieces:
            pass
        return pieces.run()


def _stream_async(call: Any) -> Any:
    import asyncio

    async def read() -> Any:
        async with call.stream_async() as pieces:
            return await pieces.run()

    return asyncio.run(read())


WAYS = {"send": _run, "send_async": _run_async, "open": _stream, "open_async": _stream_async}


def texts(request: Received) -> str:
    return request.content.decode()


# --- an ignored schema --------------------------------------------------------------------------------


@every_api
@every_mode
def test_prose_is_dropped_and_the_type_is_described_in_the_prompt(
    server: WireServer, api: Api, mode: str
) -> None:
    """The next call knows, and needs one request."""
    script(server, api, mode, PROSE, ADA_JSON, ADA_JSON)
    result, events = person(mode, **api.options(server))
    assert (result.value, result.downgrades) == (ADA, ("output",))
    assert not [event for event in events if isinstance(event, Reask)]
    [fallback] = [event for event in events if isinstance(event, FallbackTaken)]
    assert (fallback.feature, fallback.discarded) == ("output", PROSE)
    again, _ = person(mode, **api.options(server))
    assert (again.value, again.attempts, again.downgrades) == (ADA, 1, ("output",))
    asked = [texts(request) for request in server.requests]
    assert [PROSE in text for text in asked] == [False] * 3
    assert ["surname (string)" in text for text in asked[1:]] == [True] * 2


@every_mode
def test_the_transcript_has_the_prose_and_the_conversation_does_not(server: WireServer, mode: str) -> None:
    history = Conversation()
    script(server, CHAT, mode, PROSE, ADA_JSON, ADA_JSON)
    result, _ = person(mode, conversation=history, **CHAT.options(server))
    assert [turn.text for turn in result.transcript if isinstance(turn, Reply)] == [PROSE, ADA_JSON]
    assert [turn.text for turn in history.turns if isinstance(turn, Reply)] == [ADA_JSON]
    person(mode, conversation=history, **CHAT.options(server))
    assert PROSE not in texts(server.requests[-1])


@pytest.mark.parametrize(
    "text",
    [
        '{"surname": "Lovelace"}',  # JSON that does not fit
        'Here it is: {"surname": "Lovelace", "born": 1815}',  # JSON in prose
        '{"surname": "Lovelace", "birth_year": ',  # cut-off JSON
        "```json\n{'surname': }\n```",  # broken JSON
        "[1, 2]",
        "42",
        '"Lovelace"',
    ],
)
def test_json_that_does_not_fit_is_asked_for_again(server: WireServer, text: str) -> None:
    """It proves nothing: the same conversation goes on, with the schema."""
    script(server, CHAT, "send", text, ADA_JSON)
    result, events = person("send", **CHAT.options(server))
    assert (result.value, result.downgrades) == (ADA, ())
    assert len([event for event in events if isinstance(event, Reask)]) == 1
    assert all("response_format" in request.json for request in server.requests)


@pytest.mark.parametrize(
    "options", [{"strict_capabilities": True}, {"output_mode": "native"}], ids=["strict", "native"]
)
@every_mode
def test_the_fallback_can_be_forbidden(server: WireServer, mode: str, options: dict[str, Any]) -> None:
    script(server, CHAT, mode, PROSE, ADA_JSON)
    result, _ = person(mode, **CHAT.options(server), **options)
    assert (result.value, result.downgrades) == (ADA, ())
    assert all("response_format" in request.json for request in server.requests)
    script(server, CHAT, mode, PROSE, PROSE)
    with pytest.raises(ParseError):
        person(mode, **CHAT.options(server), **options)


def test_prose_in_the_fallback_is_an_ordinary_wrong_answer(server: WireServer) -> None:
    script(server, CHAT, "send", PROSE, PROSE, PROSE)
    with pytest.raises(ParseError) as caught:
        person("send", **CHAT.options(server))
    assert (caught.value.text, caught.value.attempts) == (PROSE, 3)


@pytest.mark.parametrize(
    ("output", "answer", "value"),
    [(Literal["a", "b"], "b.", "b"), (bool, "true", True), (list[int], "[1, 2]", [1, 2]), (int, "3", 3)],
)
def test_other_types_fall_back_too(server: WireServer, output: Any, answer: str, value: Any) -> None:
    script(server, CHAT, "send", PROSE, answer)
    result = ask.run("?", output=output, **CHAT.options(server))
    assert (result.value, result.downgrades) == (value, ("output",))


def test_other_models_and_addresses_are_not_concerned(server: WireServer) -> None:
    script(server, CHAT, "send", PROSE, ADA_JSON, ADA_JSON)
    person("send", **CHAT.options(server))
    result, _ = person("send", **{**CHAT.options(server), "model": "openai-chat:another"})
    assert result.downgrades == () and "response_format" in server.requests[-1].json


class OwnChat(OpenAIChatBackend):
    own_hosts = ("127.0.0.1",)


@pytest.fixture
def own(server: WireServer) -> Iterator[dict[str, Any]]:
    """Options for a provider whose own address the server has."""
    with registrations_undone():
        register_backend("own", OwnChat())
        yield {**CHAT.options(server), "model": "own:m"}


def test_at_its_own_address_a_provider_is_believed_once(server: WireServer, own: dict[str, Any]) -> None:
    """Each call falls back, and only the second time in a row is remembered."""
    script(server, CHAT, "send", PROSE, ADA_JSON)
    assert person("send", **own)[0].downgrades == ("output",)
    script(server, CHAT, "send", ADA_JSON)  # this time the schema is enforced
    assert person("send", **own)[0].downgrades == ()
    script(server, CHAT, "send", PROSE, ADA_JSON, PROSE, ADA_JSON)
    assert [person("send", **own)[0].attempts for _ in range(2)] == [2, 2]
    script(server, CHAT, "send", ADA_JSON)
    result, _ = person("send", **own)
    assert result.downgrades == ("output",) and "response_format" not in server.requests[-1].json


def test_calls_in_many_threads_all_get_their_value(server: WireServer) -> None:
    """Each of them may be the first to see that the server ignores the schema."""
    server.leftovers_allowed = True
    server.always = lambda request: CHAT.answer(
        "send", ADA_JSON if "surname (string)" in texts(request) else PROSE
    )
    values: list[Any] = []
    threads = [
        threading.Thread(target=lambda: values.append(ask("Who?", output=Person, **CHAT.options(server))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values == [ADA] * 8


# --- an ignored tool choice ---------------------------------------------------------------------------


class Adder:
    """A command with a tool, and what the tool was called with."""

    def __init__(self, **options: Any) -> None:
        self.ran: list[tuple[int, int]] = []

        @tool
        def add(a: int, b: int) -> int:
            """Add."""
            self.ran.append((a, b))
            return a + b

        @command(tools=[add], **options)
        def sum_of() -> str:
            return "2 + 3?"

        self.command = sum_of


ACTION = 'Action: add\nAction Input: {"a": 2, "b": 3}'


@apis(OLLAMA, OLLAMA_CHAT)  # which have no tool choice
@every_mode
@pytest.mark.parametrize("choice", ["required", "add"])
def test_a_forced_tool_runs_by_react(server: WireServer, api: Api, mode: str, choice: str) -> None:
    script(server, api, mode, "It is 5, I think.", ACTION, "Final Answer: 5")
    adder = Adder(tool_choice=choice, **api.options(server))
    result = WAYS[mode](adder.command)
    assert (result.value, adder.ran, result.downgrades) == ("5", [(2, 3)], ("tools",))
    script(server, api, mode, ACTION, "Final Answer: 5")  # the next call knows
    assert WAYS[mode](adder.command).attempts == 2


@every_mode
@pytest.mark.parametrize("options", [{"strict_capabilities": True}, {"tool_mode": "native"}])
def test_without_the_fallback_an_ignored_choice_is_an_error(
    server: WireServer, mode: str, options: dict[str, Any]
) -> None:
    script(server, CHAT, mode, "It is 5, I think.")
    adder = Adder(tool_choice="required", **CHAT.options(server), **options)
    with pytest.raises(UnsupportedError, match="calls no tool, although tool_choice is 'required'") as caught:
        WAYS[mode](adder.command)
    assert not caught.value.transient and adder.ran == []


@every_mode
def test_a_model_that_does_not_call_the_tool_by_react_either_is_asked_again(
    server: WireServer, mode: str
) -> None:
    """It never answers in prose as if the tool had run."""
    adder = Adder(tool_choice="required", **CHAT.options(server))
    script(server, CHAT, mode, "It is 5.", "It is 5.", ACTION, "Final Answer: 5")
    assert (WAYS[mode](adder.command).value, adder.ran) == ("5", [(2, 3)])
    assert "a tool has to be called first" in texts(server.requests[2])
    script(server, CHAT, mode, "It is 5.", "Final Answer: 5")
    with pytest.raises(AlloyError, match="a tool has to be called first"):
        WAYS[mode](adder.command)


def test_prose_proves_nothing_when_the_model_may_choose(server: WireServer) -> None:
    script(server, CHAT, "send", "It is 5.", "It is 5.")
    for choice in ("auto", "none"):
        adder = Adder(tool_choice=choice, **CHAT.options(server))
        assert adder.command.run().downgrades == ()


# --- JSON mode, where schemas are refused -------------------------------------------------------------

NO_SCHEMA = (400, "This response_format type is unavailable now", None)
NO_JSON_MODE = (400, "'response_format.type' must be 'json_schema' or 'text'", None)


@every_mode
def test_json_mode_is_used_where_schemas_are_refused(server: WireServer, mode: str) -> None:
    """As by DeepSeek. The next call begins with it."""
    server.script(CHAT.failure(*NO_SCHEMA))
    script(server, CHAT, mode, ADA_JSON, ADA_JSON)
    assert person(mode, **CHAT.options(server))[0].downgrades == ("output",)
    assert person(mode, **CHAT.options(server))[0].value == ADA
    formats = [request.json.get("response_format", {}).get("type") for request in server.requests]
    assert formats == ["json_schema", "json_object", "json_object"]
    assert "surname (string)" in texts(server.requests[1])


@every_mode
def test_the_prompt_alone_is_used_where_json_mode_is_refused_too(server: WireServer, mode: str) -> None:
    server.script(CHAT.failure(*NO_SCHEMA), CHAT.failure(*NO_JSON_MODE))
    script(server, CHAT, mode, ADA_JSON, ADA_JSON)
    assert person(mode, **CHAT.options(server))[0].downgrades == ("output",)
    assert person(mode, **CHAT.options(server))[0].value == ADA
    formats = [request.json.get("response_format", {}).get("type") for request in server.requests]
    assert formats == ["json_schema", "json_object", None, None]


@pytest.mark.parametrize("output", [int, list[int], Literal["a", "b"]])
def test_json_mode_is_for_objects_only(server: WireServer, output: Any) -> None:
    answer = {int: "3", list[int]: "[1]"}.get(output, "a")
    server.script(CHAT.failure(*NO_SCHEMA), CHAT.answer("send", answer))
    ask("?", output=output, **CHAT.options(server))
    assert "response_format" not in server.requests[1].json


def test_json_mode_is_not_used_where_the_schema_was_ignored(server: WireServer) -> None:
    script(server, CHAT, "send", PROSE, ADA_JSON, ADA_JSON)
    for _ in range(2):
        person("send", **CHAT.options(server))
    assert ["response_format" in request.json for request in server.requests] == [True, False, False]
