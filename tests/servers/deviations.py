"""What each check must show, and where a server is known to do something else."""

from __future__ import annotations

from collections.abc import Collection

from servers.checks import KINDS

__all__ = ["DEVIATIONS", "allowed"]

EXPECTED = {
    "text": "text",
    **dict.fromkeys(KINDS, "native"),
    "a tool": "native",
    "two tools in one turn": "native",
    "wrong key": "AuthenticationError",
    "wrong path": "ModelNotFoundError",
    "unknown model": "ModelNotFoundError",
    "too many requests": "RateLimitError",
    "too long a prompt": "BadRequestError",
}

Deviation = tuple[str, Collection[str], Collection[str], str]
TOOLS = ("a tool", "two tools in one turn")
FAILURES = ("unknown model", "too many requests", "too long a prompt")
ANY = ("openai-chat", "openai", "anthropic", "gemini", "ollama")

# The beginning of a server's name, its APIs, the rows, and what they show instead.
DEVIATIONS: tuple[Deviation, ...] = (
    ("llama.cpp", ("openai", "anthropic"), KINDS, "prompted"),  # ignores the schema
    ("litellm before llama.cpp", ("openai", "anthropic"), KINDS, "prompted"),  # litellm drops it, too
    ("llama.cpp", ANY, TOOLS, "ReAct"),  # the model's template has no place for tools
    ("litellm before llama.cpp", ANY, TOOLS, "ReAct"),
    ("llama.cpp", ANY, ("unknown model",), "answered"),  # by the one model that is loaded
    ("fakellm", ANY, ("text",), "text"),
    (
        "aimock",
        ("openai", "anthropic", "gemini", "ollama"),
        ("text",),
        "text, no usage",
    ),  # which only a fixture gives it
    ("litellm", ANY, ("wrong key",), "BadRequestError"),  # "No connected db.", as it runs without a database
    ("fakellm", ("openai-chat",), ("text",), "text, no usage"),  # in streams
    *(("fakellm", ANY, (row,), EXPECTED[row]) for row in FAILURES),
    ("fakellm", ANY, FAILURES, "answered"),  # in streams
    ("litellm before aimock", ("openai", "anthropic"), ("text",), "text, no usage"),  # aimock's
)


def allowed(server: str, api: str, row: str, *, writes: bool) -> set[str]:
    """The right outcomes. A model that *writes* may also fail, which has to be an error that says so."""
    right = {
        word
        for name, apis, rows, word in DEVIATIONS
        if server.startswith(name) and api in apis and row in rows
    } or {EXPECTED[row]}
    return right | ({"invalid"} if writes and (row in KINDS or row in TOOLS) else set())
