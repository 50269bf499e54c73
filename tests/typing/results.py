"""`Result`, settings and errors: attributes and their types."""

from __future__ import annotations

from typing import assert_type

from typing_extensions import Unpack

import alloy
import alloy.commands
import alloy.errors
from alloy import (
    AnswerError,
    Config,
    ProviderError,
    RateLimitError,
    Result,
    ToolError,
    Usage,
    ask,
    configure,
    register_backend,
    use_config,
)
from alloy.backends.base import Backend
from alloy.options import CommandOptions
from alloy.settings import ModelEntry


def wider(result: Result[int]) -> Result[int | str]:
    return result  # covariant


def look(result: Result[int]) -> None:
    assert_type(result.value, int)
    assert_type(result.text, str)
    assert_type(result.usage, Usage)
    assert_type(result.usage.total_tokens, int)
    assert_type(result.usage + Usage(1, 2), Usage)
    assert_type(result.turns, int)
    assert_type(result.attempts, int)
    assert_type(result.model, str)


# --- one truth: the face's classes are the modules' own


def same(command: alloy.Command[..., int], error: alloy.AlloyError) -> None:
    assert_type(command, alloy.commands.Command[..., int])
    assert_type(error, alloy.errors.AlloyError)


# --- settings

configure(model="openai:gpt-5", retry=1, timeout=None, extra={"openai": {"a": 1}})
with use_config(model="fake:x", tool_errors="raise"):
    assert_type(ask("x"), str)


@use_config(backend="fake")
def decorated(x: int) -> int:
    return x


assert_type(decorated(1), int)
assert_type(Config(model="m").model, str | tuple[ModelEntry, ...] | None)
assert_type(Config().retry, int)
assert_type(alloy.__version__, str)


def passed_on(text: str, **options: Unpack[CommandOptions]) -> str:
    return ask(text, **options)


assert_type(passed_on("x", model="m", tools=[len]), str)


def registered(backend: Backend) -> None:
    register_backend("mine", backend, prefixes=("mine-",))
    register_backend("mine", lambda: backend)


# --- errors

try:
    ask("x")
except RateLimitError as error:
    assert_type(error.retry_after, float | None)
    assert_type(error.transient, bool)
except ProviderError as error:
    assert_type(error.provider, str)
    assert_type(error.status, int | None)
    assert_type(error.code, str | None)
    assert_type(error.request_id, str | None)
    assert_type(error.text, str)
except AnswerError as error:
    assert_type(error.expected, str)
    assert_type(error.problems, tuple[str, ...])
    assert_type(error.text, str)
except ToolError as error:
    assert_type(error.tool, str | None)
except alloy.AlloyError as error:
    assert_type(error.usage, Usage | None)
