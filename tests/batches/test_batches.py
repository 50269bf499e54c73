"""Batches over all providers: a service of each on a loopback server, sync and async, to typed outcomes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest
from kit.walking import texts_of
from kit.wire import Answer, Cut, Gate, WireServer, anthropic, json_answer
from kit.wire.batches import (
    CANCELLED,
    EXPIRED,
    KEY,
    MISSING,
    SERVICES,
    AnthropicService,
    Failed,
    GeminiService,
    Service,
)

import alloy
from alloy import (
    AuthenticationError,
    BadReplyError,
    BadRequestError,
    Batch,
    BatchStatus,
    Command,
    ConfigurationError,
    DeadlineError,
    ModelNotFoundError,
    Outcome,
    ParseError,
    PostconditionError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    ResponseTooLargeError,
    ServerError,
    UnsupportedError,
    command,
    ensure,
)
from alloy._engine.batching import LOOKS
from alloy.events import CallFailed, Final


@dataclass
class City:
    name: str
    people: int


@command(output=City)
def read_city(text: str) -> str:
    return f"Which city? {text}"


SECRET = f"gate-{9**24}"
OSLO, ROME = '{"name": "Oslo", "people": 700000}', '{"name": "Rome", "people": 2800000}'

each_service = pytest.mark.parametrize("kind", SERVICES, ids=lambda kind: kind.name)


class Sync:
    """The methods of sync code."""

    def batch(self, asked: Any, *inputs: Any) -> Batch[Any]:
        return asked.batch(*inputs)  # type: ignore[no-any-return]

    def outcomes(self, batch: Batch[Any], **options: Any) -> list[Outcome[Any]]:
        return batch.outcomes(**{"poll": 0, **options})

    def wait(self, batch: Batch[Any], **options: Any) -> BatchStatus:
        return batch.wait(**{"poll": 0, **options})

    def status(self, batch: Batch[Any]) -> BatchStatus:
        return batch.status()

    def cancel(self, batch: Batch[Any]) -> None:
        batch.cancel()


class Async(Sync):
    """The same in an event loop of its own for each step."""

    def batch(self, asked: Any, *inputs: Any) -> Batch[Any]:
        return _ran(asked.batch_async, *inputs)  # type: ignore[no-any-return]

    def outcomes(self, batch: Batch[Any], **options: Any) -> list[Outcome[Any]]:
        return _ran(batch.outcomes_async, **{"poll": 0, **options})

    def wait(self, batch: Batch[Any], **options: Any) -> BatchStatus:
        return _ran(batch.wait_async, **{"poll": 0, **options})

    def status(self, batch: Batch[Any]) -> BatchStatus:
        return _ran(batch.status_async)

    def cancel(self, batch: Batch[Any]) -> None:
        _ran(batch.cancel_async)


def _ran(start: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **options: Any) -> Any:
    return asyncio.run(start(*args, **options))


each_way = pytest.mark.parametrize("way", [Sync(), Async()], ids=["sync", "async"])

Errors = list[type[BaseException] | None]


def asking(service: Service, base: Any = read_city, **options: Any) -> Any:
    return base.with_options(**{"backoff": 0, **service.options(), **options})


def errors_of(outcomes: list[Outcome[Any]]) -> Errors:
    return [None if each.error is None else type(each.error) for each in outcomes]


# --- the whole way ------------------------------------------------------------------------------------


@each_way
@each_service
def test_a_batch_goes_from_inputs_to_typed_outcomes(
    server: WireServer, kind: type[Service], way: Sync
) -> None:
    service = kind(server, [OSLO, ROME], polls=2)
    batch = way.batch(asking(service), ["of fjords", "of hills"])
    assert batch.id == service.batch_id
    assert service.prompts() == ["Which city? of fjords", "Which city? of hills"]
    running = way.status(batch)
    assert (running.state, running.has_ended, running.total, running.pending) == ("running", False, 2, 2)
    outcomes = way.outcomes(batch)
    assert outcomes == [
        Outcome(0, ("of fjords",), City("Oslo", 700_000), result=outcomes[0].result),
        Outcome(1, ("of hills",), City("Rome", 2_800_000), result=outcomes[1].result),
    ]
    assert way.wait(batch) == BatchStatus("completed", 2, succeeded=2)
    result = outcomes[0].result
    assert result is not None
    assert (result.usage.input_tokens, result.usage.output_tokens, result.attempts) == (10, 5, 1)
    assert [type(turn).__name__ for turn in result.transcript] == ["User", "Reply"]
    asked = len(server.requests)
    assert way.outcomes(batch) is outcomes
    assert len(server.requests) == asked  # nothing is downloaded twice


@each_way
@each_service
def test_the_requests_are_those_of_plain_calls(server: WireServer, kind: type[Service], way: Sync) -> None:
    """Schema, system prompt and settings, in the provider's own format, and its headers."""
    service = kind(server, [OSLO])
    asked = asking(service, system="Be brief.", max_tokens=99)
    way.batch(asked, ["of fjords"])
    (body,) = [body for _, body in service.requests]
    expected = {key: value for key, value in asked.request("of fjords").items() if key in body}
    assert {key: value for key, value in body.items() if key != "stream"} == expected
    sent = server.requests[-1]
    assert "user-agent" in sent.headers
    assert sent.headers.get("content-type") == "application/json"


