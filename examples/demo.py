"""A tour of Alloy in the terminal: `make demo`.

Expected outcome: four short chapters (a typed value, a tool with a contract that corrects the model, a
stream, and the details of a call), each with its code and the model's answer, and exit code 0. It uses
scripted answers, unless ALLOY_MODEL, a provider's key or an Ollama server is available.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import textwrap
import urllib.request
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

from alloy import AlloyError, ConfigurationError, Result, command, configure, require, tool
from alloy.backends.registry import resolve
from alloy.testing import call, replies

# --- the program that the tour shows ----------------------------------------------------------------


@dataclass
class Invoice:
    vendor: str
    total: float
    currency: Literal["EUR", "USD"]
    lines: list[str]


@command(output=Invoice)
def read_invoice(text: str) -> str:
    """Python writes the prompt; the model does the reading."""
    return f"Extract the invoice:\n{text}"


@tool
@require(lambda nights: nights >= 2, "nights must be 2 or more")
def price_of_stay(room: Literal["garden", "sea"], nights: int) -> int:
    """The price of a stay, in EUR."""
    return {"garden": 110, "sea": 170}[room] * nights


@command(tools=[price_of_stay])
def quote(wish: str) -> str:
    return f"Quote a price in one sentence. If a stay is too short, price the shortest allowed one.\n{wish}"


@command
def haiku(about: str) -> str:
    return f"Write a haiku about {about}. Only its three lines."


SCAN = "ACME GmbH - 3 anvils 75,00 - freight 17,50 - due: 92,50 EUR"
WISH = "The sea room, for one night."

# The scripted answers for a tour without a model: one item for each request.
OFFLINE: dict[str, tuple[Any, ...]] = {
    "invoice": (Invoice("ACME GmbH", 92.5, "EUR", ["3 anvils", "freight"]),),
    "quote": (
        call("price_of_stay", room="sea", nights=1),
        call("price_of_stay", room="sea", nights=2),
        "The shortest stay is two nights; two nights in the sea room are 340 EUR.",
    ),
    "haiku": ("Types on either side,\nin between a stranger thinks;\nwhat returns will fit.",),
}


# --- the model --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelChoice:
    """The model that answers, the extra that it needs, and the settings to use it."""

    title: str
    extra: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    offline: bool = False


# For each variable with a key: the extra to install and the model to use.
KEYS = {
    "OPENAI_API_KEY": ("openai", "openai:gpt-5.6"),
    "ANTHROPIC_API_KEY": ("anthropic", "anthropic:claude-haiku-4-5"),
    "GEMINI_API_KEY": ("gemini", "gemini:gemini-3-flash"),
    "GOOGLE_API_KEY": ("gemini", "gemini:gemini-3-flash"),
}
# For each backend: the extra to install.
EXTRAS = {
    "anthropic": "anthropic",
    "gemini": "gemini",
    "ollama": "ollama",
    "ollama-chat": "ollama,openai",
    "openai": "openai",
    "openai-chat": "openai",
}


def choose() -> ModelChoice:
    """The first one available: the model in the environment, a key, an Ollama server, scripted answers."""
    if backend := os.environ.get("ALLOY_BACKEND"):
        return ModelChoice(f"ALLOY_BACKEND={backend}", offline=backend == "fake")
    if model := os.environ.get("ALLOY_MODEL"):
        return ModelChoice(f"ALLOY_MODEL={model}", _extra(model))
    for variable, (extra, model) in KEYS.items():
        if os.environ.get(variable):
            return ModelChoice(f"{model} ({variable} is set)", extra, {"model": model})
    host = os.environ.get("OLLAMA_HOST") or "127.0.0.1:11434"
    address = host if "://" in host else f"http://{host}"
    if model := _ollama_model(address):
        settings = {"model": f"ollama:{model}", "base_url": address}
        return ModelChoice(f"{model} on the Ollama server at {address}", "ollama", settings)
    title = "a script, because no key and no Ollama server was found"
    return ModelChoice(title, settings={"backend": "fake"}, offline=True)


def _extra(model: str) -> str:
    """The extra for *model*; empty for an unknown name, which the tour reports later."""
    try:
        return EXTRAS.get(resolve(model)[0].name, "")
    except ConfigurationError:
        return ""


def _ollama_model(address: str) -> str | None:
    """The first model of the Ollama server at *address*, if there is one."""
    try:
        with urllib.request.urlopen(f"{address}/api/tags", timeout=3) as answer:
            models = json.load(answer)["models"]
            return models[0]["name"] if models else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


# --- the output -------------------------------------------------------------------------------------

COLOURS = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(text: str, code: str) -> str:
    return f"\033[{code}m{text}\033[0m" if COLOURS else text


def chapter(title: str, *shown: Any) -> None:
    print("\n" + paint(title, "1;36"))
    for thing in shown:
        source = inspect.getsource(inspect.unwrap(thing)).rstrip()
        print("\n" + paint("\n".join(f"    {line}" if line else "" for line in source.split("\n")), "2"))
    print()


def show_code(text: str) -> None:
    print(paint(">>> ", "32") + text)


def show_calls(result: Result[Any]) -> None:
    """Print each tool call of *result* as Python code, with its value or error."""
    for done in result.tool_calls:
        arguments = ", ".join(f"{name}={value!r}" for name, value in done.arguments.items())
        outcome = f"failed: {done.error}" if done.error else f"{done.value!r}"
        print(f"    the model calls {done.name}({arguments})")
        print(paint(f"      -> {outcome}", "31" if done.error else "32"))


def tour(offline: bool) -> None:
    def answers(name: str) -> AbstractContextManager[Any]:
        return replies(*OFFLINE[name]) if offline else nullcontext()

    chapter("1  A model call that is a typed function call", Invoice, read_invoice)
    show_code(f"read_invoice({SCAN!r})")
    with answers("invoice"):
        print(read_invoice(SCAN))

    chapter("2  A tool, and a contract that corrects the model", price_of_stay, quote)
    show_code(f"result = quote.run({WISH!r})")
    with answers("quote"):
        result = quote.run(WISH)
    show_calls(result)
    show_code("result.value")
    print(result.value)

    chapter("3  A stream: text as it arrives", haiku)
    show_code("for piece in haiku.stream('types'): print(piece, end='')")
    with answers("haiku"), haiku.stream("types") as pieces:
        for piece in pieces:
            print(piece, end="", flush=True)
    print()

    chapter("4  Nothing is hidden: the details of the call in chapter 2")
    usage = result.usage
    print(f"    model   {result.model}")
    print(f"    turns   {result.turns} ({result.attempts} requests, {len(result.tool_calls)} tool calls)")
    print(f"    tokens  {usage.input_tokens} in, {usage.output_tokens} out")
    show_code("quote.request(...)  # the exact request; sends nothing")
    print(textwrap.indent(textwrap.fill(json.dumps(quote.request(WISH)), 96), "    "))


def main(arguments: list[str]) -> int:
    choice = choose()
    if arguments == ["--extra"]:  # for the Makefile: the extra to install first
        print(choice.extra)
        return 0
    print(paint("Alloy", "1") + ": a model call that feels like a typed function call.")
    print(f"The answers come from {choice.title}.")
    configure(**choice.settings)
    try:
        tour(choice.offline)
    except AlloyError as error:
        print(f"\n{type(error).__name__}: {error}\nWithout a network: ALLOY_BACKEND=fake make demo")
        return 1
    print("\nNext: README.md, the scripts in examples/, and `make test`.")
    if choice.offline:
        keys = ", ".join(KEYS)
        print(f"With a model: set one of {keys}, or start Ollama, and run `make demo` again.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
