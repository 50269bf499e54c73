"""What servers and gateways that copied Gemini's API answer, through the real SDK."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from kit.apis import GEMINI, every_mode, streamed_modes, whole_modes
from kit.codec import feed
from kit.talking import WHOLE
from kit.ways import answer_in, asked_at, every_way, weather
from kit.wire import Answer, WireServer, json_answer, sse
from kit.wire import gemini as says

from alloy import (
    AlloyError,
    BadReplyError,
    BadRequestError,
    FilteredError,
    ProviderError,
    ServerError,
    TruncatedError,
)
from alloy.backends.gemini.content import GeminiBackend
from alloy.backends.gemini.replies import parted
from alloy.messages import Reply, Request, ToolCall, ToolCallDelta, ToolResult, ToolResults, Usage, User

BACKEND = GeminiBackend()
MODEL = "gemini-3-flash-preview"
asking, answer = partial(asked_at, GEMINI), partial(answer_in, says)


# --- words for the end --------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize(
    "word", ["FUNCTION_CALL", "TOOL_CALLS", "tool_use", "stop", "FINISH_REASON_STOP", "NEW_WORD"]
)
def test_whole_calls_are_run_after_any_word(server: WireServer, way: Any, word: str) -> None:
    """Mock servers and gateways say that functions are called; Gemini says STOP."""
    first = says.content(calls=[("weather", {"city": "Oslo"})], finish=word)
    server.script(answer(way, first), answer(way, says.content(text="Done.")))
    result, _ = way(asking(server, tools=[weather]))

    assert (result.value, [call.value for call in result.tool_calls]) == ("Done.", ["sunny in Oslo"])


@every_way
@pytest.mark.parametrize("word", ["stop", "end_turn", "COMPLETED", "FINISH_REASON_STOP", "eos"])
def test_a_text_ends_in_the_words_of_other_apis(server: WireServer, way: Any, word: str) -> None:
    """In any case."""
    server.script(answer(way, says.content(text="Oslo.", finish=word)))
    assert way(asking(server))[0].value == "Oslo."


@every_way
@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("length", TruncatedError),
        ("max_tokens", TruncatedError),
        ("content_filter", FilteredError),
        ("IMAGE_SAFETY", FilteredError),
        ("GUARDRAIL", FilteredError),
    ],
)
def test_other_words_for_an_answer_that_is_not_whole(
    server: WireServer, way: Any, word: str, kind: type[AlloyError]
) -> None:
    """They are the errors of Gemini's own words."""
    server.script(answer(way, says.content(text="Os", finish=word)))
    with pytest.raises(kind):
        way(asking(server))


@every_way
@pytest.mark.parametrize("text", ["Oslo.", ""])
def test_an_unknown_word_is_not_bought_twice(server: WireServer, way: Any, text: str) -> None:
    """The next answer would end in the same way."""
    server.script(answer(way, says.content(text=text, finish="ALL_SAID")))
    with pytest.raises(BadReplyError, match="ALL_SAID") as caught:
        way(asking(server, retry=2))

    assert not caught.value.transient


@every_mode
@pytest.mark.parametrize(
    "word", ["MALFORMED_FUNCTION_CALL", "malformed_function_call", "FINISH_REASON_ERROR"]
)
def test_a_failed_generation_is_a_server_error(server: WireServer, mode: str, word: str) -> None:
    """In any case, also next to some text."""
    server.script(GEMINI.answer(mode, "Os", finish=word))
    with pytest.raises(ServerError, match=word.upper().removeprefix("FINISH_REASON_") + "|" + word):
        GEMINI.talk(mode, server)


@whole_modes
@pytest.mark.parametrize("word", [None, "", "FINISH_REASON_UNSPECIFIED"])
def test_a_whole_answer_needs_no_word(server: WireServer, mode: str, word: str | None) -> None:
    """Its body is complete JSON."""
    made = says.content(text="Oslo.")
    made["candidates"][0]["finishReason"] = word
    server.script(json_answer(made))

    assert GEMINI.talk(mode, server).finish == "stop"


@streamed_modes
@pytest.mark.parametrize("word", [None, "", "FINISH_REASON_UNSPECIFIED"])
def test_a_stream_needs_a_word_or_an_end_mark(server: WireServer, mode: str, word: str | None) -> None:
    """Otherwise it may have been cut."""
    made = says.content(text="Oslo.")
    made["candidates"][0]["finishReason"] = word
    server.script(sse([made]), sse([made], done=True))
    with pytest.raises(BadReplyError, match="finishReason"):
        GEMINI.talk(mode, server)

    assert GEMINI.talk(mode, server).text == "Oslo."