def test_a_batch_that_samples_has_the_headers_of_such_a_request(server: WireServer) -> None:
    service = AnthropicService(server, ["1"])
    asking(service, read_city, output=int, model="anthropic:claude-haiku-4-5", temperature=0.5).batch(["x"])
    assert service.version == "2023-06-01"


@each_way
@each_service
def test_each_input_has_its_own_error(server: WireServer, kind: type[Service], way: Sync) -> None:
    """A refused request, an answer of another type, and those that were not run; the others have values."""
    service = kind(server, [OSLO, Failed(400, "too long"), "no city", EXPIRED, CANCELLED, MISSING, ROME])
    batch = way.batch(asking(service), list("abcdefg"))
    outcomes = way.outcomes(batch)
    late: Errors = (
        [BadReplyError, BadReplyError] if kind.name == "gemini" else [ProviderTimeoutError, ProviderError]
    )
    assert errors_of(outcomes) == [None, BadRequestError, ParseError, *late, BadReplyError, None]
    assert [each.args for each in outcomes] == [(letter,) for letter in "abcdefg"]
    assert "too long" in str(outcomes[1].error)
    assert isinstance(outcomes[2].error, ParseError)
    assert (outcomes[2].error.text, outcomes[2].error.attempts) == ("no city", 1)
    assert outcomes[2].error.usage is not None
    assert outcomes[2].error.usage.total_tokens == 15
    begun = service.begun
    assert errors_of(way.outcomes(batch))[-2:] == [
        BadReplyError,
        None,
    ]  # asked for again: it may be there now
    assert service.begun == begun == 1


@each_service
def test_rows_in_any_order_find_their_inputs(server: WireServer, kind: type[Service]) -> None:
    service = kind(server, [OSLO, ROME, Failed(400, "no")], mangled=lambda rows: rows[::-1])
    outcomes = asking(service).batch(["a", "b", "c"]).outcomes(poll=0)
    assert [each.value and each.value.name for each in outcomes] == ["Oslo", "Rome", None]


@each_service
def test_a_row_that_comes_twice_counts_once(server: WireServer, kind: type[Service]) -> None:
    service = kind(server, [OSLO, ROME], mangled=lambda rows: [*rows, rows[0]])
    assert errors_of(asking(service).batch(["a", "b"]).outcomes(poll=0)) == [None, None]


@each_service
def test_different_answers_for_one_input_are_an_error(server: WireServer, kind: type[Service]) -> None:
    service = kind(server, [OSLO, ROME])
    service.mangled = lambda rows: [*rows, service.row(service.requests[0][0], ROME)]
    outcomes = asking(service).batch(["a", "b"]).outcomes(poll=0)
    assert errors_of(outcomes) == [BadReplyError, None]
    assert "different answers" in str(outcomes[0].error)


@each_service
def test_an_answer_counts_more_than_an_error_for_the_same_input(
    server: WireServer, kind: type[Service]
) -> None:
    service = kind(server, [Failed(400, "no")])
    service.mangled = lambda rows: [*rows, service.row(service.requests[0][0], OSLO)]
    assert errors_of(asking(service).batch(["a"]).outcomes(poll=0)) == [None]


@each_way
@pytest.mark.parametrize(
    "answer",
    [anthropic.message(calls=[("look", {"at": "maps"})]), anthropic.message(stop="pause_turn")],
    ids=["calls", "pauses"],
)
def test_an_answer_that_wants_another_turn_is_an_error(server: WireServer, way: Sync, answer: Any) -> None:
    """It is paid for once, and not read again as the answer to its own question."""
    service = AnthropicService(server, [OSLO])
    service.mangled = lambda rows: [
        {"custom_id": rows[0]["custom_id"], "result": {"type": "succeeded", "message": answer}}
    ]
    (outcome,) = way.outcomes(way.batch(asking(service), ["a"]))
    assert isinstance(outcome.error, BadReplyError)
    assert "another turn" in str(outcome.error)
    assert outcome.error.usage is not None
    assert outcome.error.usage.total_tokens == 15


@each_service
def test_a_row_without_an_answer_is_an_error_of_its_input(server: WireServer, kind: type[Service]) -> None:
    service = kind(server, [OSLO, ROME, OSLO])
    empty: list[dict[str, Any]] = [
        {"response": None, "result": None},
        {"response": {"status_code": 200}, "result": {"type": "succeeded"}},
    ]
    if kind is GeminiService:
        empty[1]["response"] = 5
    service.mangled = lambda rows: [
        rows[0],
        *({**row, **no} for row, no in zip(rows[1:], empty, strict=True)),
    ]
    outcomes = asking(service).batch(["a", "b", "c"]).outcomes(poll=0)
    assert errors_of(outcomes) == [None, BadReplyError, BadReplyError]
    assert "neither an answer nor an error" in str(outcomes[1].error)


