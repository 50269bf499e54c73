"""Traces: which spans a call has, in every way of calling, and what is in them."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import gzip
import json
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import pytest
from kit.apis import ANTHROPIC, CHAT, RESPONSES, Api, every_api
from kit.patience import PATIENCE
from kit.stored import script
from kit.walking import parts_of
from kit.ways import Asked, every_way, stream, stream_async
from kit.wire import WireServer

import alloy
import alloy.telemetry
from alloy import Cache, DeadlineError, Image, ProviderError, ask, command, tool, use_config
from alloy._engine.runtime import background_loop
from alloy.messages import Reply, ToolCall, Usage
from alloy.telemetry import names
from alloy.telemetry.contents import LONGEST
from alloy.testing import call, replies

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

SECRET = "sk-planted-0123456789abcdef"


class Begun(SpanProcessor):
    """Remembers the order in which spans began."""

    def __init__(self) -> None:
        self.ids: list[int] = []

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.ids.append(span.context.span_id)


class Traces:
    """The spans that have ended, and what was measured."""

    def __init__(self) -> None:
        self._exporter, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self._begun = Begun()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(self._begun)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader])

    def instrument(self, **options: Any) -> None:
        alloy.telemetry.instrument(tracer_provider=self.tracers, meter_provider=self.meters, **options)

    @property
    def spans(self) -> list[ReadableSpan]:
        """All of them, in the order in which they began."""
        ended = {span.context.span_id: span for span in self._exporter.get_finished_spans() if span.context}
        return [ended[each] for each in self._begun.ids if each in ended]

    def named(self, name: str) -> ReadableSpan:
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def tree(self) -> list[str]:
        """The names, indented below their parents."""
        parents = {span.context.span_id: span for span in self.spans if span.context}

        def depth(span: ReadableSpan) -> int:
            above = span.parent and parents.get(span.parent.span_id)
            return 0 if above is None else 1 + depth(above)

        return ["  " * depth(span) + span.name for span in self.spans]

    def measured(self, metric: str) -> list[Any]:
        """The data points of *metric*."""
        data: Any = self._reader.get_metrics_data()
        found = [
            each
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for each in scope.metrics
        ]
        return [point for each in found if each.name == metric for point in each.data.data_points]


@pytest.fixture
def traces() -> Iterator[Traces]:
    made = Traces()
    made.instrument()
    yield made
    alloy.telemetry.uninstrument()


def of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@command(output=int)
def stock(item: str) -> str:
    """How many of an item are in stock."""
    return f"How many of {item}?"


@tool
def price(item: str) -> float:
    """The price of an item."""
    with trace.get_tracer("shop").start_as_current_span("database"):
        return 2.5


@tool
async def rate(currency: str) -> float:
    """An exchange rate."""
    await asyncio.sleep(0)
    with trace.get_tracer("shop").start_as_current_span("web"):
        return 0.9


@command(output=bool, tools=[stock, price, rate])
def deliver() -> str:
    """Whether an order can be delivered."""
    return "Can we deliver?"


# --- the tree -----------------------------------------------------------------------------------------


@every_way
def test_a_call_has_spans_for_itself_its_requests_and_its_tools(traces: Traces, way: Any) -> None:
    """The spans of tools are current while these run, so that a nested command and others are inside them."""
    tracer = traces.tracers.get_tracer("shop")

    @tool
    def look(item: str) -> int:
        """Look."""
        with tracer.start_as_current_span("database"):
            return 1

    @tool
    async def wait(item: str) -> int:
        """Wait."""
        await asyncio.sleep(0)
        with tracer.start_as_current_span("web"):
            return 1

    asking = deliver.with_options(tools=[stock, look, wait], parallel_tools_max=1)
    turns = [call("stock", item="a"), 3, call("look", item="a"), call("wait", item="a"), True]
    with replies(*turns):
        way(asking)
    assert traces.tree() == [
        "invoke_agent deliver",
        "  chat fake",
        "  execute_tool stock",
        "    invoke_agent stock",
        "      chat fake",
        "  chat fake",
        "  execute_tool look",
        "    database",
        "  chat fake",
        "  execute_tool wait",
        "    web",
        "  chat fake",
    ]
    assert len({span.context.trace_id for span in traces.spans if span.context}) == 1
    assert [of(span)[names.ATTEMPT] for span in traces.spans if span.name == "chat fake"] == [1, 1, 2, 3, 4]


@every_way
def test_turns_from_a_cache_are_counted(traces: Traces, way: Any, tmp_path: Path) -> None:
    """They have no span of their own, because nothing is sent."""
    with use_config(cache=Cache(tmp_path / "answers.sqlite"), model="stored:m"), script(1):
        way(Asked(output=int))
        way(Asked(output=int))
    assert [span.name for span in traces.spans] == ["invoke_agent ask", "chat m", "invoke_agent ask"]
    assert [of(span).get(names.CACHED_TURNS) for span in traces.spans] == [None, None, 1]


@every_way
def test_the_span_of_the_caller_is_the_parent(traces: Traces, way: Any) -> None:
    with traces.tracers.get_tracer("web").start_as_current_span("GET /"), replies(3):
        way(command(output=int)(question))
    assert traces.tree() == ["GET /", "  invoke_agent question", "    chat fake"]


def question() -> str:
    return "How many?"


def test_calls_at_once_do_not_mix(traces: Traces) -> None:
    """In tasks, and in threads that were given the context."""
    tracer = traces.tracers.get_tracer("web")
    offline = stock.with_options(backend="fake")

    async def one(number: int) -> None:
        with tracer.start_as_current_span(f"task {number}"):
            await offline.async_(str(number))

    async def many() -> None:
        await asyncio.gather(*map(one, range(8)))

    def in_thread(number: int) -> None:
        with tracer.start_as_current_span(f"thread {number}"):
            offline(str(number))

    asyncio.run(many())
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: contextvars.copy_context().run(in_thread, n), range(8)))
    parents = {span.context.span_id: span.name for span in traces.spans if span.context}
    calls = [span for span in traces.spans if span.name == "invoke_agent stock"]
    assert sorted(parents[span.parent.span_id] for span in calls if span.parent) == sorted(
        f"{kind} {number}" for kind in ("task", "thread") for number in range(8)
    )


def test_a_map_has_a_span_for_each_call(traces: Traces) -> None:
    """All of them inside the span that was current where it began."""
    with traces.tracers.get_tracer("batch").start_as_current_span("run"):
        assert len(list(stock.with_options(backend="fake").map(list("abcde"), concurrency=3))) == 5
    assert traces.tree().count("  invoke_agent stock") == 5


# --- what is in them ----------------------------------------------------------------------------------


@every_api
@every_way
def test_what_a_request_span_says(traces: Traces, server: WireServer, api: Api, way: Any) -> None:
    mode = "open" if "stream" in way.__name__ else "send"
    server.script(api.answer(mode, "Hello"))
    options = {**api.options(server), "max_tokens": 50}
    way(command(output=str, **options)(question))
    span = traces.named(f"chat {api.model}")
    found = of(span)
    assert span.kind is trace.SpanKind.CLIENT
    assert found[names.OPERATION_NAME] == "chat"
    assert found[names.PROVIDER_NAME] == names.PROVIDERS.get(api.name, api.name)
    assert (found[names.REQUEST_MODEL], found[names.REQUEST_MAX_TOKENS]) == (api.model, 50)
    assert found[names.FINISH_REASONS] == ("stop",)
    assert found[names.INPUT_TOKENS] > 0
    assert found[names.OUTPUT_TOKENS] > 0
    assert found[names.SERVER_ADDRESS] == "127.0.0.1"
    assert found[names.SERVER_PORT] == int(server.url.rpartition(":")[2])
    assert found[names.OUTPUT_TYPE] == "text"
    whole = of(traces.named("invoke_agent question"))
    assert whole[names.INPUT_TOKENS] == found[names.INPUT_TOKENS]
    assert span.status.is_ok or span.status.status_code is trace.StatusCode.UNSET


def test_tokens_of_all_kinds(traces: Traces) -> None:
    with replies(Reply("3", usage=Usage(100, 20, 60, 5, 10), model="m-1", id="r-1")):
        stock("a")
    found = of(traces.named("chat fake"))
    assert {name: found[name] for name in found if ".usage." in name} == {
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 60,
        "gen_ai.usage.cache_creation.input_tokens": 10,
        "gen_ai.usage.reasoning.output_tokens": 5,
    }
    assert (found[names.RESPONSE_MODEL], found[names.RESPONSE_ID]) == ("m-1", "r-1")


@every_way
def test_a_retry_is_a_span_of_its_own(traces: Traces, server: WireServer, way: Any) -> None:
    """The request that failed says why, without the text of the error; the call is fine."""
    mode = "open" if "stream" in way.__name__ else "send"
    server.script(CHAT.failure(429, f"slow down, {SECRET}", None), CHAT.answer(mode, "Hello"))
    options = {**CHAT.options(server), "retry": 1, "backoff": 0}
    way(command(output=str, **options)(question))
    failed, good = [span for span in traces.spans if span.name.startswith("chat")]
    assert failed.status.status_code is trace.StatusCode.ERROR
    assert of(failed)[names.ERROR_TYPE] == "RateLimitError"
    described = "RateLimitError, status 429, code invalid_request_error, request id req_1"
    assert failed.status.description == described
    assert (of(failed)[names.ATTEMPT], of(good)[names.ATTEMPT]) == (1, 2)
    assert traces.named("invoke_agent question").status.status_code is trace.StatusCode.UNSET


@every_way
def test_another_model_is_in_its_own_span(traces: Traces, server: WireServer, way: Any) -> None:
    mode = "open" if "stream" in way.__name__ else "send"
    server.script(RESPONSES.failure(503, "down", None), ANTHROPIC.answer(mode, "Hello"))
    models = [
        {"model": f"{api.name}:{api.model}", "base_url": server.url + api.base, "api_key": SECRET}
        for api in (RESPONSES, ANTHROPIC)
    ]
    way(command(output=str, retry=0, model=models)(question))
    assert [of(span)[names.PROVIDER_NAME] for span in traces.spans if span.name.startswith("chat")] == [
        "openai",
        "anthropic",
    ]


@every_way
def test_a_call_that_fails_says_so(traces: Traces, server: WireServer, way: Any) -> None:
    server.script(CHAT.failure(400, "no", None))
    with pytest.raises(ProviderError):
        way(command(output=str, **CHAT.options(server))(question))
    for span in traces.spans:
        assert span.status.status_code is trace.StatusCode.ERROR
        assert of(span)[names.ERROR_TYPE] == "BadRequestError"
    assert len(traces.spans) == 2


@every_way
def test_a_tool_that_fails_says_so(traces: Traces, way: Any) -> None:
    @tool
    def broken(a: int) -> int:
        """Break."""
        raise LookupError("nothing here")

    with replies(call("broken", a=1), call("broken", a="x"), call("missing"), "done"):
        way(command(output=str, tools=[broken])(question))
    tools = [span for span in traces.spans if span.name.startswith("execute_tool")]
    assert [of(span)[names.ERROR_TYPE] for span in tools] == ["LookupError", "ToolError", "ToolError"]
    assert all(span.status.status_code is trace.StatusCode.ERROR for span in tools)
    assert not any("nothing here" in str(span.status.description) for span in tools)


class Leaving:
    """Tools that are left in every way that there is."""

    def __init__(self) -> None:
        self.over = threading.Event()

    async def waits(self) -> None:
        """Wait for ever."""
        await asyncio.Event().wait()

    async def swallows(self) -> None:
        """Wait, whatever cancels it."""
        while not self.over.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    def blocks(self) -> None:
        """Wait in a thread."""
        self.over.wait(PATIENCE)

    async def cancels(self) -> None:
        """Raise a cancellation of its own."""
        raise asyncio.CancelledError

    def exits(self) -> None:
        """Ask the program to exit."""
        raise SystemExit(3)


@pytest.mark.parametrize("way", [stream, stream_async])
@pytest.mark.parametrize(
    ("kind", "limit"),
    [
        *((kind, {"tool_timeout": 0.05}) for kind in ("waits", "swallows", "blocks", "cancels", "exits")),
        *((kind, {"deadline": 0.2}) for kind in ("waits", "swallows")),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_the_span_of_a_tool_that_is_left_ends_once(
    traces: Traces, way: Any, kind: str, limit: dict[str, float], caplog: pytest.LogCaptureFixture
) -> None:
    """OpenTelemetry logs a warning for a second end, and an error for a context that is left elsewhere."""
    tools = Leaving()
    with suppress(DeadlineError, SystemExit), replies(call(kind), "done"):
        way(Asked(tools=[getattr(tools, kind)], **limit))
    tools.over.set()
    background_loop.close()
    gc.collect()  # what asyncio has left behind is closed
    assert [record.getMessage() for record in caplog.records if record.name.startswith("opentel")] == []
    shown = [span.name for span in traces.spans]
    assert shown.count(f"execute_tool {kind}") <= 1 == shown.count("invoke_agent ask")


def test_calls_that_are_left_end_their_spans(traces: Traces, server: WireServer) -> None:
    """A stream that is closed early, and a task that is cancelled."""
    server.script(CHAT.answer("open", "Hello, how are you?"))
    with ask.stream("Hi", **CHAT.options(server)) as pieces:
        next(iter(pieces))
    assert [span.name for span in traces.spans] == ["invoke_agent ask", f"chat {CHAT.model}"]
    assert {of(span)[names.ERROR_TYPE] for span in traces.spans} == {"GeneratorExit"}

    begun = asyncio.Event()

    @tool
    async def hang() -> int:
        """Hang."""
        begun.set()
        await asyncio.Event().wait()
        return 1

    async def cancelled() -> None:
        with replies(call("hang")):
            task = asyncio.create_task(ask.async_("Hi", tools=[hang]))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancelled())
    assert [span.name for span in traces.spans][2:] == ["invoke_agent ask", "chat fake", "execute_tool hang"]
    assert of(traces.named("execute_tool hang"))[names.ERROR_TYPE] == "CancelledError"


# --- metrics ------------------------------------------------------------------------------------------


def test_tokens_and_durations_are_measured(traces: Traces, server: WireServer) -> None:
    server.script(CHAT.failure(429, "slow", None), CHAT.answer("send", "Hello"))
    result = ask.run("Hi", **{**CHAT.options(server), "retry": 1, "backoff": 0})
    tokens = {point.attributes[names.TOKEN_TYPE]: point for point in traces.measured(names.TOKENS)}
    used = result.usage
    assert (tokens["input"].sum, tokens["output"].sum) == (used.input_tokens, used.output_tokens)
    assert tuple(tokens["input"].explicit_bounds) == names.TOKEN_BUCKETS
    durations = traces.measured(names.DURATION)
    kinds = sorted(str(point.attributes.get(names.ERROR_TYPE)) for point in durations)
    assert kinds == ["None", "RateLimitError"]
    assert all(point.sum > 0 and point.count == 1 for point in durations)
    assert tuple(durations[0].explicit_bounds) == names.DURATION_BUCKETS


@every_api
@every_way
def test_the_time_to_the_first_chunk(traces: Traces, server: WireServer, api: Api, way: Any) -> None:
    """Of streamed requests only, also when a stream fails later."""
    streamed = "stream" in way.__name__
    server.script(api.answer("open" if streamed else "send", "Hello"))
    way(command(output=str, **api.options(server))(question))
    found = of(traces.named(f"chat {api.model}"))
    points = traces.measured(names.FIRST_CHUNK)
    assert (names.REQUEST_STREAM in found, names.TIME_TO_FIRST_CHUNK in found) == (streamed, streamed)
    assert len(points) == streamed
    for point in points:
        assert (point.count, point.sum) == (1, found[names.TIME_TO_FIRST_CHUNK])
        assert tuple(point.explicit_bounds) == names.DURATION_BUCKETS
        assert point.attributes[names.REQUEST_MODEL] == api.model


@pytest.mark.parametrize("way", [stream, stream_async], ids=["stream", "stream_async"])
def test_the_first_chunk_of_a_stream_that_breaks_off(traces: Traces, server: WireServer, way: Any) -> None:
    broken, failed = CHAT.answer("open", "Hello"), CHAT.failure(503, "down", None)
    broken.body = broken.body[:1]
    server.script(failed, broken)
    for _ in range(2):
        with pytest.raises(ProviderError):
            way(command(output=str, **CHAT.options(server))(question))
    early, late = [of(span) for span in traces.spans if span.name.startswith("chat")]
    assert (early[names.REQUEST_STREAM], late[names.REQUEST_STREAM]) == (True, True)
    assert (names.TIME_TO_FIRST_CHUNK in early, names.TIME_TO_FIRST_CHUNK in late) == (False, True)
    assert [point.count for point in traces.measured(names.FIRST_CHUNK)] == [1]


# --- content and secrets ------------------------------------------------------------------------------


@tool
def secret_tool(item: str) -> str:
    """Look."""
    return f"{item} costs {SECRET}"


def everything(traces: Traces) -> str:
    return "".join(span.to_json() for span in traces.spans)


@every_way
def test_content_is_recorded_only_when_asked_for(traces: Traces, way: Any) -> None:
    with replies(call("secret_tool", item="anvil"), "an answer"):
        way(command(output=str, tools=[secret_tool], system="Be brief.")(question))
    for text in ("anvil", "answer", "How many", "Be brief", "Look"):
        assert text not in everything(traces)


@every_way
def test_content_has_the_form_of_the_conventions(traces: Traces, way: Any) -> None:
    traces.instrument(content=True)
    with replies(call("secret_tool", item="anvil"), "an answer"):
        way(command(output=str, tools=[secret_tool], system="Be brief.")(question))
    last = of([span for span in traces.spans if span.name == "chat fake"][-1])
    assert json.loads(last[names.SYSTEM_INSTRUCTIONS]) == [{"type": "text", "content": "Be brief."}]
    asked, called, given = json.loads(last[names.INPUT_MESSAGES])
    assert asked == {"role": "user", "parts": [{"type": "text", "content": "How many?"}]}
    assert (called["role"], called["parts"][0]["type"], called["parts"][0]["name"]) == (
        "assistant",
        "tool_call",
        "secret_tool",
    )
    assert given["parts"][0]["id"] == called["parts"][0]["id"]
    assert given["parts"][0]["response"].startswith("anvil costs")
    assert json.loads(last[names.OUTPUT_MESSAGES]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "an answer"}], "finish_reason": "stop"}
    ]
    assert json.loads(last[names.TOOL_DEFINITIONS])[0]["name"] == "secret_tool"
    run = of(traces.named("execute_tool secret_tool"))
    assert json.loads(run[names.TOOL_ARGUMENTS]) == {"item": "anvil"}
    assert run[names.TOOL_RESULT].startswith("anvil costs")


def test_secrets_are_in_no_span(traces: Traces, server: WireServer) -> None:
    """Neither in content, where a server or a tool repeats a key, nor in errors."""
    traces.instrument(content=True)
    options = {**CHAT.options(server), "api_key": SECRET, "system": SECRET}
    server.script(CHAT.answer("send", f"the key is {SECRET}"), CHAT.failure(400, f"bad key {SECRET}", None))
    ask(f"repeat {SECRET}", **options)
    with pytest.raises(ProviderError):
        ask(f"repeat {SECRET}", **options)
    assert SECRET not in everything(traces)
    assert "the key is" in everything(traces)


def test_a_key_of_another_request_is_in_no_span(traces: Traces, server: WireServer) -> None:
    """Of the model before, and of a command that is the tool: a key that does not look like one."""
    traces.instrument(content=True)
    keys = "gate-one-31415926", "gate-two-27182818", "gate-three-16180339"
    at = {"base_url": server.url + CHAT.base}
    models = [{"model": f"openai-chat:m{n}", "api_key": keys[n], **at} for n in (0, 1)]

    def inner() -> str:
        """Inner."""
        return "Inner?"

    tools = [command(output=str, model="openai-chat:m2", api_key=lambda: keys[2], **at)(inner)]
    server.script(
        CHAT.failure(503, "down", None),
        CHAT.reply(CHAT.whole("", calls=[("inner", "{}")])),
        CHAT.answer("send", f"inner {keys[2]}"),
        CHAT.answer("send", f"outer {' '.join(keys)}"),
    )
    ask(f"repeat {keys[0]}", model=models, tools=tools, retry=0)
    shown = everything(traces)
    assert "outer [key]" in shown
    assert "inner [key]" in shown
    assert [key for key in keys if parts_of(key, shown)] == []


def test_ids_that_repeat_a_key_are_recorded_without_it(traces: Traces) -> None:
    """Of a reply and of a tool call, and the model's name, in spans and metrics, also without content."""
    with replies(
        Reply("", (ToolCall(SECRET, "price", '{"item": "a"}'),), finish="tool_calls"),
        Reply("3", model=f"m {SECRET}", id=f"r {SECRET}"),
    ):
        ask("Hi", tools=[price])
    found = of(traces.spans[-1])
    assert (found[names.RESPONSE_MODEL], found[names.RESPONSE_ID]) == ("m [key]", "r [key]")
    assert {point.attributes[names.RESPONSE_MODEL] for point in traces.measured(names.TOKENS)} == {
        "fake",
        "m [key]",
    }
    assert SECRET not in everything(traces)


