"""Scripted answers instead of a model's. Import these names from `alloy.testing`."""

from __future__ import annotations

import json
import reprlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, get_args

from alloy.arguments import names_checked
from alloy.backends.fake.backend import FakeBackend, Responder, responder
from alloy.backends.registry import resolve
from alloy.config import use_config
from alloy.errors import ConfigurationError
from alloy.jsontypes import JsonObject
from alloy.messages import Finish, Reply, ToolCall
from alloy.pickling import kept_here
from alloy.threads import value_of

__all__ = ["Seen", "call", "calls", "replies"]


@dataclass(frozen=True, slots=True)
class Seen:
    """The requests that were made: their bodies, as the fake backend encodes them, in order.

    A body is a dict with `model`, `messages` (each with a `role` and its `content`) and, if they are set,
    `system`, `tools`, `output` and the settings that are sent, such as `temperature`.
    """

    requests: list[JsonObject] = field(default_factory=list)


def call(name: str, /, **arguments: Any) -> ToolCall:
    """A call of the tool *name*, for `replies`: a turn of its own, or one of several in `calls`.

    Raises `ConfigurationError` for an argument that cannot be written as JSON.
    """
    return ToolCall("", name, _dump(arguments))


def calls(*several: ToolCall) -> Reply:
    """One turn of the model in which it calls *several* tools at once."""
    return Reply(calls=several, finish="tool_calls")


@names_checked
@contextmanager
def replies(*script: Any, backend: str = "fake") -> Iterator[Seen]:
    """Answer each model request in the `with` block with the next item of *script*.

    An item is

    - a `str`: the text of the model, unchanged;
    - `call(...)` or `calls(...)`: a turn that calls tools;
    - a `Reply`: a whole turn, for example a refusal;
    - an exception: raised as an error of the provider, so that a transient `AlloyError` is tried again;
    - a function: it gets the body of the request (see `Seen`), and returns or raises one of the others;
    - any other value (a dataclass, a list, a number, a pydantic model, …): the answer, as JSON.

    Calls in threads and tasks that Alloy starts in the block are answered, too. In nested blocks the inner
    one answers, and the end of a block restores what was before. As a decorator it does the same for every
    call of a plain function. Retries and re-asks are requests like any other. *backend* may name another
    `FakeBackend` that is registered. A command with an option `backend=` of its own keeps that backend.

    Raises `AssertionError` for a request after the last item. It raises it at the end of the block, too,
    when items are left, or when the error of such a request was caught. Raises `ConfigurationError` for a
    *backend* that would send requests, and for a `Reply` that no model can give.
    """
    answers = _Script(script)
    respond: Responder = answers
    with value_of(responder, respond), value_of(kept_here, "replies()"), use_config(backend=backend):
        _check_is_fake(backend)
        yield answers.seen
    answers.check_finished()


class _Script:
    """Answers requests from a list; safe to share among threads."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.seen = Seen()
        self._items = [_possible(item) if isinstance(item, Reply) else item for item in items]
        self._lock = threading.Lock()

    def __call__(self, body: Mapping[str, Any]) -> Reply:
        with self._lock:
            self.seen.requests.append(dict(body))
            asked = len(self.seen.requests)
        if asked > len(self._items):
            raise self._overrun(asked)
        return _reply(self._items[asked - 1], body)

    def check_finished(self) -> None:
        """Raise `AssertionError` unless as many requests were made as there are items."""
        asked = len(self.seen.requests)
        if asked > len(self._items):
            raise self._overrun(asked)
        if left := self._items[asked:]:
            raise AssertionError(
                f"the model was asked {_times(asked)}, and the script has {_items(len(self._items))}; "
                f"not used: {', '.join(map(reprlib.repr, left))}"
            )

    def _overrun(self, asked: int) -> AssertionError:
        messages = self.seen.requests[-1]["messages"]
        last = f"; its last message: {reprlib.repr(messages[-1])}" if messages else ""
        return AssertionError(
            f"the model was asked {_times(asked)}, and the script has {_items(len(self._items))}{last}"
        )


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _items(number: int) -> str:
    return "1 item" if number == 1 else f"{number} items"


def _reply(item: Any, body: Mapping[str, Any]) -> Reply:
    match item:
        case BaseException():
            raise item
        case Reply():
            return _possible(item)
        case ToolCall():
            return calls(item)
        case str() if not isinstance(item, Enum):
            return Reply(text=item)
        case Callable():
            return _reply(item(body), body)
        case _:
            return Reply(text=_answer(item, body))


def _possible(reply: Reply) -> Reply:
    """*reply*, if a model can give it. Raises `ConfigurationError`."""
    allowed = get_args(Finish)
    if reply.finish not in allowed:
        raise ConfigurationError(
            f"Reply(finish={reply.finish!r}): finish must be one of {', '.join(map(repr, allowed))}"
        )
    for called in reply.calls:
        if not isinstance(called, ToolCall):
            raise ConfigurationError(f'a Reply calls {called!r:.80}: write call("name", argument=…)')
    return reply


def _check_is_fake(name: str) -> None:
    backend, _ = resolve(None, name)
    if not isinstance(backend, FakeBackend):
        raise ConfigurationError(
            f"replies(backend={name!r}): the backend {name!r} is not a FakeBackend and would send the "
            f"requests: leave backend out, or register_backend({name!r}, FakeBackend({name!r})) first"
        )


def _answer(value: Any, body: Mapping[str, Any]) -> str:
    """*value* as JSON, in the object `{"value": …}` if the output type is not an object itself."""
    text = _dump(value)
    schema = body.get("output", {}).get("schema", {})
    wrapped = list(schema.get("properties", ())) == ["value"]
    return f'{{"value":{text}}}' if wrapped and not _has_only_value(text) else text


def _has_only_value(text: str) -> bool:
    value = json.loads(text)
    return isinstance(value, dict) and list(value) == ["value"]


def _dump(value: Any) -> str:
    from pydantic_core import PydanticSerializationError, to_json

    try:
        return to_json(value).decode()
    except PydanticSerializationError as error:
        raise ConfigurationError(f"{reprlib.repr(value)} cannot be written as JSON: {error}") from error