@each_service
def test_an_answer_of_another_format_is_an_error_of_its_input(
    server: WireServer, kind: type[Service]
) -> None:
    service = kind(server, ["5", OSLO])
    strange = {"hello": "world"}
    changed = {
        "openai": {"response": {"status_code": 200, "body": strange}},
        "openai-chat": {"response": {"status_code": 200, "body": strange}},
        "anthropic": {"result": {"type": "succeeded", "message": strange}},
        "gemini": {"response": strange},
    }
    service.mangled = lambda rows: [{**rows[0], **changed[kind.name]}, rows[1]]
    outcomes = asking(service).batch(["a", "b"]).outcomes(poll=0)
    assert errors_of(outcomes) == [BadReplyError, None]


@each_service
def test_rows_of_nobody_are_ignored(
    server: WireServer, kind: type[Service], caplog: pytest.LogCaptureFixture
) -> None:
    """An unknown id, one of another batch, and one beyond the end: no input gets their answers."""
    service = kind(server, [OSLO, MISSING])
    strange = ("request-1", "1-0123456789abcdef-01234567", "7-0123456789abcdef-01234567")
    service.mangled = lambda rows: [*rows, *(service.row(id, ROME) for id in strange)]
    outcomes = asking(service).batch(["a", "b"]).outcomes(poll=0)
    assert errors_of(outcomes) == [None, BadReplyError]
    assert "3 results are ignored" in caplog.text


@each_service
def test_a_row_that_cannot_be_read_loses_no_other(server: WireServer, kind: type[Service]) -> None:
    broken: Any = b'{"custom' if kind.name != "gemini" else [1]
    service = kind(server, [OSLO, MISSING, ROME])
    service.mangled = lambda rows: [rows[0], broken, *rows[1:]]
    if kind.name.startswith("openai"):  # the line is in both files, as the service makes them
        service.mangled = lambda rows: [rows[0], broken, *rows[1:]]
    outcomes = asking(service).batch(["a", "b", "c"]).outcomes(poll=0)
    assert errors_of(outcomes) == [None, BadReplyError, None]
    assert "not JSON" in str(outcomes[1].error) or "not objects" in str(outcomes[1].error)


# --- ends ---------------------------------------------------------------------------------------------

_WORDS = {"expired": {"anthropic": "ended", "gemini": "EXPIRED"}, "failed": {"gemini": "FAILED"}}


@each_way
@each_service
def test_a_batch_that_expires_keeps_what_was_finished(
    server: WireServer, kind: type[Service], way: Sync
) -> None:
    service = kind(server, [OSLO, EXPIRED], end=_WORDS["expired"].get(kind.name, "expired"))
    batch = way.batch(asking(service), ["a", "b"])
    assert way.wait(batch) == BatchStatus("expired", 2, succeeded=1, expired=1)
    outcomes = way.outcomes(batch)
    assert errors_of(outcomes) == [None, ProviderTimeoutError]
    assert "expired before this request was run" in str(outcomes[1].error)


@each_way
@each_service
def test_a_batch_can_be_cancelled(server: WireServer, kind: type[Service], way: Sync) -> None:
    service = kind(server, [OSLO, CANCELLED])
    batch = way.batch(asking(service), ["a", "b"])
    way.cancel(batch)
    assert service.cancelled
    assert way.wait(batch).state == "cancelled"
    outcomes = way.outcomes(batch)
    assert errors_of(outcomes) == [None, ProviderError]
    assert "cancelled before this request was run" in str(outcomes[1].error)


@pytest.mark.parametrize(
    "kind", [each for each in SERVICES if each is not AnthropicService], ids=lambda k: k.name
)
def test_a_batch_that_is_refused_as_a_whole_says_why(server: WireServer, kind: type[Service]) -> None:
    """Anthropic has no such end: it refuses the request that begins the batch."""
    service = kind(server, [OSLO], end=_WORDS["failed"].get(kind.name, "failed"), problem="the model is gone")
    batch = asking(service).batch(["a"])
    status = batch.wait(poll=0)
    assert (status.state, "the model is gone" in status.problem) == ("failed", True)
    with pytest.raises(BadRequestError, match=r"failed: .*the model is gone"):
        batch.outcomes(poll=0)


@pytest.mark.parametrize(
    "kind", [each for each in SERVICES if each is not AnthropicService], ids=lambda k: k.name
)
def test_the_reason_of_a_batch_that_failed_shows_no_key(server: WireServer, kind: type[Service]) -> None:
    """Neither its status nor the error."""
    service = kind(
        server, [OSLO], end=_WORDS["failed"].get(kind.name, "failed"), problem=f"not for {SECRET}!"
    )
    batch = asking(service, headers={"x-team": SECRET}).batch(["a"])
    status = batch.wait(poll=0)
    assert "not for [key]!" in status.problem
    with pytest.raises(BadRequestError, match=r"failed: .*not for \[key\]!") as caught:
        batch.outcomes(poll=0)
    assert SECRET not in texts_of(caught.value, status)


