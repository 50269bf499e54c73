"""A provider refuses schemas that are too complex: Alloy asks without them, for that type only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from kit.apis import ANTHROPIC, GEMINI, Api
from kit.ways import every_way
from kit.wire import Answer, Received, WireServer

from alloy import UnsupportedError, ask, tool
from alloy.backends.memory import forget
from alloy.events import FallbackTaken


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> Any:
    yield
    forget()


@dataclass
class Size:
    width: int


@dataclass
class Weight:
    grams: int


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


@tool
def ping() -> str:
    """Say pong."""
    return "pong"


def has_output(api: Api, request: Received) -> bool:
    """Whether *request* asks for structured output."""
    config = request.json.get("output_config" if api is ANTHROPIC else "generationConfig") or {}
    return "format" in config or "responseJsonSchema" in config


def has_strict_tools(api: Api, request: Received) -> bool:
    """Whether *request* asks for calls that obey the schemas of the tools."""
    if api is ANTHROPIC:
        return any(each.get("strict") for each in request.json.get("tools", ()))
    config = request.json.get("toolConfig") or {}
    return bool(config.get("functionCallingConfig", {}).get("mode") == "VALIDATED")


class Provider:
    """A server that refuses the requests for which *refuses* is true, and answers the others.

    To a type it answers with JSON; when tools are sent and none was called, with a call of `weather`.
    """

    def __init__(self, server: WireServer, api: Api, message: str, refuses: Any, status: int = 400) -> None:
        self.server, self.api = server, api
        self._message, self._refuses, self._status = message, refuses, status
        server.always = self._answer

    def _answer(self, request: Received) -> Answer:
        if self._refuses(self.api, request):
            return self.api.failure(self._status, self._message, None)
        text = request.content.decode()
        mode = "open" if request.json.get("stream") or "stream" in request.path else "send"
        if request.json.get("tools") and "sunny in Oslo" not in text:
            return self.api.answer(mode, "", calls=[("weather", {"city": "Oslo"})])
        return self.api.answer(mode, '{"width": 1, "grams": 2}' if "width" not in text else '{"width": 1}')

    def ask(self, way: Any, **options: Any) -> Any:
        """The result of one call."""
        options = {**self.api.options(self.server), **options}
        return way(_Asked(options))[0]


class _Asked:
    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options

    def __getattr__(self, name: str) -> Any:
        return lambda: getattr(ask, name)("How wide is it?", **self._options)


# What the APIs say, each of a request that has any schema.
MESSAGES = [
    (
        ANTHROPIC,
        "The compiled grammar is too large, which would cause performance issues. Simplify your tool schemas "
        "or reduce the number of strict tools.",
    ),
    (ANTHROPIC, "Schema is too complex for compilation"),
    (ANTHROPIC, "Grammar compilation timed out."),
    (
        ANTHROPIC,
        "Schemas contains too many optional parameters (27), which would make grammar compilation slow. "
        "Reduce the number of optional parameters in your tool schemas (limit: 24).",
    ),
    (
        ANTHROPIC,
        "Schemas contains too many parameters with union types (17 parameters with anyOf, limit: 16).",
    ),
    (
        GEMINI,
        "The specified schema produces a constraint that has too many states for serving. Typical causes of "
        "this error are schemas with lots of text.",
    ),
    (GEMINI, "A schema in GenerationConfig in the request exceeds the maximum allowed nesting depth."),
    (GEMINI, "The response schema is too complex."),
]
every_message = pytest.mark.parametrize(
    ("api", "message"), MESSAGES, ids=[f"{api.name}-{message[:24]}" for api, message in MESSAGES]
)
TOO_LARGE = [MESSAGES[0], MESSAGES[5]]
each_provider = pytest.mark.parametrize(("api", "message"), TOO_LARGE, ids=["anthropic", "gemini"])


@every_message
@every_way
def test_the_type_is_described_in_the_prompt(server: WireServer, way: Any, api: Api, message: str) -> None:
    """From the second request on, and at once in the next call of that type."""
    provider = Provider(server, api, message, has_output)
    for count in (2, 3):
        result = provider.ask(way, output=Size)
        assert (result.value, result.downgrades) == (Size(1), ("output",))
        assert len(server.requests) == count


@each_provider
@every_way
def test_another_type_keeps_structured_output(server: WireServer, way: Any, api: Api, message: str) -> None:
    """The model does not lack it."""

    def is_size(api: Api, request: Received) -> bool:
        return has_output(api, request) and b'"width"' in request.content

    provider = Provider(server, api, message, is_size)
    assert provider.ask(way, output=Size).downgrades == ("output",)
    result = provider.ask(way, output=Weight)

    assert (result.value, result.downgrades) == (Weight(2), ())
    assert has_output(api, server.requests[-1])


@each_provider
@every_way
def test_the_tools_are_sent_without_strict_mode(server: WireServer, way: Any, api: Api, message: str) -> None:
    """They are still native tools, for these tools only."""
    provider = Provider(server, api, message, has_strict_tools)
    for _ in range(2):
        result = provider.ask(way, tools=[weather])
        assert [call.value for call in result.tool_calls] == ["sunny in Oslo"]
        assert result.downgrades == ("strict_tools",)
    refused = [has_strict_tools(api, request) for request in server.requests]
    assert refused == [True, False, False, False, False]

    server.always = lambda request: api.answer("open" if "stream" in way.__name__ else "send", "Done.")
    assert provider.ask(way, tools=[ping]).downgrades == ()
    assert has_strict_tools(api, server.requests[-1])


@each_provider
@every_way
def test_with_tools_and_a_type_strict_tools_are_given_up_first(
    server: WireServer, way: Any, api: Api, message: str
) -> None:
    """The type stays enforced when that is enough."""
    provider = Provider(server, api, message, has_strict_tools)
    result = provider.ask(way, tools=[weather], output=Size)

    assert (result.value, result.downgrades) == (Size(1), ("strict_tools",))
    assert has_output(api, server.requests[-1])


@each_provider
@every_way
def test_then_the_type_is_given_up_as_well(server: WireServer, way: Any, api: Api, message: str) -> None:
    """Each once."""
    provider = Provider(
        server, api, message, lambda api, request: has_output(api, request) or has_strict_tools(api, request)
    )
    result = provider.ask(way, tools=[weather], output=Size)

    assert (result.value, result.downgrades) == (Size(1), ("strict_tools", "output"))
    assert [call.value for call in result.tool_calls] == ["sunny in Oslo"]


@each_provider
@every_way
@pytest.mark.parametrize("forbidden", [{"strict_capabilities": True}, {"output_mode": "native"}], ids=str)
def test_the_fallback_can_be_forbidden(
    server: WireServer, way: Any, api: Api, message: str, forbidden: dict[str, Any]
) -> None:
    """Then the error says what to do, and is not transient."""
    provider = Provider(server, api, message, has_output)
    with pytest.raises(UnsupportedError, match="simpler type") as caught:
        provider.ask(way, output=Size, retry=2, **forbidden)

    assert (caught.value.feature, caught.value.transient) == ("schema", False)
    assert len(server.requests) == 1


@each_provider
@every_way
def test_a_request_without_schemas_is_refused_with_the_error(
    server: WireServer, way: Any, api: Api, message: str
) -> None:
    """There is nothing to leave out."""
    provider = Provider(server, api, message, lambda api, request: True)
    with pytest.raises(UnsupportedError, match=message[:20]):
        provider.ask(way, output=Size, output_mode="prompted")
    assert len(server.requests) == 1


STRICT_UNKNOWN = [
    (ANTHROPIC, "tools.0.custom.strict: Extra inputs are not permitted"),
    (ANTHROPIC, "This model does not support strict tools."),
    (GEMINI, "Invalid value at 'tool_config.function_calling_config.mode' (Mode), \"VALIDATED\""),
]


@pytest.mark.parametrize(("api", "message"), STRICT_UNKNOWN)
@every_way
def test_a_model_without_strict_tools_gets_ordinary_ones(
    server: WireServer, way: Any, api: Api, message: str
) -> None:
    """For all tools: this is remembered for the model."""
    events: list[FallbackTaken] = []
    provider = Provider(server, api, message, has_strict_tools)
    listen = {"on_event": lambda event: events.append(event) if isinstance(event, FallbackTaken) else None}
    for tools in ([weather], [weather, ping]):
        result = provider.ask(way, tools=tools, **listen)
        assert [call.value for call in result.tool_calls] == ["sunny in Oslo"]
        assert result.downgrades == ("strict_tools",)

    assert [has_strict_tools(api, request) for request in server.requests] == [True, *[False] * 4]
    assert {event.feature for event in events} == {"strict_tools"}