@streamed_modes
@pytest.mark.parametrize("later", [None, "", "FINISH_REASON_UNSPECIFIED", "STOP"])
def test_a_later_chunk_does_not_take_the_reason_away(
    server: WireServer, mode: str, later: str | None
) -> None:
    """Some servers end with a chunk for the usage."""
    last = says.content(finish=later)
    server.script(sse([says.content(text="Os", finish="MAX_TOKENS"), last]))

    assert GEMINI.talk(mode, server).finish == "length"


@every_mode
@pytest.mark.parametrize("reason", ["BLOCK_REASON_UNSPECIFIED", "", None])
def test_a_block_reason_that_says_nothing_blocks_nothing(server: WireServer, mode: str, reason: Any) -> None:
    """Some servers send every field."""
    made = {**says.content(text="Oslo."), "promptFeedback": {"blockReason": reason}}
    server.script((says.reply if mode in WHOLE else says.stream)(made))

    assert GEMINI.talk(mode, server).text == "Oslo."


@every_mode
@pytest.mark.parametrize("index", [1, None])
def test_an_only_candidate_may_have_any_index(server: WireServer, mode: str, index: int | None) -> None:
    """It is the answer."""
    made = says.content(text="Oslo.")
    made["candidates"][0]["index"] = index
    server.script(json_answer(made) if mode in WHOLE else sse([made]))

    assert GEMINI.talk(mode, server).text == "Oslo."


# --- usage --------------------------------------------------------------------------------------------


@streamed_modes
@pytest.mark.parametrize(
    ("first", "last", "usage"),
    [
        ((11, 1, 4, 2), (0, 5, 0, 0), Usage(11, 7, 4, 2)),
        ((11, 5, 4, 2), (0, 0, 0, 0), Usage(11, 7, 4, 2)),
        ((0, 0, 0, 0), (11, 5, 4, 2), Usage(11, 7, 4, 2)),
        ((11, 5, 4, 2), None, Usage(11, 7, 4, 2)),
        ((11, None, None, None), (None, 5, None, None), Usage(11, 5)),
    ],
)
def test_of_each_count_the_larger_one_is_the_usage(
    server: WireServer, mode: str, first: Any, last: Any, usage: Usage
) -> None:
    """Counts go up, and some servers send zeros, or leave out what has not changed."""
    names = ("promptTokenCount", "candidatesTokenCount", "cachedContentTokenCount", "thoughtsTokenCount")
    chunks = says.chunks(says.content(text="Some words"))
    for chunk, counts in zip((chunks[0], chunks[-1]), (first, last), strict=True):
        chunk["usageMetadata"] = None if counts is None else dict(zip(names, counts, strict=True))
    for chunk in chunks[1:-1]:
        del chunk["usageMetadata"]
    server.script(sse(chunks))

    assert GEMINI.talk(mode, server).usage == usage


# --- calls and turns ----------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("written", ['{"city": "Oslo"}', '"{\\"city\\": \\"Oslo\\"}"'])
def test_arguments_as_text_are_read_and_sent_back_as_an_object(
    server: WireServer, way: Any, written: str
) -> None:
    """Which is all that the API accepts."""
    first = says.content(calls=[("weather", written, "f1")])
    server.script(answer(way, first), answer(way, says.content(text="Done.")))
    result, _ = way(asking(server, tools=[weather]))

    assert [call.value for call in result.tool_calls] == ["sunny in Oslo"]
    (call,) = (part["functionCall"] for part in server.requests[1].json["contents"][1]["parts"])
    assert call["args"] == {"city": "Oslo"}


@every_way
@pytest.mark.parametrize(
    "parts",
    [
        [],
        [{"text": ""}],
        [{"text": " \n"}],
        [{"text": "Hm.", "thought": True}],
        [{"text": "Hm.", "thought": True, "thoughtSignature": "c2ln"}],
    ],
)
def test_an_empty_turn_is_not_sent_back(server: WireServer, way: Any, parts: Any) -> None:
    """Gemini refuses a turn without parts, and without content."""
    empty = says.content(*parts)
    server.script(answer(way, empty), answer(way, says.content(text="Oslo.")))

    assert way(asking(server))[0].value == "Oslo."
    assert [turn["role"] for turn in server.requests[1].json["contents"]] == ["user", "user"]


