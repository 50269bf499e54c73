"""The rows of the support matrix: what each provider claims, and why some cells are empty.

Claims come from the capability tables of the backends, so a change there changes the claim. What a
protocol does not report, and what no table can contain, is in `ABSENT` with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import pytest

from alloy.backends.base import Capabilities
from alloy.settings import SENT
from suite.providers import Provider
from suite.scripted_provider import PROVIDERS

YES = "yes"
WAYS = ("run", "run_async", "stream", "stream_async")

LOOSE = "Types without a strict form"
JSON_MODE = "JSON mode, where schemas are refused"

Claim = Callable[[Provider], str]


@dataclass(frozen=True)
class Row:
    """A behaviour, and what *claim* says about a provider: "yes", "fallback: …" or "no: …"."""

    group: str
    name: str
    claim: Claim = lambda _: YES


def _native(ability: str, otherwise: str) -> Claim:
    return lambda provider: YES if getattr(provider.can, ability) else otherwise


def _tools(provider: Provider) -> str:
    react = provider.options.get("tool_mode") == "react" or not provider.can.tools
    return "fallback: ReAct" if react else YES


def _both(provider: Provider) -> str:
    if _tools(provider) != YES:
        return "fallback: the type in the prompt"
    return YES if provider.can.output_with_tools else "fallback: the answer in an extra turn"


def _result_media(provider: Provider) -> str:
    if not provider.can.images:
        return "no: described in words"
    native = provider.can.result_media and _tools(provider) == YES
    return YES if native else "fallback: in the next message"


def _by_url(part: str) -> Claim:
    def claim(provider: Provider) -> str:
        if not getattr(provider.can, part):
            return f"no: does not support {part}"
        taken = provider.can.urls and (part == "images" or provider.can.document_urls)
        return YES if taken else "no: accepts data only"

    return claim


def _setting(name: str) -> Claim:
    def claim(provider: Provider) -> str:
        if name in provider.can.refuses:
            return "no: refused"
        if name in provider.can.drops:
            return "no: left out"
        automatic = name == "prompt_caching" and provider.keys[name] is None
        return "yes: automatic" if automatic else YES

    return claim


ROWS: tuple[Row, ...] = (
    Row("Answers", "Text"),
    Row("Answers", "System prompt"),
    Row("Answers", "Structured output", _native("structured_output", "fallback: the type in the prompt")),
    Row("Answers", LOOSE, _native("loose_output", "fallback: the type in the prompt")),
    Row("Answers", "Prompted JSON, when asked for"),
    Row("Answers", "Missing structured output is detected"),
    Row("Answers", JSON_MODE, _native("json_object", "no: the type in the prompt only")),
    Row("Answers", "Ignored schemas are detected"),
    Row("Answers", "Wrong answers are re-asked"),
    Row("Answers", "Missing answers are re-asked"),
    Row("Answers", "Usage"),
    Row("Tools", "Tools", _tools),
    Row("Tools", "Parallel tools", _tools),
    Row("Tools", "Results under the right ids", _tools),
    Row("Tools", "Tools and a typed answer", _both),
    Row("Tools", "Images in results", _result_media),
    Row("Tools", "ReAct, when asked for"),
    Row("Tools", "Missing tools are detected"),
    Row("Tools", "Ignored tool choices are detected"),
    Row("Tools", "Errors and contracts go back to the model"),
    Row("Tools", "Turn limit"),
    Row("Streaming", "Streamed text"),
    Row("Streaming", "Streamed text with tools between"),
    Row("Streaming", "Closing early frees the connection"),
    Row("Endings", "Refusal"),
    Row("Endings", "Truncation"),
    Row("Endings", "Content filter"),
    Row("Failures", "Errors by status"),
    Row("Failures", "Retries"),
    Row("Failures", "Timeouts and deadlines"),
    Row("Failures", "Unexpected and broken answers"),
    Row("Prompts", "Images", _native("images", "no: does not support images")),
    Row("Prompts", "Images by URL", _by_url("images")),
    Row("Prompts", "Documents", _native("documents", "no: does not support documents")),
    Row("Prompts", "Documents by URL", _by_url("documents")),
    Row("Prompts", "Conversations"),
    Row("Prompts", "Conversations from other providers"),
    *(Row("Settings", f"`{name}`", _setting(name)) for name in SENT),
    Row("Settings", "`extra`"),
)

# Each field of `Capabilities`, and the rows whose claims read it.
READ: dict[str, tuple[str, ...]] = {
    "tools": ("Tools", "Parallel tools"),
    "structured_output": ("Structured output",),
    "output_with_tools": ("Tools and a typed answer",),
    "images": ("Images", "Images in results"),
    "documents": ("Documents",),
    "urls": ("Images by URL", "Documents by URL"),
    "document_urls": ("Documents by URL",),
    "result_media": ("Images in results",),
    "loose_output": (LOOSE,),
    "json_object": (JSON_MODE,),
    "drops": tuple(f"`{name}`" for name in SENT),
    "refuses": tuple(f"`{name}`" for name in SENT),
}

_NO_NETWORK = "it uses no network"
_NOT_REPORTED = "its API does not report it"

ABSENT: dict[str, dict[str, str]] = {
    "Missing tools are detected": {"react": "its tools are always in the prompt"},
    "Ignored schemas are detected": {
        "react": "its types are always in the prompt",
        "fake": "what a script answers is meant",
    },
    "Ignored tool choices are detected": {
        "react": "its tools are always in the prompt",
        "fake": "what a script answers is meant",
        "ollama": "its API has no tool choice",
        "ollama-chat": "its API has no tool choice",
    },
    "Refusal": {"gemini": _NOT_REPORTED, "ollama": _NOT_REPORTED, "ollama-chat": _NOT_REPORTED},
    "Content filter": {
        "anthropic": "its API reports a refusal",
        "ollama": _NOT_REPORTED,
        "ollama-chat": _NOT_REPORTED,
    },
    "Closing early frees the connection": {"fake": _NO_NETWORK},
    "Timeouts and deadlines": {"fake": _NO_NETWORK},
    "Unexpected and broken answers": {"fake": _NO_NETWORK},
}


# A model for each line of each backend's capability table, so that none goes untested.
EXAMPLES: dict[str, tuple[str, ...]] = {
    "openai": ("gpt-5.6", "o1", "o3-mini", "o4-mini"),
    "openai-chat": ("gpt-5.6", "o3-mini", "tiny"),
    "anthropic": (
        "claude-3-7-sonnet-20250219",
        "claude-3-haiku-20240307",
        "claude-4-opus-20250514",
        "claude-opus-4-1-20250805",
        "claude-sonnet-4-20250514",
        "claude-sonnet-4@20250514",
        "claude-haiku-4-5",
        "claude-sonnet-4-5",
        "claude-sonnet-4-6",
        "claude-opus-5-5",
        "claude-fable-5-1",
        "claude-sonnet-5",
        "somebody-elses",
    ),
    "gemini": (
        "gemma-3-27b-it",
        "gemma-4-31b-it",
        "gemini-1.5-pro",
        "gemini-2.0-flash",
        "gemini-2.5-pro",
        "gemini-2.5-flash",
        "gemini-3-flash-preview",
        "gemini-3-pro-preview",
        "a-tuned-one",
    ),
    "ollama": ("llama3.2", "qwen3-coder:480b-cloud"),
    "ollama-chat": ("llama3.2", "qwen3-coder:480b-cloud"),
    "fake": ("fake",),
}


def absent(row: str, provider: str) -> str | None:
    """Why *provider* cannot prove *row*, or `None` if it can."""
    return ABSENT.get(row, {}).get(provider)


def proves(*rows: str) -> pytest.MarkDecorator:
    """Mark a test as a proof of *rows*; it runs with every provider that can prove all of them."""
    unknown = set(rows) - {row.name for row in ROWS}
    if unknown:
        raise ValueError(f"unknown rows: {unknown}")
    return pytest.mark.proves(*rows)


def fields_without_row() -> list[str]:
    """The capabilities that no row claims."""
    return [field.name for field in fields(Capabilities) if field.name not in READ]


def claims() -> dict[str, dict[str, str]]:
    """The claims, by row and provider."""
    return {
        row.name: {
            name: f"no: {reason}" if (reason := absent(row.name, name)) else row.claim(provider)
            for name, provider in PROVIDERS.items()
        }
        for row in ROWS
    }
