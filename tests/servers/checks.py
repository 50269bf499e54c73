"""What is tried on each server, by each of its APIs: the rows of the table, each in the four ways to call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from kit.patience import PATIENCE
from kit.ways import WAYS
from pydantic import TypeAdapter

from alloy import (
    AlloyError,
    AnswerError,
    AuthenticationError,
    BadRequestError,
    ModelNotFoundError,
    ParseError,
    ProviderConnectionError,
    RateLimitError,
    ServerError,
    TruncatedError,
    TurnLimitError,
    command,
    tool,
)

__all__ = ["CHECKS", "KINDS", "TEXT", "WEATHER", "Place", "outcomes"]


@dataclass(frozen=True)
class Place:
    """A server's API and a model there. *writes* is false where the answers are scripted."""

    api: str
    model: str
    base_url: str
    key: str
    writes: bool = False
    absent: Mapping[str, str] = field(default_factory=dict)  # rows that cannot be tried, with the reason

    def command(self, prompt: str, **changes: Any) -> Any:
        """A command whose failures are not hidden by another try.

        Except for a connection that is gone: llama.cpp closes it after a stream without saying so, also to a
        proxy, which reports that as an error of the server.
        """
        model = changes.pop("model", self.model)
        settings = {"temperature": 0, "max_tokens": 64, "timeout": PATIENCE, "reask": 0}
        again = {"retry": 1, "retry_on": (ProviderConnectionError, ServerError)}
        at = {"model": f"{self.api}:{model}", "base_url": self.base_url, "api_key": self.key}

        @command(**{**settings, **again, **at, **changes})
        def asked() -> str:
            return prompt

        return asked


# --- text and types -----------------------------------------------------------------------------------

TEXT = ("Name the sea between Africa and Europe.", "The Mediterranean: das Meer ist weit, und tief 🌊")


def check_text(place: Place, way: Any) -> str:
    """A whole text, which a stream shows as it is."""
    prompt, scripted = TEXT
    try:
        result, heard = way(place.command(prompt))
    except TruncatedError as error:
        assert place.writes and error.text, "a scripted text is not cut"
        return "text"
    assert result.value == scripted if not place.writes else result.value.strip()
    assert heard in (None, result.text)
    return "text" if result.usage.input_tokens and result.usage.output_tokens else "text, no usage"


@dataclass
class Person:
    name: str
    age: int


class Kind:
    """A type, a prompt whose answer has it, and the answer of a scripted model."""

    def __init__(self, output: Any, prompt: str, value: Any) -> None:
        self.output, self.prompt, self.value = output, prompt, value
        self.adapter = TypeAdapter[Any](output)

    @property
    def json(self) -> Any:
        """The answer that follows the schema that is sent: one that is not an object is wrapped."""
        plain = self.adapter.dump_python(self.value, mode="json")
        return plain if isinstance(self.value, Person) else {"value": plain}

    def check(self, place: Place, way: Any) -> str:
        """A value of the type: by the schema, or by a description of it in the prompt."""
        try:
            result, _ = way(place.command(self.prompt, output=self.output))
        except (ParseError, TruncatedError) as error:
            assert place.writes, f"{type(error).__name__}: {error}"
            return "invalid"
        self.adapter.validate_python(result.value, strict=True)
        assert place.writes or result.value == self.value, f"{result.value!r} is not {self.value!r}"
        return "prompted" if "output" in result.downgrades else "native"


KINDS = {
    "`bool`": Kind(bool, "Is water wet?", value=True),
    "`int`": Kind(int, "How many legs has a cat?", 4),
    "`float`": Kind(float, "What is half of 5?", 2.5),
    "`Literal`": Kind(Literal["cat", "dog"], "Which animal says miaow, the cat or the dog?", "cat"),
    "`date`": Kind(date, "On which day did 2020 begin?", date(2020, 1, 1)),
    "`list[str]`": Kind(list[str], "Name two colours.", ["red", "blau 🟦"]),
    "`dict[str, int]`": Kind(
        dict[str, int], "Ann has 3 pens and Bob has 4: pens by name.", {"Ann": 3, "Bob": 4}
    ),
    "`Optional[int]`": Kind(int | None, "How old is nobody? Answer null.", None),
    "dataclass": Kind(Person, "Ada is 36 years old.", Person("Ada", 36)),
    "list of dataclasses": Kind(
        list[Person], "Ada is 36, Alan is 41.", [Person("Ada", 36), Person("Alan", 41)]
    ),
}

# --- tools --------------------------------------------------------------------------------------------

WEATHER = "What is the weather in {}? Call weather for each city."


def check_tools(*cities: str) -> Callable[[Place, Any], str]:
    """The model calls a tool, once for each city in one turn, and answers with the results."""

    def check(place: Place, way: Any) -> str:
        ran: list[str] = []

        @tool
        def weather(city: str) -> str:
            """The weather in a city."""
            ran.append(city)
            return f"sunny in {city}"

        # A small model answers without the tool; forced, it cannot do so in silence.
        forced = {"tool_choice": "required", "max_tool_turns": 2} if place.writes else {}
        ask = place.command(WEATHER.format(" and ".join(cities)), tools=[weather], **forced)
        try:
            result, _ = way(ask)
        except (AnswerError, TurnLimitError, BadRequestError) as error:
            assert place.writes, f"{type(error).__name__}: {error}"
            return "invalid"
        assert ran, "the tool has not been called, and nothing says so"
        if not place.writes:
            assert sorted(ran) == sorted(cities), f"called for {ran}"
            assert result.value == "Sunny." and result.turns == 2, f"{result.turns} turns: {result.value!r}"
        return "ReAct" if "tools" in result.downgrades else "native"

    return check


# --- errors -------------------------------------------------------------------------------------------


def check_error(wanted: type[AlloyError], **changes: Any) -> Callable[[Place, Any], str]:
    """The class of the error; one that the same request would meet again is not transient."""

    def check(place: Place, way: Any) -> str:
        named = {name: value(place) if callable(value) else value for name, value in changes.items()}
        try:
            way(place.command(named.pop("prompt", "Hello."), **named))
        except AlloyError as error:
            transient = getattr(error, "transient", None)
            assert not isinstance(error, wanted) or transient is (wanted is RateLimitError), transient
            return type(error).__name__
        return "answered"

    return check


def _elsewhere(place: Place) -> str:
    return f"{place.base_url}/nowhere"


def _narrow(place: Place) -> str:
    return place.model if place.writes else "narrow"


Check = Callable[[Place, Any], str]

CHECKS: dict[str, Check] = {
    "text": check_text,
    **{name: kind.check for name, kind in KINDS.items()},
    "a tool": check_tools("Oslo"),
    "two tools in one turn": check_tools("Oslo", "Rome"),
    "wrong key": check_error(AuthenticationError, api_key="sk-wrong"),
    "wrong path": check_error(ModelNotFoundError, base_url=_elsewhere),
    "unknown model": check_error(ModelNotFoundError, model="missing"),
    "too many requests": check_error(RateLimitError, model="busy"),
    "too long a prompt": check_error(BadRequestError, model=_narrow, prompt="word " * 9000),
}


def outcomes(row: str, place: Place) -> dict[str, str]:
    """What the row's check shows in each of the four ways, in one word, or the problem."""
    found: dict[str, str] = {}
    for way in WAYS:
        try:
            found[way.__name__] = CHECKS[row](place, way)
        except (AssertionError, AlloyError, ValueError) as error:
            found[way.__name__] = f"failed: {type(error).__name__}: {error}"
    return found