@each_way
@each_service
def test_an_answer_of_a_batch_api_shows_no_key(server: WireServer, kind: type[Service], way: Sync) -> None:
    """When its format is an error."""
    batch = way.batch(asking(kind(server, [OSLO]), headers={"x-team": SECRET}), ["a"])
    server.script(json_answer({"hello": SECRET}))
    with pytest.raises(BadReplyError, match=r"does not describe a batch: .*\[key\]") as caught:
        way.wait(batch)
    assert SECRET not in texts_of(caught.value)


@each_service
def test_results_that_were_deleted_are_an_error_for_each_input(
    server: WireServer, kind: type[Service]
) -> None:
    service = kind(server, [OSLO, ROME], deleted={"out", "err"})
    outcomes = asking(service).batch(["a", "b"]).outcomes(poll=0)
    assert errors_of(outcomes) == [BadReplyError, BadReplyError]
    if kind.name != "gemini":
        assert "deleted" in str(outcomes[0].error)


def test_one_file_that_was_deleted_does_not_lose_the_other(server: WireServer) -> None:
    service = SERVICES[0](server, [OSLO, Failed(400, "no")], deleted={"err"})
    outcomes = asking(service).batch(["a", "b"]).outcomes(poll=0)
    assert errors_of(outcomes) == [None, BadReplyError]
    assert "file-err" in str(outcomes[1].error)


@each_way
def test_gemini_may_put_results_into_a_file(server: WireServer, way: Sync) -> None:
    service = GeminiService(server, [OSLO, Failed(400, "no"), ROME])
    service.in_file = True
    batch = way.batch(asking(service), ["a", "b", "c"])
    assert errors_of(way.outcomes(batch)) == [None, BadRequestError, None]
    service.deleted = {"out"}
    outcomes = way.outcomes(Batch.load(batch.id, asking(service), ["a", "b", "c"]))
    assert errors_of(outcomes) == [BadReplyError] * 3
    assert "files/f1 with results was deleted" in str(outcomes[0].error)


@each_service
def test_an_unknown_state_is_no_end(
    server: WireServer, kind: type[Service], caplog: pytest.LogCaptureFixture
) -> None:
    service = kind(server, [OSLO], end="PONDERING")
    batch = asking(service).batch(["a"])
    assert batch.status().state == "running"
    assert "PONDERING" in caplog.text
    with pytest.raises(DeadlineError, match="timeout=0"):
        batch.wait(timeout=0, poll=0)


@each_way
@each_service
def test_waiting_ends_in_time(server: WireServer, kind: type[Service], way: Sync) -> None:
    service = kind(server, [OSLO], polls=1)
    batch = way.batch(asking(service), ["a"])
    with pytest.raises(DeadlineError, match="its results can be read later"):
        way.wait(batch, timeout=0)
    assert way.wait(batch, timeout=0).state == "completed"  # at its first look


