"""Scripts that answer for the model. `alloy.testing` is the place to import from."""

from __future__ import annotations

import json
import reprlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from alloy.backends.fake.backend import responder
from alloy.config import use_config
from alloy.errors import ConfigurationError
from alloy.messages import Reply, ToolCall

__all__ = ["Seen", "call", "calls", "replies"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the model was asked: every request's body, as the fake backend encodes it, in order.

    A body is a dict of `model`, `messages` (each with a `role` and its `content`) and, where there are any,
    `system`, `tools`, `output`, `temperature` and `max_tokens`.
    """

    requests: list[dict[str, Any]] = field(default_factory=list)


def call(name: str, /, **arguments: Any) -> ToolCall:
    """A call of the tool *name*, for `replies`: a turn by itself, or one of several in `calls`.

    Raises `ConfigurationError` when JSON cannot say an argument.
    """
    return ToolCall("", name, _dump(arguments))


def calls(*several: ToolCall) -> Reply:
    """One turn of the model in which it calls *several* tools at once."""
    return Reply(calls=several, finish="tool_calls")


@contextmanager
def replies(*script: Any, backend: str = "fake") -> Iterator[Seen]:
    """Answer every model request inside the `with` block by *script*, one item for each.

    An item is

    - a `str`: what the model says, as it stands;
    - `call(...)` or `calls(...)`: a turn that calls tools;
    - a `Reply`: a turn in full, a refusal for instance;
    - an exception: raised as the provider's, so that an `AlloyError` that is transient is tried again;
    - a function: gets the request's body (see `Seen`) and returns, or raises, one of the others;
    - any other value (a dataclass, a list, a number, a pydantic model, …): the answer, as JSON.

    What Alloy starts in the block, threads and tasks included, is answered too, nested blocks by the
    inner one; at its end all is as it was. As a decorator it does the same for every call of a plain
    function. Retries and re-asks are requests like any other. *backend* may name another `FakeBackend`
    that is registered. A command that says `backend=` itself keeps to it.

    Raises `AssertionError` for a request after the last item, and at the end of the block when items are
    left over or such a request was made and its error was swallowed.
    """
    answers = _Script(script)
    token = responder.set(answers)
    try:
        with use_config(backend=backend):
            yield answers.seen
    finally:
        responder.reset(token)
    answers.check_finished()


class _Script:
    """Answers requests from a list; safe to share among threads."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.seen = Seen()
        self._items = items
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
            return item
        case ToolCall():
            return calls(item)
        case str() if not isinstance(item, Enum):
            return Reply(text=item)
        case Callable():
            return _reply(item(body), body)
        case _:
            return Reply(text=_answer(item, body))


def _answer(value: Any, body: Mapping[str, Any]) -> str:
    """*value* as JSON, in the object that stands round it where the output type is none itself."""
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
        raise ConfigurationError(f"JSON cannot say {reprlib.repr(value)}: {error}") from error
