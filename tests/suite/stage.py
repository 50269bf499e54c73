"""Where a scripted model meets the library: every provider behind the same few words."""

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
from suite.saying import NOTHING, Bent, Fail, Heard, Odd, Say, Turn
from suite.words import FORM, in_words, out_of_words

PROVIDERS: dict[str, Provider] = {
    kind.name: kind() for kind in (OpenAI, OpenAIChat, Anthropic, Gemini, Ollama, OllamaChat, ReAct, Fake)
}

# Ports come round again, and what was learned of a server holds for no other: each has its own address.
_addresses = count(1)

Way = Callable[[Any], tuple[Any, str | None]]


class Stage:
    """One provider with a script of what its model says; *heard* is what the model was told."""

    def __init__(self, provider: Provider, server: WireServer) -> None:
        self.provider, self.server = provider, server
        self.heard: list[Heard] = []
        self.problems: list[Exception] = []
        self.shown = ["completion", "tools", "vision", "thinking"]  # of an Ollama model
        self.leftovers_allowed = False
        self._script: list[Turn] = []
        self._schema: Any = None
        self.url = f"{server.url}/{next(_addresses)}"
        server.always = self.hear_http

    def say(self, *turns: Turn) -> None:
        """Add to the script."""
        self._script += turns

    def command(self, prompt: Any = "Hello", **options: Any) -> Any:
        """A command with this prompt; nothing is tried again unless *options* say so."""

        def asked() -> Prompt:
            return prompt  # type: ignore[no-any-return]

        given = {"retry": 0, "reask": 0, "timeout": 20, **self.provider.settings(self.url), **options}
        made = command(**given)(asked)
        if "output" in options:  # what is asked for in words only is read as if it were asked for natively
            native = {"tools": (), "tool_mode": "native", "output_mode": "native", "conversation": None}
            plain = command(**{**given, **native})(asked)
            with suppress(ConfigurationError):  # there may be no native form
                self._schema = self.provider.heard(plain.request()).schema
        return made

    def ask(self, way: Way, prompt: Any = "Hello", **options: Any) -> Any:
        """The `Result` of a command's call in this way."""
        return self.listen(way, prompt, **options)[0]

    def listen(self, way: Way, prompt: Any = "Hello", **options: Any) -> tuple[Any, str | None]:
        """The same with the text that was streamed; `None` when nothing was."""
        made = self.command(prompt, **options)
        return self.play(lambda: way(made))  # type: ignore[no-any-return]

    def play(self, work: Callable[[], Any]) -> Any:
        """What comes of *work*, in which the script is played."""
        if not isinstance(self.provider, Fake):
            return work()
        script, self._script = self._script, []
        with replies(*[self._offline(turn) for turn in script]):
            return work()

    def finished(self) -> None:
        """Raise unless everything was said and nothing went wrong in saying it."""
        if self.problems:
            raise self.problems[0]
        assert self.leftovers_allowed or not self._script, f"not asked for: {self._script}"

    def _offline(self, turn: Turn) -> Callable[[Any], Any]:
        def answer(body: Any) -> Any:
            heard = self._hear(body)
            if isinstance(turn, Fail):
                return self.provider.error(turn)  # type: ignore[attr-defined]
            assert isinstance(turn, Say), f"{turn} cannot be said offline"
            return self.provider.whole(self._worded(turn, heard))

        return answer

    def hear_http(self, request: Received) -> Answer:
        """What the script says to *request*."""
        try:
            if request.path.endswith("/api/show"):
                return ollama.shown(*self.shown)
            heard = self._hear(request.json, streamed=":stream" in request.path)
            return self._said(self._script.pop(0), heard)
        except Exception as error:  # of the script or of the body: the test must hear of it
            self.problems.append(error)
            return json_answer({"error": {"message": repr(error)}}, status=418)

    def _hear(self, body: Any, *, streamed: bool = False) -> Heard:
        heard = self.provider.heard(body)
        first, *more = heard.turns
        if not heard.system and (FORM in first.text or "JSON only" in first.text) and more:
            heard = replace(heard, system=first.text, turns=tuple(more))  # a model that takes no other system
        heard = out_of_words(heard) if FORM in heard.system else heard
        self.heard.append(replace(heard, streamed=heard.streamed or streamed))
        return self.heard[-1]

    def _said(self, turn: Turn, heard: Heard) -> Answer:
        if isinstance(turn, Fail):
            return self.provider.failed(turn)
        if isinstance(turn, Odd):
            return turn.answer
        say = turn.say if isinstance(turn, Bent) else turn
        worded = FORM in heard.system or "JSON only" in heard.system
        if say.value is not NOTHING and heard.tools and heard.schema is None and not worded:
            self._script.insert(0, turn)  # the typed answer is asked for in a turn of its own
            turn = say = Say("I know.", usage=(0, 0, 0, 0))
        whole = self.provider.whole(self._worded(say, heard))
        answer = self.provider.sent(whole, streamed=heard.streamed)
        return turn.bend(answer) if isinstance(turn, Bent) else answer

    def _worded(self, say: Say, heard: Heard) -> Say:
        """*say* with its typed answer written out, and in words where it was asked for in words."""
        text = say.answer(heard.schema or self._schema)
        return in_words(say, text) if FORM in heard.system else replace(say, text=text, value=NOTHING)