def test_a_tool_that_the_model_made_up_is_not_named(traces: Traces) -> None:
    """Its name is the model's text, of any length."""
    with replies(call("a_made_up_name"), "done"):
        ask("Hi", tools=[price])
    assert "a_made_up_name" not in everything(traces)
    assert traces.tree() == ["invoke_agent ask", "  chat fake", "  execute_tool unknown", "  chat fake"]


def test_long_texts_are_cut_and_media_left_out(traces: Traces) -> None:
    traces.instrument(content=True)
    picture = Image.from_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 1000)
    with replies("ok"):
        ask(["a" * 100_000, picture, Image.from_url("https://example.com/a.png")])
    (message,) = json.loads(of(traces.named("chat fake"))[names.INPUT_MESSAGES])
    text, blob, address = message["parts"]
    assert len(text["content"]) == LONGEST
    assert text["content"].endswith("…")
    assert blob == {"type": "blob", "modality": "image", "mime_type": "image/png"}
    assert address["uri"] == "https://example.com/a.png"


# --- it disturbs nothing ------------------------------------------------------------------------------


class Broken(SpanProcessor):
    """A processor that fails whatever it is asked."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise RuntimeError("broken")

    def on_end(self, span: Any) -> None:
        raise RuntimeError("broken")


@every_way
def test_telemetry_that_fails_does_not_end_a_call(traces: Traces, way: Any, caplog: Any) -> None:
    """It is logged."""
    broken = TracerProvider()
    broken.add_span_processor(Broken())
    alloy.telemetry.instrument(tracer_provider=broken)
    with caplog.at_level(logging.ERROR, "alloy"), replies(call("secret_tool", item="a"), "done"):
        result, _ = way(command(output=str, tools=[secret_tool])(question))
    assert result.value == "done"
    assert len(result.tool_calls) == 1
    assert "telemetry failed; the call continues" in caplog.text


def test_the_same_calls_without_telemetry_load_nothing() -> None:
    """No import and no handler."""
    code = """
