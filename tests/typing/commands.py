"""`@command`: the signature is kept, the answer has the declared type, sync and async."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, assert_type

from alloy import (
    AsyncCommand,
    AsyncStream,
    Command,
    RateLimitError,
    Result,
    ServerError,
    Stream,
    ask,
    command,
    configure,
    tool,
)
from alloy.options import ModelOptions

P = ParamSpec("P")
T = TypeVar("T")


@command
def bare(topic: str, words: int = 100, *, tone: str = "plain") -> str:
    return f"{words} {tone} words on {topic}"


@command()
def called(topic: str) -> str:
    return topic


@command(output=int, model="openai:gpt-5", retry=3)
def typed(topic: str, *, strict: bool = False) -> str:
    return f"{topic} {strict}"


@command(model=["gpt-5.6", {"model": "ollama:qwen3", "temperature": 0, "base_url": "http://localhost"}])
def several() -> str:
    return "hello"


models: list[ModelOptions | str] = [
    {"model": "gpt-5.6", "reasoning_effort": "low"},
    {"model": "openai-chat:qwen3", "base_url": "http://localhost:8000/v1", "temperature": 0},
    "claude-haiku-4-5",
]
only_dicts: list[ModelOptions] = [{"model": "gpt-5.6", "temperature": 0}]
only_names = ["gpt-5.6", "claude-haiku-4-5"]
bodies: dict[str, dict[str, Any]] = {"openai": {"service_tier": "flex"}, "ollama": {"keep_alive": "10m"}}


def several_in_variables() -> None:
    assert_type(ask("x", model=models, extra=bodies), str)
    assert_type(ask("x", model=only_dicts), str)
    assert_type(ask("x", model=only_names), str)
    assert_type(several.with_options(model=models)(), str)
    configure(model=models)
    configure(model={"model": "gpt-5.6", "temperature": 0})
    assert_type(ask("x", model=[{"model": "a", "temperature": 0}, {"model": "b", "base_url": "x"}]), str)
    assert_type(ask("x", model=tuple(only_dicts)), str)


@command(output=None)
def for_effects(text: str) -> str:
    return text


@command(system="Be short.", temperature=0.2)
def text_with_options() -> str:
    return "hello"


@command
async def bare_async(topic: str) -> str:
    return topic


@command(output=list[int], timeout=10)
async def typed_async(topic: str, *, limit: int = 3) -> str:
    return f"{topic} {limit}"


@command(output=None)
async def for_effects_async() -> str:
    return "go"


# --- calls and what else a command can do

assert_type(bare("bees"), str)
assert_type(bare("bees", 50, tone="dry"), str)
assert_type(called("bees"), str)
assert_type(typed("bees", strict=True), int)
assert_type(text_with_options(), str)
assert_type(several(), str)
assert_type(typed.run("bees"), Result[int])
assert_type(typed.run("bees").value, int)
assert_type(typed.stream("bees"), Stream[int])
assert_type(typed.stream("bees").run(), Result[int])
assert_type(typed.stream_async("bees"), AsyncStream[int])
assert_type(typed.request("bees", strict=True), dict[str, Any])
assert_type(for_effects.run("x"), Result[None])
assert_type(typed.__name__, str)
assert_type(typed.__qualname__, str)
nothing: None = for_effects("x")
for piece in bare.stream("bees"):
    assert_type(piece, str)


async def awaited() -> None:
    assert_type(await bare.async_("bees", tone="dry"), str)
    assert_type(await typed.async_("bees"), int)
    assert_type(await typed.run_async("bees"), Result[int])
    assert_type(await typed.stream_async("bees").run(), Result[int])
    assert_type(await bare_async("bees"), str)
    assert_type(await typed_async("bees", limit=2), list[int])
    assert_type(await typed_async.async_("bees"), list[int])
    assert_type(await typed_async.run("bees"), Result[list[int]])
    assert_type(await typed_async.run_async("bees"), Result[list[int]])
    assert_type(typed_async.stream("bees"), AsyncStream[list[int]])
    assert_type(typed_async.stream_async("bees"), AsyncStream[list[int]])
    assert_type(await typed_async.request("bees"), dict[str, Any])
    assert_type(await for_effects_async.run(), Result[None])
    async for piece in typed_async.stream("bees"):
        assert_type(piece, str)
    async with typed.stream_async("bees") as pieces:
        assert_type(pieces, AsyncStream[int])
        assert_type(await pieces.run(), Result[int])


# --- with_options keeps the signature; a new output is a new type

assert_type(typed.with_options(model="fast", timeout=2.5)("bees", strict=True), int)
assert_type(typed.with_options(output=str)("bees", strict=True), str)
assert_type(typed.with_options(output=int | None, tools=[])("bees"), int | None)
assert_type(typed.with_options(output=None).run("bees"), Result[None])
assert_type(typed.with_options(retry=0).with_options(output=float).run("bees").value, float)


async def with_options() -> None:
    assert_type(await typed_async.with_options(deadline=None)("bees", limit=1), list[int])
    assert_type(await typed_async.with_options(output=bool)("bees", limit=1), bool)


# --- a command where its type is written down

anything: Command[..., int | str] = typed  # covariant in the answer
anything_async: AsyncCommand[..., list[int]] = typed_async
a_function: Callable[[str], int] = typed
a_coroutine_function: Callable[[str], Coroutine[Any, Any, list[int]]] = typed_async


def run_any(do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return do(*args, **kwargs)


assert_type(run_any(typed, "bees", strict=True), int)


# --- every option, as its type


@tool
def clock() -> str:
    return "12:00"


def plain_function(x: int) -> int:
    return x


@command(
    output=str,
    tools=[clock, typed, typed_async, plain_function],
    model="anthropic:claude-haiku-4-5",
    backend="fake",
    temperature=1,
    max_tokens=500,
    top_p=0.9,
    seed=7,
    stop=["END", "STOP"],
    reasoning_effort="low",
    system="Be kind.",
    retry=2,
    retry_on=(RateLimitError, ServerError),
    reask=1,
    timeout=30,
    deadline=60.0,
    max_response_bytes=None,
    max_tool_turns=5,
    parallel_tools_max=2,
    max_connections=2,
    tool_timeout=5,
    tool_result_max_chars=None,
    tool_errors="raise",
    auto_finalize_missing_output=False,
    tool_choice="required",
    allowed_tools=["clock"],
    parallel_tools=False,
    prompt_caching=True,
    tool_mode="react",
    output_mode="prompted",
    strict_capabilities=True,
    pickle_secrets=False,
    base_url="http://127.0.0.1:8080/v1",
    api_key="not a key",
    extra={"openai": {"service_tier": "flex"}},
)
def every_option() -> str:
    return ""


@command(
    default_system=None,
    model=None,
    backend=None,
    temperature=None,
    max_tokens=None,
    stop="END",
    allowed_tools=None,
    retry_on=RateLimitError,
    timeout=None,
    deadline=None,
    base_url=None,
    api_key=None,
    tools=(clock,),
    tool_errors="return",
)
async def every_none() -> str:
    return ""


assert_type(every_option(), str)
assert_type(every_none.with_options(retry_on=[RateLimitError]).stream(), AsyncStream[str])
