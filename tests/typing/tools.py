"""`@tool`, `@require` and `@ensure`: the function's own type, in either order."""

from __future__ import annotations

from typing import Any, assert_type

from alloy import Command, Tool, ToolCall, ToolResult, command, ensure, require, tool


@tool
def rate(currency: str, amount: float = 1.0) -> float:
    return amount + len(currency)


@tool(name="current_rate", description="The rate now.")
def renamed(currency: str) -> float:
    return float(len(currency))


@tool(tool_timeout=None, tool_result_max_chars=None)
def unlimited(currency: str) -> float:
    return float(len(currency))


@tool(tool_timeout=0.5, tool_result_max_chars=100)
def limited(currency: str) -> float:
    return float(len(currency))


@tool()
def called() -> None:
    return None


@tool
async def fetch(url: str, *, timeout: int = 3) -> bytes:
    return f"{url} {timeout}".encode()


@tool
@require(lambda amount: amount > 0, "amount must be positive")
@ensure(lambda result: result >= 0, "a rate is never negative")
def guarded_below(currency: str, amount: float) -> float:
    return amount + len(currency)


@require(lambda amount: amount > 0, "amount must be positive")
@ensure(lambda result: result >= 0)
@tool
def guarded_above(currency: str, amount: float) -> float:
    return amount + len(currency)


@require(lambda text: text != "")
@command(output=int)
def command_guarded_above(text: str) -> str:
    return text


@command(output=int)
@ensure(lambda result: result > 0, "must be positive")
def command_guarded_below(text: str) -> str:
    return text


@ensure(lambda result: bool(result))
@command
async def async_guarded_above(text: str) -> str:
    return text


@require(lambda x: x > 0)
def plain_guarded(x: int) -> int:
    return x


assert_type(rate("EUR", amount=2), float)
assert_type(rate.name, str)
assert_type(rate.description, str)
assert_type(rate.is_async, bool)
assert_type(renamed("EUR"), float)
assert_type(guarded_below("EUR", 2), float)
assert_type(guarded_above("EUR", amount=2), float)
assert_type(command_guarded_above("x"), int)
assert_type(command_guarded_above.with_options(output=str)("x"), str)
assert_type(command_guarded_below("x"), int)
assert_type(plain_guarded(1), int)
nothing: None = called()
any_tool: Tool[..., object] = rate  # covariant in the result
some_tools: list[Tool[..., Any] | Command[..., Any]] = [rate, fetch, command_guarded_above]
with_tools = command(tools=some_tools)


async def awaited() -> None:
    assert_type(await fetch("http://127.0.0.1", timeout=1), bytes)
    assert_type(await async_guarded_above("x"), str)


# --- what a result tells of its tools


@command(tools=[rate, fetch])
def with_both(text: str) -> str:
    return text


done = with_both.run("x")
assert_type(done.tool_calls, tuple[ToolResult, ...])
assert_type(done.tool_calls[0].call, ToolCall)
assert_type(done.tool_calls[0].name, str)
assert_type(done.tool_calls[0].duration, float)
assert_type(done.tool_calls[0].error, str | None)