@each_service
def test_a_wait_can_be_cancelled(server: WireServer, kind: type[Service]) -> None:
    service = kind(server, [OSLO], polls=1)
    batch = asking(service).batch(["a"])
    asked = len(server.requests)

    async def main() -> None:
        waiting = asyncio.create_task(batch.wait_async(poll=10_000))
        await asyncio.to_thread(server.wait_requests, asked + 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
    assert batch.wait(poll=0).state == "completed"


# --- failures of requests -----------------------------------------------------------------------------


@each_way
@each_service
def test_the_log_names_the_model_and_not_the_text_of_the_error(
    server: WireServer, kind: type[Service], way: Sync, caplog: pytest.LogCaptureFixture
) -> None:
    """For requests that are made again, and for looks at the batch that are repeated."""
    service = kind(server, [OSLO])
    broken = json_answer({"error": {"message": "ERROR-CONTENT"}}, status=429)
    server.script(broken)
    batch = way.batch(asking(service), ["a"])
    server.script(*[broken] * 3)
    way.wait(batch)

    model = f"{service.name}:{service.model}"
    again, _, _, looked = caplog.messages
    assert again.startswith("read_city(): POST ")
    assert again.endswith(f" to {model} failed (RateLimitError, status 429); next try in 0.0 s")
    failed = f"of {model} failed (RateLimitError, status 429); it is repeated"
    assert looked == f"read_city(): a look at the batch {service.id} {failed}"
    assert "ERROR-CONTENT" not in caplog.text


@each_way
@each_service
def test_looking_is_repeated_after_a_transient_failure(
    server: WireServer, kind: type[Service], way: Sync
) -> None:
    service = kind(server, [OSLO])
    batch = way.batch(asking(service), ["a"])
    server.script(json_answer({"error": {"message": "later"}}, status=503), Answer(raw=[Cut()]))
    assert errors_of(way.outcomes(batch)) == [None]


@each_service
def test_a_server_that_stays_broken_ends_the_wait_but_not_the_batch(
    server: WireServer, kind: type[Service]
) -> None:
    """One look is retried as a call is, and a wait survives some looks that fail."""
    service = kind(server, [OSLO])
    batch = asking(service, retry=0).batch(["a"])
    broken = json_answer({"error": {"message": "broken"}}, status=500)
    server.script(broken)
    with pytest.raises(ServerError, match="broken"):
        batch.status()
    server.script(*[broken] * LOOKS)
    with pytest.raises(ServerError, match="broken"):
        batch.wait(poll=0)
    server.script(*[broken] * (LOOKS - 1))
    assert errors_of(batch.outcomes(poll=0)) == [None]


@each_way
@pytest.mark.parametrize("kind", [each for each in SERVICES if each.name != "gemini"], ids=lambda k: k.name)
@pytest.mark.parametrize("framing", ["length", "close"])
def test_a_download_that_is_cut_is_repeated(
    server: WireServer, kind: type[Service], way: Sync, framing: Any
) -> None:
    service = kind(server, [OSLO, ROME])
    batch = way.batch(asking(service), ["a", "b"])
    way.wait(batch)
    row = json.dumps(service.row(service.requests[0][0], OSLO)).encode()
    server.script(Answer([row[:-20], Cut()], framing=framing, length=10_000))
    assert errors_of(way.outcomes(batch)) == [None, None]


@each_way
@each_service
def test_a_batch_that_may_have_begun_is_not_sent_twice(
    server: WireServer, kind: type[Service], way: Sync
) -> None:
    service = kind(server, [OSLO])
    before = len(_uploads(service, server, way))
    server.script(json_answer({"error": {"message": "oops"}}, status=500))
    with pytest.raises(ServerError, match="it is not known whether the provider has begun the batch"):
        way.batch(asking(service, retry=3), ["a"])
    assert service.begun == 0
    assert len(server.requests) == before + 1


@each_way
@pytest.mark.parametrize("kind", SERVICES[2:], ids=lambda kind: kind.name)
def test_a_kept_connection_that_breaks_begins_no_second_batch(
    server: WireServer, kind: type[Service], way: Sync
) -> None:
    """A model request would be sent once more, because most such connections had been idle for too long."""

    def two() -> None:
        asking(service).batch(["a"])
        server.script(Answer(before=Cut()))
        asking(service).batch(["b"])

    async def two_async() -> None:
        await asking(service).batch_async(["a"])
        server.script(Answer(before=Cut()))
        await asking(service).batch_async(["b"])

    service = kind(server, [OSLO])
    with pytest.raises(ProviderConnectionError, match="it is not known whether"):
        asyncio.run(two_async()) if isinstance(way, Async) else two()
    assert len(server.requests) == 2
    assert len(server.connections) == 1


@each_way
@each_service
def test_keys_and_headers_of_the_caller_are_sent_and_never_shown(
    server: WireServer, kind: type[Service], way: Sync
) -> None:
    """The key may come from a function, which is called for each request."""
    service = kind(server, [OSLO])
    asked = asking(service, api_key=lambda: KEY, headers={"x-team-token": "team-secret-12345"})
    batch = way.batch(asked, ["a"])
    assert errors_of(way.outcomes(batch)) == [None]
    assert {request.headers["x-team-token"] for request in server.requests} == {"team-secret-12345"}
    again = Batch.load(batch.id, asked)
    repeats = f"{KEY} and team-secret-12345 are wrong"
    looks: list[Callable[[], Any]] = [
        lambda: way.status(again),
        lambda: way.cancel(again),
        lambda: way.outcomes(again),
        lambda: way.batch(asked, ["a"]),
    ]
    for look in looks:
        for answer in (
            json_answer({"error": {"message": repeats}}, status=403),
            Answer([repeats.encode()], headers={"content-type": "text/plain"}),
        ):
            server.leftovers_allowed = True
            server.script(*[answer] * 30)
            with pytest.raises(ProviderError) as caught:
                look()
            server._script.clear()
            shown = texts_of(caught.value)
            assert not [secret for secret in (KEY, "team-secret-12345") if secret in shown]
    assert KEY not in repr(again)


@each_way
@pytest.mark.parametrize("kind", SERVICES[2:], ids=lambda kind: kind.name)
def test_a_server_that_is_silent_ends_a_look_in_time(
    server: WireServer, kind: type[Service], way: Sync
) -> None:
    service = kind(server, [OSLO])
    id = way.batch(asking(service), ["a"]).id
    server.script(Answer(before=Gate()))
    with pytest.raises(ProviderTimeoutError, match=r"timeout=0\.2"):
        way.status(Batch.load(id, asking(service, timeout=0.2, retry=0)))
    server.leftovers_allowed = True  # a machine that is so slow that no request arrived in time


@pytest.mark.parametrize("kind", [each for each in SERVICES if each.name != "gemini"], ids=lambda k: k.name)
def test_a_download_that_is_cut_between_lines_can_be_repeated(
    server: WireServer, kind: type[Service]
) -> None:
    """Only the missing lines show the cut: their inputs have errors until they are downloaded again."""
    service = kind(server, [OSLO, ROME])
    batch = asking(service).batch(["a", "b"])
    batch.wait(poll=0)
    row = json.dumps(service.row(service.requests[0][0], OSLO)).encode()
    server.script(Answer([row + b"\n"], framing="close"))
    assert errors_of(batch.outcomes()) == [None, BadReplyError]
    assert errors_of(batch.outcomes()) == [None, None]


def _uploads(service: Service, server: WireServer, way: Sync) -> list[Any]:
    """The requests before the one that begins a batch, of which OpenAI has one: its answer is scripted."""
    if service.name.startswith("openai"):
        server.script(json_answer({"id": "file-in", "object": "file"}))
        return [1]
    return []


@each_way
@each_service
def test_a_batch_that_was_certainly_not_begun_is_sent_again(
    server: WireServer, kind: type[Service], way: Sync
) -> None:
    service = kind(server, [OSLO])
    server.script(json_answer({"error": {"message": "too many requests"}}, status=429))
    batch = way.batch(asking(service), ["a"])
    assert service.begun == 1
    assert errors_of(way.outcomes(batch)) == [None]


@each_service
def test_a_server_that_is_not_there_is_tried_again_and_named(
    server: WireServer, nobody: str, kind: type[Service]
) -> None:
    service = kind(server, [OSLO])
    with pytest.raises(ProviderConnectionError) as caught:
        asking(service, retry=1, base_url=nobody + service.base).batch(["a"])
    assert "not known whether" not in str(caught.value)


@each_way
@each_service
def test_a_wrong_key_is_an_error_of_the_key(server: WireServer, kind: type[Service], way: Sync) -> None:
    service = kind(server, [OSLO])
    with pytest.raises(AuthenticationError) as caught:
        way.batch(asking(service, api_key="sk-wrong-987654321"), ["a"])
    assert "sk-wrong" not in str(caught.value)
    assert "not known whether" not in str(caught.value)


@each_way
@each_service
def test_a_server_without_a_batch_api_says_so(server: WireServer, kind: type[Service], way: Sync) -> None:
    service = kind(server, [OSLO])
    server.script(json_answer({"error": {"message": "Not Found"}}, status=404))
    with pytest.raises(UnsupportedError, match="no batch API") as caught:
        way.batch(asking(service), ["a"])
    assert caught.value.feature == "batches"


@each_service
def test_an_answer_that_is_not_a_batch_is_an_error(server: WireServer, kind: type[Service]) -> None:
    service = kind(server, [OSLO])
    batch = asking(service).batch(["a"])
    server.script(json_answer({"hello": "world"}))
    with pytest.raises(BadReplyError, match="does not describe a batch"):
        batch.status()
    server.script(*(Answer([b"<html>"], headers={"content-type": "text/html"}) for _ in range(3)))
    with pytest.raises(BadReplyError, match="<html>"):
        batch.status()


@each_service
def test_the_limit_of_an_answer_holds_for_each_of_them(server: WireServer, kind: type[Service]) -> None:
    """Ten answers may be ten times as large as one, and no larger."""
    service = kind(server, [OSLO.replace("Oslo", "O" * 1_000)] * 10)
    asked = asking(service, max_response_bytes=2_500)
    assert errors_of(asked.batch([1] * 10).outcomes(poll=0)) == [None] * 10
    id = asked.batch([1] * 10).id
    batch = Batch.load(id, asking(service, max_response_bytes=900), [1] * 10)
    with pytest.raises(ResponseTooLargeError, match="max_response_bytes"):
        batch.outcomes(poll=0)
    assert errors_of(Batch.load(id, asked).outcomes(poll=0)) == [None] * 10


# --- after a restart ----------------------------------------------------------------------------------


@each_way
@each_service
def test_a_batch_is_found_again_by_its_id(server: WireServer, kind: type[Service], way: Sync) -> None:
    service = kind(server, [OSLO, Failed(400, "no"), MISSING])
    asked = asking(service)
    id = way.batch(asked, ["a", "b", "c"]).id
    again = Batch.load(id, asked)
    outcomes = way.outcomes(again)
    assert errors_of(outcomes) == [None, BadRequestError, BadReplyError]
    assert (outcomes[0].value, outcomes[0].args) == (City("Oslo", 700_000), ())
    with_inputs = Batch.load(id, asked, ["a", "b", "c"])
    outcomes = way.outcomes(with_inputs)
    assert [each.args for each in outcomes] == [("a",), ("b",), ("c",)]


@each_service
def test_other_inputs_and_other_commands_are_noticed(
    server: WireServer, kind: type[Service], caplog: pytest.LogCaptureFixture
) -> None:
    service = kind(server, [OSLO, ROME])
    asked = asking(service)
    id = asked.batch(["a", "b"]).id
    with pytest.raises(ConfigurationError, match="the prompt of input 1 differs"):
        Batch.load(id, asked, ["a", "x"]).outcomes(poll=0)
    with pytest.raises(ConfigurationError, match="the number of inputs differs"):
        Batch.load(id, asked, ["a"]).outcomes(poll=0)
    for changes in ({"output": dict[str, object]}, {"system": "Be brief."}, {"max_tokens": 5}):
        other = asked.with_options(**changes)
        with pytest.raises(ConfigurationError, match="a setting of the command differs"):
            Batch.load(id, other).outcomes(poll=0)
    caplog.clear()
    read = Batch.load(id, asked.with_options(output=dict[str, object]), strict=False).outcomes(poll=0)
    assert read[0].value == {"name": "Oslo", "people": 700_000}
    assert "a setting of the command differs" in caplog.text


@each_service
def test_a_batch_that_others_made_is_an_error(server: WireServer, kind: type[Service]) -> None:
    service = kind(server, [OSLO])
    asked = asking(service)
    id = asked.batch(["a"]).id
    service.requests = [("request-1", {})]
    with pytest.raises(ConfigurationError, match="no result has an id that Alloy gives"):
        Batch.load(id, asked).outcomes(poll=0)


@each_way
@each_service
def test_ids_that_cannot_be_are_refused(server: WireServer, kind: type[Service], way: Sync) -> None:
    asked = asking(kind(server, []))
    for id, problem in (
        ("batch_1", "begins with the provider"),
        ("other:batch_1", "a batch of other"),
        (f"{kind.name}:../../files", "not an id"),
        (f"{kind.name}:", "not an id"),
    ):
        with pytest.raises(ConfigurationError, match=problem):
            Batch.load(id, asked)
    unknown = "batches/other" if kind.name == "gemini" else "batch_of_others"
    batch = Batch.load(f"{kind.name}:{unknown}", asked)
    for look in (way.status, way.cancel, way.outcomes):
        with pytest.raises(BadRequestError, match="does not know the batch"):
            look(batch)


@each_way
@each_service
def test_an_id_that_leads_elsewhere_is_no_batch(
    server: WireServer, kind: type[Service], way: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would become part of the path of later requests, which have the key."""
    monkeypatch.setattr(kind, "id", "batches/../../files?x=1")
    with pytest.raises(BadReplyError):
        way.batch(asking(kind(server, [OSLO])), ["a"])


def test_a_batch_of_the_other_api_of_openai_is_noticed(server: WireServer) -> None:
    service = SERVICES[0](server, [OSLO])
    asking(service).batch(["a"])
    chat = asking(service, model="openai-chat:gpt-5.6")
    with pytest.raises(ConfigurationError, match="/v1/responses"):
        Batch.load("openai-chat:batch_1", chat).outcomes(poll=0)


# --- contracts, events, usage -------------------------------------------------------------------------


@command(output=City)
@ensure(lambda result, text: result.name[0].lower() == text, "it begins with another letter")
def city_with(text: str) -> str:
    return f"A city that begins with {text}"


@each_way
def test_contracts_hold_for_each_input(server: WireServer, way: Sync) -> None:
    service = SERVICES[0](server, [OSLO, ROME])
    asked = asking(service, city_with)
    batch = way.batch(asked, ["o", "o"])
    assert errors_of(way.outcomes(batch)) == [None, PostconditionError]
    with pytest.raises(ConfigurationError, match="@ensure"):
        Batch.load(batch.id, asked)
    assert errors_of(way.outcomes(Batch.load(batch.id, asked, ["o", "o"]))) == [None, PostconditionError]


@each_way
def test_usage_cost_and_events_are_those_of_reading(server: WireServer, way: Sync) -> None:
    """Half of the usual price, which the list of prices has; a budget does not keep answers back."""
    service = AnthropicService(server, [OSLO, "no city"])
    asked = asking(service, model="anthropic:claude-fable-5-1")
    batch = way.batch(asked, ["a", "b"])
    seen: list[Any] = []
    with alloy.track_usage() as total, alloy.listen(seen.append), alloy.budget(requests=1):
        outcomes = way.outcomes(batch)
    assert errors_of(outcomes) == [None, ParseError]
    assert (total.calls, total.requests, total.usage.total_tokens) == (2, 2, 30)
    assert [type(event) for event in seen if isinstance(event, Final | CallFailed)] == [Final, CallFailed]
    (request,) = outcomes[0].result.requests  # type: ignore[union-attr]
    assert request.in_batch


def test_the_price_of_a_batch_is_not_guessed() -> None:
    from alloy.messages import RequestUsage, Usage
    from alloy.prices import price

    genai_prices = pytest.importorskip("genai_prices")
    usage = Usage(1_000_000, 0)
    known = "anthropic:claude-haiku-4-5"
    usual, batch = price(RequestUsage(known, usage)), price(RequestUsage(known, usage, None, in_batch=True))
    assert usual is not None
    has_batches = hasattr(genai_prices.types, "PriceContext")
    assert batch == (usual / 2 if has_batches else None)
    assert price(RequestUsage("openai:gpt-3.5-turbo-0301", usage, None, in_batch=True)) is None
    assert price(RequestUsage("openai:gpt-3.5-turbo-0301", usage)) is not None


# --- what cannot be a batch ---------------------------------------------------------------------------


def add(a: int) -> int:
    """Add."""
    return a


@each_way
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"tools": [add]}, "a batch does not make: use single calls, or a command without add"),
        ({"model": ["openai:gpt-5.6", "openai:gpt-5.5"], "backend": None}, "for one model"),
        ({"model": "ollama:qwen3"}, "ollama has no batch API"),
        ({"model": "ollama-chat:qwen3"}, "ollama-chat has no batch API"),
        ({"model": "local:smollm2"}, "local has no batch API"),
        ({"budget": alloy.Budget(tokens=5)}, "a budget cannot limit a batch"),
        ({"conversation": alloy.Conversation()}, "a conversation is for one at a time"),
        ({"extra": {"openai": {"stream": True}}}, "cannot be streamed"),
    ],
    ids=["tools", "models", "ollama", "ollama-chat", "local", "budget", "conversation", "stream"],
)
def test_what_cannot_be_a_batch_is_refused_before_anything_is_sent(
    server: WireServer, way: Sync, options: Any, problem: str
) -> None:
    asked = asking(SERVICES[0](server), **options)
    with pytest.raises(ConfigurationError, match=problem):
        way.batch(asked, ["a"])
    assert not server.requests


def test_a_budget_of_the_scope_is_refused_too(server: WireServer) -> None:
    with alloy.budget(tokens=5), pytest.raises(ConfigurationError, match="a budget cannot limit a batch"):
        asking(SERVICES[0](server)).batch(["a"])


def test_google_cloud_is_refused(server: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    with pytest.raises(ConfigurationError, match="Google Cloud reads batches from its storage"):
        asking(SERVICES[3](server)).batch(["a"])


@each_way
def test_inputs_that_are_wrong_are_refused(server: WireServer, way: Sync) -> None:
    asked = asking(SERVICES[0](server))
    for inputs, problem in (
        ((), "one iterable for each parameter"),
        (("abc",), "character by character"),
        ((5,), "takes iterables, not int"),
        (([],), "there are no inputs"),
    ):
        with pytest.raises(ConfigurationError, match=problem):
            way.batch(asked, *inputs)
    with pytest.raises(TypeError) as caught:
        way.batch(asked, ["a"], ["b"])
    assert caught.value.__notes__ == ["read_city.batch(): input 0"]
    assert not server.requests


@each_service
def test_the_limits_of_the_provider_are_named(
    server: WireServer, kind: type[Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = kind(server, [OSLO])
    asked: Command[..., City] = asking(service)
    from alloy.backends.registry import resolve

    backend: Any = resolve(asked._options.settings["model"], None)[0]
    monkeypatch.setattr(type(backend.batches), "most_requests", 3)
    with pytest.raises(ConfigurationError, match="accepts 3 requests in a batch, and there are more"):
        asked.batch(map(str, range(10_000_000)))  # read no further than the limit
    monkeypatch.setattr(type(backend.batches), "most_bytes", 2_000)
    with pytest.raises(ConfigurationError, match="accepts 2,000 bytes in a batch") as caught:
        asked.batch(["a", "b" * 2_000])
    assert caught.value.__notes__ == ["read_city.batch(): input 1"]
    assert not server.requests


def test_waits_that_are_no_seconds_are_refused(server: WireServer) -> None:
    batch = asking(SERVICES[0](server, [OSLO])).batch(["a"])
    for wrong in ({"poll": -1}, {"poll": "1"}, {"timeout": -0.1}, {"timeout": float("nan")}):
        with pytest.raises(ConfigurationError, match="must be a number of at least 0 and at most 1e"):
            batch.wait(**wrong)  # type: ignore[arg-type]


def test_a_model_that_lacks_structured_output_is_an_error_with_a_way_out(server: WireServer) -> None:
    """A single call would ask in another way; a batch asks nothing again."""
    text = "This model does not support structured outputs"
    service = SERVICES[0](server, [Failed(400, text)])
    (outcome,) = asking(service).batch(["a"]).outcomes(poll=0)
    assert isinstance(outcome.error, BadRequestError)
    assert 'output_mode="prompted"' in str(outcome.error)
    service.results = [OSLO]
    (outcome,) = asking(service, output_mode="prompted").batch(["a"]).outcomes(poll=0)
    assert outcome.value == City("Oslo", 700_000)
    assert outcome.result is not None


def test_a_model_that_is_not_there_is_an_error_of_each_input(server: WireServer) -> None:
    service = AnthropicService(server, [Failed(404, "model: claude-0")])
    (outcome,) = asking(service).batch(["a"]).outcomes(poll=0)
    assert isinstance(outcome.error, ModelNotFoundError)