@pytest.mark.parametrize(
    "part",
    [
        {"text": "", "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "ping"}},
        {"functionCall": {"name": "ping"}, "thought": True},
        {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
        {"executableCode": {"code": "1"}},
    ],
)
def test_a_turn_without_text_need_not_be_empty(part: dict[str, Any]) -> None:
    """A signature, a call and what the provider made go back."""
    reply = BACKEND.decode(says.content({"text": "Hm.", "thought": True}, part))
    contents = BACKEND.encode(Request(MODEL, (User("Hi"), reply)))["contents"]

    assert contents[1]["parts"][0] == {"text": "Hm.", "thought": True}
    assert contents[1]["parts"][1].items() >= part.items()


def test_an_empty_turn_of_another_provider_is_not_sent() -> None:
    """Nor is its blank text, next to a call."""
    call = ToolCall("c1", "weather", '{"city": "Oslo"}')
    turns = (
        User("Hi"),
        Reply(" "),
        User("Well?"),
        Reply("\n", (call,)),
        ToolResults((ToolResult(call, "1"),)),
    )
    contents = BACKEND.encode(Request("gemini-2.5-flash", turns))["contents"]

    assert [turn["role"] for turn in contents] == ["user", "user", "model", "user"]
    assert [list(part) for part in contents[2]["parts"]] == [["functionCall"]]


def test_the_deltas_of_text_arguments_are_those_of_a_call() -> None:
    """In a stream of one chunk."""
    reply, deltas = feed(BACKEND, [says.content(calls=[("weather", '{"city": "Oslo"}', "f1")])])

    assert reply.calls == (ToolCall("f1", "weather", '{"city": "Oslo"}'),)
    assert len(deltas) == 1


# --- the version in the address -----------------------------------------------------------------------


def good(mode: str) -> Answer:
    return GEMINI.answer(mode, "Oslo.")


@every_mode
@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("/v1beta", "/v1beta/models/"),
        ("/v1", "/v1/models/"),
        ("/v1/", "/v1/models/"),
        ("/v1alpha", "/v1alpha/models/"),
        ("/v1beta2", "/v1beta2/models/"),
        ("/v2", "/v2/models/"),
        ("/v1beta/models", "/v1beta/models/"),
        ("/v1beta?k=1", f"/v1beta/models/{MODEL}:"),
        ("/gateway/v1/?k=1", f"/gateway/v1/models/{MODEL}:"),
        ("/gateway/v1beta", "/gateway/v1beta/models/"),
        ("/v1/gateway", "/v1/gateway/v1"),
        ("/voice", "/voice/v1"),
        ("/gemini-v1", "/gemini-v1/v1"),
        ("", "/v1"),
    ],
)
@pytest.mark.parametrize("variable", [False, True], ids=["base_url", "variable"])
def test_an_address_that_ends_in_a_version_names_it(
    server: WireServer, mode: str, address: str, path: str, variable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the SDK's own version is added."""
    server.script(good(mode))
    at = {"base_url": server.url + address}
    if variable:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", at["base_url"])
        at = {"base_url": None}

    assert GEMINI.talk(mode, server, **at).text == "Oslo."
    assert server.requests[0].path.startswith(path)
    assert ("k=1" in server.requests[0].path) == ("k=1" in address)


@every_mode
def test_the_address_counts_more_than_the_variable(
    server: WireServer, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version that is nearer to the call."""
    server.script(good(mode))
    monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", "v1alpha")
    GEMINI.talk(mode, server, base_url=f"{server.url}/v1beta")

    assert server.requests[0].path.startswith("/v1beta/models/")


@every_mode
@pytest.mark.parametrize("keyed", [True, False])
def test_an_address_on_google_cloud_may_end_in_a_version(
    server: WireServer, mode: str, keyed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key and a project the SDK sends requests exactly to the address."""
    server.script(good(mode))
    monkeypatch.setenv("GOOGLE_GENAI_USE_ENTERPRISE", "true")
    GEMINI.talk(mode, server, base_url=f"{server.url}/v1", **({} if keyed else {"api_key": None}))

    path = "/v1/publishers/google/models/" if keyed else "/v1"
    assert server.requests[0].path.startswith(path)


@every_mode
@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": 404, "message": "Not found", "status": "NOT_FOUND"}},
        {"detail": "Method Not Allowed"},
        {"error": "no route for POST /v1/models/gemini-3-flash-preview:generateContent"},
        {},
    ],
)
def test_a_server_without_the_version_is_told_from_a_missing_model(
    server: WireServer, mode: str, status: int, body: Any
) -> None:
    """The error names the path and what sets the version, and is not transient."""
    server.script(json_answer(body, status=status))
    with pytest.raises(BadRequestError, match=r"GOOGLE_GENAI_API_VERSION .*/v1.*/models/") as caught:
        GEMINI.talk(mode, server)

    assert not caught.value.transient


