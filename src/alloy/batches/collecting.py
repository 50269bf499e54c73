"""The calls of a batch: prepared as plain calls are, and written as entries for the provider."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from alloy._engine.batching import BatchCall, batch_backend, submit
from alloy._engine.budgeting import is_budget
from alloy._engine.handlers import current_handlers
from alloy.backends.fallback.choose import codec_for
from alloy.batches.matching import entry_id
from alloy.errors import ConfigurationError
from alloy.settings import SENT

if TYPE_CHECKING:
    from alloy._engine.prepare import PreparedCall
    from alloy.messages import Turn

__all__ = ["Collection", "Input", "arguments", "check_call", "command_digest", "noted"]

T = TypeVar("T")


class Input(NamedTuple):
    """What is kept of one call until its answer is read."""

    args: tuple[Any, ...] = ()
    turns: tuple[Turn, ...] = ()
    check: Callable[[Any], str | None] | None = None
    id: str = ""


class Collection(Generic[T]):
    """The calls of a batch while they are prepared; *sends* says whether they are to be sent.

    *call* is the first of them, whose model and settings are those of all.
    """

    def __init__(self, where: str, *, sends: bool = True) -> None:
        self.where, self._sends = where, sends
        self.inputs: list[Input] = []
        self.call: PreparedCall[T] | None = None
        self._command = ""  # its digest
        self._entries: list[bytes] = []
        self._size = 0  # in bytes
        self._like: Mapping[str, Any] = {}  # the first body

    def add(self, args: tuple[Any, ...], call: PreparedCall[T]) -> None:
        """Add the prepared *call* with *args*. Raises `ConfigurationError` if it cannot be in a batch."""
        if self.call is None:
            check_call(call, self.where)
            self.call, self._command = call, command_digest(call)
        turns = call.question.plan(call.question.routes[0]).request.messages
        id = entry_id(len(self.inputs), _digest(turns), self._command)
        if self._sends:
            self._write(id, call)
        self.inputs.append(Input(args, turns, call.question.check, id))

    def submission(self) -> BatchCall[str]:
        """The call that sends the batch; its result is the provider's id."""
        if self.call is None:
            raise ConfigurationError(f"{self.where}: there are no inputs")
        question = self.call.question
        return BatchCall.like(self.call, lambda: submit(question, self._entries, self._like))

    def _write(self, id: str, call: PreparedCall[T]) -> None:
        route = call.question.routes[0]
        backend, request = batch_backend(route.backend), call.question.plan(route).request
        assert backend is not None
        assert backend.batches is not None
        made = codec_for(route.backend, request).encode(request)
        body = backend.entry_body(made, route.endpoint)
        if body.get("stream"):
            raise ConfigurationError(f"{self.where}: the requests of a batch cannot be streamed")
        entry = backend.batches.entry(id, body)
        self._size += len(entry) + 1
        self._check_size(backend.name, backend.batches.most_requests, backend.batches.most_bytes, len(entry))
        self._entries.append(entry)
        self._like = self._like or made

    def _check_size(self, name: str, most: int | None, most_bytes: int | None, size: int) -> None:
        index = len(self.inputs)
        if most is not None and index >= most:
            raise ConfigurationError(
                f"{self.where}: {name} accepts {most:,} requests in a batch, and there are more: make "
                "several batches"
            )
        if most_bytes is not None and self._size > most_bytes:
            raise ConfigurationError(
                f"{self.where}: {name} accepts {most_bytes:,} bytes in a batch, and the inputs up to this "
                f"one have {self._size:,}, this one {size:,}: make several batches, or give images and "
                "documents by URL"
            )


def arguments(command: Any, where: str, iterables: tuple[Iterable[Any], ...]) -> Iterator[tuple[Any, ...]]:
    """The arguments of each call, until the first of *iterables* ends. Raises `ConfigurationError`."""
    if command._options.conversation is not None:
        raise ConfigurationError(
            f"{where} makes several calls at once, and a conversation is for one at a time: give the earlier "
            "messages in the prompt"
        )
    if not iterables:
        raise ConfigurationError(f"{where} takes one iterable for each parameter of the command")
    for each in iterables:
        if isinstance(each, str | bytes):
            raise ConfigurationError(
                f"{where} takes iterables, and a {type(each).__name__} would be read character by character: "
                "put it into a list"
            )
        if not isinstance(each, Iterable):
            raise ConfigurationError(f"{where} takes iterables, not {type(each).__name__}")
    return zip(*iterables, strict=False)


@contextmanager
def noted(where: str, index: int) -> Iterator[None]:
    """Add the *index* of an input to what is raised in the block."""
    try:
        yield
    except Exception as error:
        error.add_note(f"{where}: input {index}")
        raise


def check_call(call: PreparedCall[Any], where: str) -> None:
    """Raise `ConfigurationError` unless *call* can be one of a batch."""
    routes = call.question.routes
    if len(routes) > 1:
        names = ", ".join(route.name for route in routes)
        raise ConfigurationError(f"{where}: a batch is for one model, and there are several: {names}")
    if call.tools.schemas:
        names = ", ".join(tool.name for tool in call.tools.schemas)
        raise ConfigurationError(
            f"{where}: tools need further requests with their results, which a batch does not make: use "
            f"single calls, or a command without {names}"
        )
    if call.tools.budgets or any(map(is_budget, current_handlers())):
        raise ConfigurationError(
            f"{where}: a budget cannot limit a batch, because what it used is known only at its end: begin "
            "it outside of the budget"
        )
    if batch_backend(routes[0].backend) is None:
        raise ConfigurationError(
            f"{where}: {routes[0].backend.name} has no batch API: use a model of openai, openai-chat, "
            "anthropic or gemini, or single calls"
        )


def command_digest(call: PreparedCall[Any]) -> str:
    """A digest of what decides the answers besides the prompt: the type, the model and settings."""
    route = call.question.routes[0]
    request = call.question.plan(route).request
    schema = None if request.output is None else request.output.schema
    settings = [getattr(call.settings, name) for name in SENT]
    return _digest(
        [call.question.expected, schema, route.model, request.system, settings, dict(request.extra)]
    )


def _digest(value: Any) -> str:
    from pydantic_core import to_json

    try:
        content = to_json(value, bytes_mode="base64", serialize_unknown=True)
    except ValueError as error:  # half of a surrogate pair
        raise ConfigurationError(f"the request cannot be sent: {error}") from error
    return sha256(content).hexdigest()
