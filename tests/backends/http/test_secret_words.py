"""A key that a good answer repeats in any of its words is in no error, event or log record.

Each string of an answer is replaced by the key in turn: its finish word, ids, model, roles, types and names.
Only what the model itself has written stays.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kit.apis import ANTHROPIC, CHAT, GEMINI, OLLAMA, OLLAMA_CHAT, RESPONSES, Api, every_api, every_mode
from kit.talking import WHOLE
from kit.walking import parts_of, texts_of
from kit.wire import WireServer, anthropic, gemini, json_answer, openai

from alloy import AlloyError, BadReplyError, FilteredError, ProviderError, RefusalError, ask, tool

SECRET = f"qzj-{9**24}-Qx"  # not written out, as in `test_secret_walk`
TEXT, THOUGHT, ARGUMENTS = "It is sunny.", "Let me see.", '{"city": "Rome"}'
OF_THE_MODEL = (TEXT, THOUGHT, ARGUMENTS, "Rome")
Path = tuple[Any, ...]


@tool
def weather(city: str) -> str:
    """The weather."""
    return "sunny"


# --- what a server answers ----------------------------------------------------------------------------


def blocked(api: Api) -> Iterator[Any]:
    """The answers of *api* that no model has finished."""
    if api is RESPONSES:
        yield openai.response(text=TEXT, status="incomplete", incomplete_details={"reason": "content_filter"})
        yield openai.response(openai.message(TEXT, refusal="No."))
        yield openai.response(status="failed", error={"code": "server_error", "message": "It failed."})
    elif api is ANTHROPIC:
        details = {"type": "refusal", "category": "bio", "explanation": "No."}
        yield anthropic.message(text=TEXT, stop="refusal", stop_details=details)
    elif api is GEMINI:
        yield gemini.blocked("PROHIBITED_CONTENT", "It is blocked.")
        yield gemini.content(text=TEXT, finish="SAFETY", finishMessage="It is filtered.")
    elif api in (CHAT, OLLAMA_CHAT):
        yield openai.completion(text=TEXT, finish="content_filter")
        yield openai.completion(text=TEXT, refusal="No.")


def answers(api: Api) -> Iterator[Any]:
    """Every kind of answer; first those that end in errors, whatever their words are."""
    yield api.whole(TEXT, calls=[("weather", {"city": "Rome"})], thought=THOUGHT)
    yield from blocked(api)
    yield api.whole(TEXT)


def pieces(text: str) -> list[str]:
    """One piece, so that the texts of the model are known in a stream, too."""
    return [text] if text else []


def sent(api: Api, mode: str, answer: Any) -> Any:
    """What a server sends in *mode*: the whole *answer*, or its events."""
    return answer if mode in WHOLE else api.events(answer, pieces)


def places(found: Any, seen: set[Any], path: Path = ()) -> Iterator[Path]:
    """Where the strings of *found* are that are not of the model, without those alike."""
    if isinstance(found, dict | list):
        for key, value in found.items() if isinstance(found, dict) else enumerate(found):
            yield from places(value, seen, (*path, key))
    elif isinstance(found, str) and found and found not in OF_THE_MODEL:
        place = (found, *(step for step in path if isinstance(step, str)))
        if place not in seen:
            seen.add(place)
            yield path


def planted(found: Any, path: Path) -> Any:
    """*found* with the key at *path*."""
    made = copy.deepcopy(found)
    inner = made
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = SECRET
    return made


# --- what a call shows --------------------------------------------------------------------------------


def shown(error: AlloyError | None, records: list[logging.LogRecord]) -> str:
    """Everything of a call that people read, and what is pickled."""
    return texts_of(error, [record.getMessage() for record in records], [vars(one) for one in records])


@every_mode
@every_api
def test_no_word_of_an_answer_shows_a_key(
    server: WireServer, api: Api, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether the call succeeds or fails; also in a later request, an event, or a pickle."""
    caplog.set_level(logging.DEBUG, "alloy")
    failed, seen = 0, set[Any]()
    for answer in answers(api):
        made = sent(api, mode, answer)
        for path in places(made, seen):
            said = planted(made, path)
            server.always = lambda _, said=said: api.reply(said) if mode in WHOLE else api.stream(said)
            caplog.clear()
            error: AlloyError | None = None
            try:
                api.ask(mode, server, api_key=SECRET, tools=[weather], max_tool_turns=1, reask=0)
            except AlloyError as raised:
                error = raised
                failed += 1
            assert parts_of(SECRET, shown(error, caplog.records)) == [], path
    assert failed > 2