# --- errors in a good response ------------------------------------------------------------------------


@every_mode
@pytest.mark.parametrize(
    ("error", "transient"),
    [
        ({"code": 503, "message": "Busy.", "status": "UNAVAILABLE"}, True),
        ({"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED"}, True),
        ({"code": 400, "message": "No.", "status": "INVALID_ARGUMENT"}, False),
        ({"code": 403, "message": "No.", "status": "PERMISSION_DENIED"}, False),
    ],
)
def test_an_error_in_a_good_response_keeps_code_and_words(
    server: WireServer, mode: str, error: dict[str, Any], transient: bool
) -> None:
    """As an object, and as an event."""
    server.script(json_answer({"error": error}) if mode in WHOLE else sse([{"error": error}]))
    with pytest.raises(ProviderError, match=error["message"]) as caught:
        GEMINI.talk(mode, server)

    expected = (error["code"], error["status"], transient)
    assert (caught.value.status, caught.value.code, caught.value.transient) == expected


# --- calls that come twice, and parts in other forms --------------------------------------------------

OSLO = {"functionCall": {"name": "weather", "args": {"city": "Oslo"}, "id": "c1"}}


def calling(*parts: Any) -> list[Any]:
    """Chunks with one element of *parts* each, and an end."""
    chunks = [{"candidates": [{"content": {"parts": part}}]} for part in parts]
    return [*chunks, {"candidates": [{"finishReason": "STOP"}]}]


@pytest.mark.parametrize(
    ("parts", "calls"),
    [
        (([OSLO], [OSLO]), [{"city": "Oslo"}]),
        (([OSLO, OSLO],), [{"city": "Oslo"}]),
        (([{"functionCall": {"name": "weather", "id": "c1"}}], [OSLO]), [{"city": "Oslo"}]),
        (([OSLO], [{"functionCall": {"name": "weather", "args": {}, "id": "c1"}}]), [{"city": "Oslo"}]),
        (
            ([OSLO], [{"functionCall": {"name": "weather", "args": {"city": "Bergen"}, "id": "c1"}}]),
            [{"city": "Oslo"}, {"city": "Bergen"}],
        ),
        (([{"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}],) * 2, [{"city": "Oslo"}] * 2),
        (([{"function_call": OSLO["functionCall"], "thought_signature": "c2ln"}],), [{"city": "Oslo"}]),
        (([None, OSLO],), [{"city": "Oslo"}]),
        ((OSLO,), [{"city": "Oslo"}]),
    ],
)
def test_a_call_runs_once(parts: Any, calls: Any) -> None:
    """Without an id, two that are alike are two."""
    reply, deltas = feed(BACKEND, [part for chunk in calling(*parts) for part in parted(chunk)])
    assert [json.loads(call.arguments) for call in reply.calls] == calls
    assert [delta.id for delta in deltas if isinstance(delta, ToolCallDelta)] == [
        call.id for call in reply.calls
    ]
    sent = BACKEND.encode(Request(MODEL, (User("Hi"), reply)))["contents"][1]["parts"]
    assert [part["functionCall"]["args"] for part in sent] == calls


@pytest.mark.parametrize("parts", ["text", 3, ["text"], [3]])
def test_other_parts_are_named_in_the_error(parts: Any) -> None:
    """And no error of Python."""
    with pytest.raises(BadReplyError, match="the parts of the answer are not a list of objects") as caught:
        feed(BACKEND, calling(parts))
    assert not caught.value.transient


def test_a_signature_that_comes_with_the_repetition_is_kept() -> None:
    """Gemini 3 refuses a call without it."""
    reply, _ = feed(BACKEND, calling([OSLO], [{**OSLO, "thoughtSignature": "c2ln"}]))
    sent = BACKEND.encode(Request(MODEL, (User("Hi"), reply)))["contents"][1]["parts"]
    assert sent == [{**OSLO, "thoughtSignature": "c2ln"}]
