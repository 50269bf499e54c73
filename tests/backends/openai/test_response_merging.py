"""Streams of the Responses API whose events and terminal event do not have the same items."""

from __future__ import annotations

from typing import Any

import pytest
from kit.apis import RESPONSES, every_mode
from kit.codec import feed
from kit.wire import WireServer, sse
from kit.wire import openai as says

from alloy import AlloyError, ServerError, TruncatedError
from alloy.backends.openai.responses import OpenAIBackend
from alloy.messages import TextDelta as Text

CODEC = OpenAIBackend()


def completed(*output: Any, kind: str = "completed", **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "response": {**says.response(), "output": list(output), **fields}}


def hears(text: str, item_id: str = "m", index: int = 0) -> dict[str, Any]:
    return {
        "type": "response.output_text.delta",
        "output_index": index,
        "item_id": item_id,
        "delta": text,
    }


def order(arguments: str, call_id: str = "a", **fields: Any) -> dict[str, Any]:
    return {**says.function_call("order", arguments, call_id), **fields}


def begins(item: Any, index: int = 0) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def ends(item: Any, index: int = 0) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def argument_piece(text: str, item_id: str = "fc_a") -> dict[str, Any]:
    kind = "response.function_call_arguments.delta"
    return {"type": kind, "output_index": 0, "item_id": item_id, "delta": text}


def named(text: str, item_id: str) -> dict[str, Any]:
    return {**says.message(text), "id": item_id}


ONE, FIVE = order('{"n": 1}'), order('{"n": 5}')
MERGED: dict[str, tuple[list[Any], str, list[str]]] = {
    "a call after the text": ([hears("Hi"), completed(FIVE)], "Hi", ['{"n": 5}']),
    "a call and less text": (
        [hears("Hi there"), completed(says.message("Hi"), FIVE)],
        "Hi there",
        ['{"n": 5}'],
    ),
    "a streamed call, and text at the end": ([ends(FIVE), completed(says.message("Hi"))], "Hi", ['{"n": 5}']),
    "one call each": ([ends(ONE), completed(order('{"n": 5}', "b"))], "", ['{"n": 1}', '{"n": 5}']),
    "one more call at the end": (
        [ends(ONE), completed(ONE, order('{"n": 5}', "b"))],
        "",
        ['{"n": 1}', '{"n": 5}'],
    ),
    "one id for two calls": (
        [ends(ONE), ends({**FIVE, "id": "fc_2"}, 1), completed({**FIVE, "id": "fc_2"})],
        "",
        ['{"n": 1}', '{"n": 5}'],
    ),
    "other ids at the end": ([ends(FIVE), completed(order('{"n":5}', "z"))], "", ['{"n":5}']),
    "no ids at the end": (
        [ends(FIVE), completed({"type": "function_call", "name": "order", "arguments": ""})],
        "",
        ['{"n": 5}'],
    ),
    "two messages, of which each side has one": (
        [begins(named("", "m1")), hears("A", "m1"), completed(named("B", "m2"))],
        "AB",
        [],
    ),
    "two streamed messages, one at the end": (
        [hears("Os", "m1"), ends(named("Os", "m1")), hears("lo", "m2", 1), completed(named("Oslo.", "m1"))],
        "Oslo.",
        [],
    ),
    "another text at the end": ([hears("Oslo."), completed(says.message("Paris."))], "Oslo.", []),
    "another text in a finished item": (
        [hears("Oslo."), ends(says.message("Paris.")), completed()],
        "Oslo.",
        [],
    ),
    "messages in another order": (
        [hears("b", "m2", 1), hears("a", "m1"), completed(named("a", "m1"), named("b", "m2"))],
        "ba",
        [],
    ),
    "reasoning before the text at the end": (
        [hears("Hi"), completed(says.reasoning("Hm."), says.message("Hi there"), FIVE)],
        "Hi there",
        ['{"n": 5}'],
    ),
}


@pytest.mark.parametrize(("events", "text", "arguments"), MERGED.values(), ids=MERGED)
def test_both_sides_count(events: list[Any], text: str, arguments: list[str]):
    """Nothing that came is lost, or counts twice, and the value is at least what was shown."""
    reply, deltas = feed(CODEC, events)
    shown = "".join(each.text for each in deltas if isinstance(each, Text))
    assert (reply.text, [call.arguments for call in reply.calls]) == (text, arguments)
    assert text.startswith(shown)
    assert reply.echo is not None
    assert sum(item["type"] == "function_call" for item in reply.echo.data) == len(arguments)


@pytest.mark.parametrize("last", ["", "{}", "null", None, {}], ids=repr)
@pytest.mark.parametrize("where", ["item", "end", "both", "pieces"])
def test_arguments_are_not_overwritten_by_empty_ones(last: Any, where: str):
    """In the finished item, in the terminal event, or in both."""
    pieces = [argument_piece('{"n"'), argument_piece(": 5}")]
    begun = [begins(order("")), *pieces] if where != "pieces" else [begins(FIVE), ends(FIVE)]
    done = [ends(order(last))] if where != "end" else []
    reply, _ = feed(CODEC, [*begun, *done, completed(*([order(last)] if where != "item" else []))])
    assert [call.arguments for call in reply.calls] == ['{"n": 5}']


def test_arguments_that_are_repeated_count_once():
    """A gateway that restarts a call sends all of its pieces again."""
    begun = [begins(order("")), argument_piece('{"n": 5}'), argument_piece('{"n": 5}')]
    reply, _ = feed(CODEC, [*begun, ends(order('{"n": 5}')), completed()])
    assert [call.arguments for call in reply.calls] == ['{"n": 5}']


@every_mode
@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, TruncatedError),
        ({"status": "completed", "incomplete_details": {"reason": "max_output_tokens"}}, TruncatedError),
        ({"status": None, "incomplete_details": {"reason": "length"}}, TruncatedError),
        ({"status": "failed", "error": {"code": "server_error", "message": "boom"}}, ServerError),
        ({"status": "FAILED", "error": {"code": "server_error", "message": "boom"}}, ServerError),
        ({"status": "completed", "error": {"code": "server_error", "message": "boom"}}, ServerError),
        ({"status": "cancelled"}, AlloyError),
    ],
    ids=str,
)
def test_the_event_does_not_hide_how_the_response_ended(
    server: WireServer, mode: str, fields: dict[str, Any], error: type[AlloyError]
) -> None:
    """A gateway calls every terminal event `response.completed`, so the body counts, as it does alone."""
    whole = {**says.response(text="Os"), **fields}
    events = [hears("Os"), completed(says.message("Os"), **fields)]
    server.script(says.reply(whole) if mode.startswith("send") else sse(events))
    with pytest.raises(error, match="boom" if error is ServerError else None):
        RESPONSES.ask(mode, server)


@pytest.mark.parametrize("status", ["completed", "in_progress", "mystery", None, ""])
def test_a_completed_event_completes_the_response(status: str | None):
    """Some gateways copy the status of an earlier event into the last one."""
    reply, _ = feed(CODEC, [hears("Oslo."), completed(says.message("Oslo."), status=status)])
    assert (reply.text, reply.finish) == ("Oslo.", "stop")


def test_a_failed_event_fails_the_response():
    """Whatever the status in its body says."""
    with pytest.raises(ServerError, match="boom"):
        feed(CODEC, [completed(kind="failed", status="completed", error={"message": "boom"})])
