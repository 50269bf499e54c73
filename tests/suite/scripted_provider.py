"""The fixture `scripted`: a provider with a scripted model, with the same interface for every provider."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Any

from kit.wire import Answer, Received, WireServer, json_answer, ollama

from alloy import ConfigurationError, command
from alloy.parts import Prompt
from alloy.testing import replies
from suite.local import Fake, Ollama, OllamaChat
from suite.providers import Anthropic, Gemini, OpenAI, OpenAIChat, Provider, ReAct
from suite.react_text import REACT_FORMAT, as_react, from_react
from suite.script import (
    NOTHING,
    ChangedAnswer,
    ErrorAnswer,
    ModelTurn,
    RawAnswer,
    ReceivedRequest,
    ScriptItem,
)

PROVIDERS: dict[str, Provider] = {
    kind.name: kind() for kind in (OpenAI, OpenAIChat, Anthropic, Gemini, Ollama, OllamaChat, ReAct, Fake)
}

# Ports are reused, and Alloy remembers the features of a model by address, so each script has a new address.
_addresses = count(1)

Way = Callable[[Any], tuple[Any, str | None]]


class ScriptedProvider:
    """One provider with a script of its model's answers; *received* has the requests."""

    def __init__(self, provider: Provider, server: WireServer) -> None:
        self.provider, self.server = provider, server
        self.received: list[ReceivedRequest] = []
        self.problems: list[Exception] = []
        self.ollama_capabilities = ["completion", "tools", "vision", "thinking"]
        self.leftovers_allowed = False
        self._script: list[ScriptItem] = []
        self._schema: Any = None
        self.url = f"{server.url}/{next(_addresses)}"
        server.always = self.answer_http

    def script(self, *items: ScriptItem) -> None:
        """Add *items* to the script."""
        self._script += items

    def command(self, prompt: Any = "Hello", **options: Any) -> Any:
        """A command with this prompt, without retries and re-asks unless *options* set them."""

        def asked() -> Prompt:
            return prompt  # type: ignore[no-any-return]

        given = {"retry": 0, "reask": 0, "timeout": 20, **self.provider.settings(self.url), **options}
        made = command(**given)(asked)
        if "output" in options:  # a type in the prompt is answered as if its schema were sent
            native = {"tools": (), "tool_mode": "native", "output_mode": "native", "conversation": None}
            plain = command(**{**given, **native})(asked)
            with suppress(ConfigurationError):  # there may be no native form
                self._schema = self.provider.read(plain.request()).schema
        return made

    def ask(self, way: Way, prompt: Any = "Hello", **options: Any) -> Any:
        """The `Result` of a command that is called in this way."""
        return self.ask_with_text(way, prompt, **options)[0]

    def ask_with_text(self, way: Way, prompt: Any = "Hello", **options: Any) -> tuple[Any, str | None]:
        """The same with the streamed text, or `None` if nothing was streamed."""
        made = self.command(prompt, **options)
        return self.play(lambda: way(made))  # type: ignore[no-any-return]

    def play(self, work: Callable[[], Any]) -> Any:
        """The result of *work*, whose requests the script answers."""
        if not isinstance(self.provider, Fake):
            return work()
        script, self._script = self._script, []
        with replies(*[self._offline(item) for item in script]):
            return work()

    def finished(self) -> None:
        """Raise unless the whole script was used and every request could be answered."""
        if self.problems:
            raise self.problems[0]
        assert self.leftovers_allowed or not self._script, f"not asked for: {self._script}"

    def _offline(self, item: ScriptItem) -> Callable[[Any], Any]:
        def answer(body: Any) -> Any:
            request = self._receive(body)
            if isinstance(item, ErrorAnswer):
                return self.provider.error(item)  # type: ignore[attr-defined]
            assert isinstance(item, ModelTurn), f"the offline backend cannot answer with {item}"
            return self.provider.whole(self._written(item, request))

        return answer

    def answer_http(self, http: Received) -> Answer:
        """The script's answer to *http*."""
        try:
            if http.path.endswith("/api/show"):
                return ollama.shown(*self.ollama_capabilities)
            request = self._receive(http.json, streamed=":stream" in http.path)
            return self._answer(self._script.pop(0), request)
        except Exception as error:  # of the script or of the body: the test must fail
            self.problems.append(error)
            return json_answer({"error": {"message": repr(error)}}, status=418)

    def _receive(self, body: Any, *, streamed: bool = False) -> ReceivedRequest:
        request = self.provider.read(body)
        first, *more = request.turns
        if not request.system and (REACT_FORMAT in first.text or "Answer in JSON" in first.text) and more:
            # A model that does not support a system prompt gets it as the first turn.
            request = replace(request, system=first.text, turns=tuple(more))
        request = from_react(request) if REACT_FORMAT in request.system else request
        self.received.append(replace(request, streamed=request.streamed or streamed))
        return self.received[-1]

    def _answer(self, item: ScriptItem, request: ReceivedRequest) -> Answer:
        if isinstance(item, ErrorAnswer):
            return self.provider.error_answer(item)
        if isinstance(item, RawAnswer):
            return item.answer
        turn = item.turn if isinstance(item, ChangedAnswer) else item
        prompted = REACT_FORMAT in request.system or any(
            "\n\nAnswer " in turn.text for turn in request.turns if turn.role == "user"
        )
        if turn.value is not NOTHING and request.tools and request.schema is None and not prompted:
            self._script.insert(0, item)  # the typed answer follows in an extra turn
            item = turn = ModelTurn("I know.", usage=(0, 0, 0, 0))
        whole = self.provider.whole(self._written(turn, request))
        answer = self.provider.over_http(whole, streamed=request.streamed)
        return item.change(answer) if isinstance(item, ChangedAnswer) else answer

    def _written(self, turn: ModelTurn, request: ReceivedRequest) -> ModelTurn:
        """*turn* with its typed answer as text, in ReAct format if the request asks for it."""
        text = turn.answer(request.schema or self._schema)
        if REACT_FORMAT in request.system:
            return as_react(turn, text)
        return replace(turn, text=text, value=NOTHING)