@every_mode
@every_api
def test_the_word_for_the_end_is_shown_without_a_key(server: WireServer, api: Api, mode: str) -> None:
    """The rest of it stays, in the text and in `code`."""
    word = f"odd-{SECRET}"
    endings: dict[Api, Callable[[], Any]] = {
        RESPONSES: lambda: openai.response(
            text=TEXT, status="incomplete", incomplete_details={"reason": word}
        ),
        ANTHROPIC: lambda: anthropic.message(text=TEXT, stop=word),
        GEMINI: lambda: gemini.content(text=TEXT, finish=word),
        OLLAMA: lambda: {**api.whole(TEXT), "done_reason": word},
    }
    answer = endings.get(api, lambda: openai.completion(text=TEXT, finish=word))()
    made = sent(api, mode, answer)
    server.script(api.reply(made) if mode in WHOLE else api.stream(made))
    with pytest.raises(BadReplyError, match=r"ended with 'odd-\[key\]'") as info:
        api.ask(mode, server, api_key=SECRET)
    assert info.value.code == "odd-[key]"


@every_mode
def test_the_reason_of_a_block_is_shown_without_a_key(server: WireServer, mode: str) -> None:
    """Google's, and the text of a refusal."""
    for answer, api, kind in (
        (gemini.blocked(f"WHY-{SECRET}", f"because of {SECRET}!"), GEMINI, FilteredError),
        (openai.completion(refusal=f"because of {SECRET}!"), CHAT, RefusalError),
    ):
        made = sent(api, mode, answer)
        server.script(api.reply(made) if mode in WHOLE else api.stream(made))
        with pytest.raises(kind, match=r"because of \[key\]!") as info:
            api.ask(mode, server, api_key=SECRET)
        assert parts_of(SECRET, texts_of(info.value)) == []


def test_what_only_sounds_like_a_secret_stays(server: WireServer) -> None:
    """The name of a tool or a model that a header has, too; what the model has written."""
    calls = [("weather", ARGUMENTS)]
    server.script(
        json_answer(openai.completion(calls=calls, model="gpt-5.6-search-team")),
        json_answer(openai.completion(text=f"The key is {SECRET}.", model="gpt-5.6-search-team")),
    )
    headers = {"x-team": "the weather", "x-model": "gpt-5.6-search-team"}
    options = {**CHAT.options(server), "api_key": SECRET, "headers": headers}
    result = ask.run("Hello", tools=[weather], **options)
    assert result.text == f"The key is {SECRET}."
    assert result.model == "openai-chat:gpt-5.6-search-team"
    assert [each.content for each in result.tool_calls] == ["sunny"]


# --- several models -----------------------------------------------------------------------------------

OWN = {
    "key": lambda secret: {"api_key": secret},
    "header": lambda secret: {"headers": {"x-team": secret}},
    "password": lambda secret: {"login": f"bob:{secret}@"},
    "query": lambda secret: {"query": f"?subscription-key={secret}"},
}


def models(server: WireServer, apis: tuple[Api, Api], own: dict[str, Any]) -> list[dict[str, Any]]:
    """A list of two models at *server*; the first one has its *own* settings."""
    found: list[dict[str, Any]] = []
    for api, given in zip(apis, (dict(own), {}), strict=True):
        url = server.url.replace("//", f"//{given.pop('login', '')}") + api.base + given.pop("query", "")
        options = {"model": f"{api.name}:{api.model}", "base_url": url, "api_key": "another-key-1234"}
        found.append({**options, **given})
    return found


@every_mode
@pytest.mark.parametrize("apis", [(CHAT, ANTHROPIC), (ANTHROPIC, OLLAMA), (GEMINI, CHAT)], ids=repr)
@pytest.mark.parametrize("place", OWN)
def test_no_error_shows_a_secret_of_another_model(
    server: WireServer, mode: str, apis: tuple[Api, Api], place: str
) -> None:
    """Whichever of them repeats it: one gateway may have got both."""
    first, second = apis
    both = models(server, apis, OWN[place](SECRET))
    caller = Api.ask
    for order in (both, both[::-1]):
        names = [str(each["model"]).partition(":")[0] for each in order]
        for name in names:
            api = first if name == first.name else second
            server.script(api.failure(400, f"no access for {SECRET}!", None))
        with pytest.raises(ProviderError) as info:
            caller(CHAT, mode, server, model=order, base_url=None, api_key=None)
        assert "[key]!" in str(info.value)
        assert len(info.value.earlier) == 1
        assert parts_of(SECRET, texts_of(info.value)) == []