import sys, alloy
from alloy._engine.watching import new_watchers
assert alloy.ask("Hi", backend="fake")
assert new_watchers() == ()
found = [name for name in sys.modules if name.startswith(("opentelemetry", "alloy.telemetry"))]
assert found == [], found
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_uninstrument_and_instrument_again(traces: Traces) -> None:
    """The last one counts, and a call that runs is traced to its end."""
    with replies("a", "b", "c", "d"):
        ask("1")
        traces.instrument()
        ask("2")
        with ask.stream("3") as stream:
            next(iter(stream.events()))
            alloy.telemetry.uninstrument()
            assert stream.result() == "c"
        ask("4")
        alloy.telemetry.uninstrument()
    assert [span.name for span in traces.spans].count("invoke_agent ask") == 3


def test_without_a_provider_the_one_of_the_program_is_used() -> None:
    """It is looked up when a call is made, so it may be set later."""
    code = """
import alloy, alloy.telemetry
alloy.telemetry.instrument()
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
provider, found = TracerProvider(), InMemorySpanExporter()
provider.add_span_processor(SimpleSpanProcessor(found))
trace.set_tracer_provider(provider)
alloy.ask("Hi", backend="fake")
print([span.name for span in found.get_finished_spans()])
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (ran.stdout, ran.stderr) == ("['chat fake', 'invoke_agent ask']\n", "")


def test_names_are_those_of_the_package() -> None:
    """Of the version that the module cites: others lack some, or have moved them."""
    if version("opentelemetry-semantic-conventions") not in str(names.__doc__):
        pytest.skip("another version of the conventions is installed")
    attributes = pytest.importorskip("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")
    metrics = pytest.importorskip("opentelemetry.semconv._incubating.metrics.gen_ai_metrics")
    values = [value for module in (attributes, metrics) for value in vars(module).values()]
    known = {value for value in values if isinstance(value, str)}
    ours = {value for value in vars(names).values() if isinstance(value, str) and value.startswith("gen_ai.")}
    assert ours <= known
    assert len(ours) > 25
    operations = {each.value for each in attributes.GenAiOperationNameValues}
    assert {names.CHAT, names.EXECUTE_TOOL, names.INVOKE_AGENT} <= operations
    assert set(names.PROVIDERS.values()) <= {each.value for each in attributes.GenAiProviderNameValues}


# --- a collector --------------------------------------------------------------------------------------


class Collector(BaseHTTPRequestHandler):
    """Takes traces as OTLP over HTTP, and decodes them by the official definitions."""

    received: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            data = gzip.decompress(data)
        request = ExportTraceServiceRequest.FromString(data)
        self.received.extend(
            span.name
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        )
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


def exporting_to(address: str) -> TracerProvider:
    provider = TracerProvider()
    exporter = OTLPSpanExporter(endpoint=f"{address}/v1/traces", timeout=1)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def test_a_collector_gets_the_spans() -> None:
    """Over HTTP, by the exporter of OpenTelemetry."""
    Collector.received.clear()
    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        provider = exporting_to(f"http://127.0.0.1:{collector.server_port}")
        alloy.telemetry.instrument(tracer_provider=provider)
        with replies(3):
            stock("anvil")
        alloy.telemetry.uninstrument()
        provider.shutdown()
        collector.shutdown()
    assert Collector.received == ["chat fake", "invoke_agent stock"]


def test_a_collector_that_is_down_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The exporter logs it; nothing listens at the address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        provider = exporting_to(f"http://127.0.0.1:{taken.getsockname()[1]}")
        alloy.telemetry.instrument(tracer_provider=provider)
        with replies(3):
            assert stock("anvil") == 3
        alloy.telemetry.uninstrument()
        provider.shutdown()
    assert "telemetry failed" not in caplog.text
    assert "export" in caplog.text


# --- wrong arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"content": "no"}, r"^instrument\(\): content must be a bool, not 'no'$"),
        ({"content": 1}, "content must be a bool, not 1"),
        ({"content": None}, "content must be a bool, not None"),
        (
            {"tracer_provider": "console"},
            r"^instrument\(\): tracer_provider must be a TracerProvider, not 'console'",
        ),
        ({"tracer_provider": TracerProvider}, "tracer_provider must be a TracerProvider, not <class"),
        (
            {"tracer_provider": InMemorySpanExporter()},
            "exporters and readers are given to the TracerProvider",
        ),
        ({"tracer_provider": trace.get_tracer("own")}, "must be a TracerProvider"),
        ({"meter_provider": TracerProvider()}, "meter_provider must be a MeterProvider, not <"),
        ({"meter_provider": InMemoryMetricReader()}, "meter_provider must be a MeterProvider"),
        (
            {"provider": None},
            r"^instrument\(\) has no 'provider' \(did you mean '.*_provider'\?\); it has tracer_",
        ),
    ],
    ids=["no", "1", "None", "text", "class", "exporter", "tracer", "other", "reader", "name"],
)
def test_wrong_arguments_of_instrument_are_named(traces: Traces, wrong: Any, problem: str) -> None:
    """And change nothing: what was instrumented before still is, without prompts."""
    with pytest.raises(alloy.ConfigurationError, match=problem):
        alloy.telemetry.instrument(**wrong)
    with replies("hidden answer"):
        ask("hidden prompt")
    assert "hidden" not in str([dict(each.attributes or {}) for each in traces.spans])
    assert len(traces.spans) == 2
