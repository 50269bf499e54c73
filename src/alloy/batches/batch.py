"""`Batch`: calls of a command that a provider answers within a day, and what came of them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from alloy._engine.batching import (
    BatchCall,
    cancel,
    reading,
    report,
    results,
    wait_for_end,
)
from alloy._engine.routes import secrets_of_all
from alloy._engine.runtime.drivers import run, run_async
from alloy.arguments import check_flag
from alloy.batches.collecting import Collection, Input, arguments, check_call, command_digest
from alloy.batches.matching import Entries
from alloy.batches.steps import perform, perform_async
from alloy.errors import ConfigurationError
from alloy.logger import log
from alloy.maps.outcomes import Outcome
from alloy.quantities import checked, seconds

if TYPE_CHECKING:
    from alloy._engine.prepare import PreparedCall
    from alloy.backends.batches import BatchReport, BatchResults
    from alloy.batch_status import BatchStatus
    from alloy.result import Result

__all__ = ["Batch"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

POLL = 30.0  # seconds between two looks at a batch


class BatchCommand(Protocol[T_co]):
    """A command, sync or async."""

    @property
    def run_async(self) -> Callable[..., Coroutine[Any, Any, Result[T_co]]]:
        """As `Command.run_async`."""


class Batch(Generic[T_co]):
    """Calls of a command that a provider answers within a day, at a lower price.

    `Command.batch` begins one, and `Batch.load` finds one again. *id* has the provider and the provider's own
    id, as in `"openai:batch_abc"`. Each method has a twin for async code, which ends in `_async`. All raise
    `ProviderError`: a `BadRequestError` for a batch that the provider does not know.

    How a batch goes:

    1. Its calls are prepared as plain calls, and sent as entries whose ids have the index of the input and
       digests of the prompt and the command (`Collection`). The process may end then.
    2. The operations are scripts of `alloy._engine.batching`, which the drivers run.
    3. Results are matched with inputs by their ids (`Entries`), and a conversation reads each answer.
    """

    def __init__(
        self, id: str, call: PreparedCall[T_co], inputs: Sequence[Input] | None, strict: bool | None
    ) -> None:
        ids = None if inputs is None else [each.id for each in inputs]
        self.id = id
        self._call, self._inputs = call, inputs
        self._entries = Entries(id, ids, command_digest(call), strict)
        self._name = id.partition(":")[2]
        self._report: BatchReport | None = None  # of the end
        self._outcomes: list[Outcome[T_co]] | None = None  # when all results were there

    @classmethod
    def load(
        cls, id: str, command: BatchCommand[T], *iterables: Iterable[Any], strict: bool = True
    ) -> Batch[T]:
        """The batch *id* of *command*, which some process began. Nothing is sent.

        *iterables* are the inputs again: with them outcomes have their `args`, results their prompts, and
        `@ensure` is checked. If the prompts, the type of the answer, the model or a setting differ from those
        that the batch was made of, `outcomes` raises `ConfigurationError`; with *strict* `False` it warns and
        reads the answers anyway.

        Raises `ConfigurationError` for an id of another provider, for what is not a command, for a command
        with `@ensure` without *iterables*, and for an async command with them (`load_async`).
        """
        where = f"Batch.load({id!r:.80})"
        asked = _checked(command, where)
        if iterables and asked._is_async:
            raise ConfigurationError(f"{where}: the command is async: use `await Batch.load_async(…)`")
        collection: Collection[T] = Collection(where, sends=False)
        for args in arguments(asked, where, iterables) if iterables else ():
            collection.add(args, asked._prepared(args, {}))
        return _loaded(id, asked, collection, strict=strict, has_inputs=bool(iterables))

    @classmethod
    async def load_async(
        cls, id: str, command: BatchCommand[T], *iterables: Iterable[Any], strict: bool = True
    ) -> Batch[T]:
        """As `load`, and also for async commands with *iterables*."""
        collection: Collection[T] = Collection(f"Batch.load_async({id!r:.80})", sends=False)
        asked = _checked(command, collection.where)
        for args in arguments(asked, collection.where, iterables) if iterables else ():
            call = asked._prepared(args, {})
            collection.add(args, await call if asked._is_async else call)
        return _loaded(id, asked, collection, strict=strict, has_inputs=bool(iterables))

    @staticmethod
    def _begun(collection: Collection[T], name: str) -> Batch[T]:
        """The batch of *collection*, which the provider calls *name*."""
        assert collection.call is not None
        id = f"{collection.call.question.routes[0].backend.name}:{name}"
        log.info("%s: the batch %s has begun, with %d requests", collection.where, id, len(collection.inputs))
        return Batch(id, collection.call, collection.inputs, strict=None)

    def __repr__(self) -> str:
        state = "" if self._report is None else f": {self._report.status}"
        return f"<Batch {self.id}{state}>"

    # --- watching -----------------------------------------------------------------------------------

    def status(self) -> BatchStatus:
        """How far it is, as the provider says now."""
        return self._noted(perform(self._call_of(self._reporting))).status

    async def status_async(self) -> BatchStatus:
        """As `status`."""
        return self._noted(await perform_async(self._call_of(self._reporting))).status

    def wait(self, timeout: float | None = None, poll: float = POLL) -> BatchStatus:
        """Ask for the status every *poll* seconds until the batch has ended, and return the last one.

        Raises `DeadlineError` if it has not ended after *timeout* seconds; the provider goes on with it.
        """
        if self._report is not None:
            return self._report.status
        return self._noted(perform(self._waiting(timeout, poll))).status

    async def wait_async(self, timeout: float | None = None, poll: float = POLL) -> BatchStatus:
        """As `wait`, without blocking the event loop."""
        if self._report is not None:
            return self._report.status
        return self._noted(await perform_async(self._waiting(timeout, poll))).status

    def cancel(self) -> None:
        """Ask the provider to answer no further requests. Answers that are there can be read."""
        perform(self._call_of(lambda: cancel(self._call.question, self._name)))

    async def cancel_async(self) -> None:
        """As `cancel`."""
        await perform_async(self._call_of(lambda: cancel(self._call.question, self._name)))

    # --- reading ------------------------------------------------------------------------------------

    def outcomes(self, timeout: float | None = None, poll: float = POLL) -> list[Outcome[T_co]]:
        """What came of each input, in their order. Waits for the end, as `wait` does.

        A request that failed or was not run, and an answer that does not have the declared type, is an
        outcome with an *error*. Nothing is asked again.

        Raises `BadRequestError` if the provider refused the batch as a whole, and `ConfigurationError` if it
        was made by another command or of other inputs.
        """
        if self._outcomes is not None:
            return self._outcomes
        self.wait(timeout, poll)
        found = perform(self._reading())
        made: list[Outcome[T_co]] = []
        for index, args, call in self._readings(found):
            try:
                made.append(_outcome(index, args, run(call)))
            except Exception as error:  # noqa: BLE001 - the reader's to see
                made.append(Outcome(index, args, error=error))
        return self._kept(made, found)

    async def outcomes_async(self, timeout: float | None = None, poll: float = POLL) -> list[Outcome[T_co]]:
        """As `outcomes`, without blocking the event loop."""
        if self._outcomes is not None:
            return self._outcomes
        await self.wait_async(timeout, poll)
        found = await perform_async(self._reading())
        made: list[Outcome[T_co]] = []
        for index, args, call in self._readings(found):
            try:
                made.append(_outcome(index, args, await run_async(call)))
            except Exception as error:  # noqa: BLE001 - as above
                made.append(Outcome(index, args, error=error))
        return self._kept(made, found)

    def _readings(self, found: BatchResults) -> Iterator[tuple[int, tuple[Any, ...], PreparedCall[T_co]]]:
        """The index and the arguments of each input, with the call that reads its answer."""
        assert self._report is not None
        inputs = self._inputs or ()
        for index, line in enumerate(self._entries.lines(found, self._report.status)):
            given = inputs[index] if index < len(inputs) else Input()
            yield index, given.args, reading(self._call, line, given.turns, given.check)

    def _kept(self, made: list[Outcome[T_co]], found: BatchResults) -> list[Outcome[T_co]]:
        """*made*, remembered unless another download may find more."""
        if not found.problems and len(found.lines) >= len(made):
            self._outcomes = made
        return made

    # --- calls --------------------------------------------------------------------------------------

    def _call_of(self, steps: Callable[[], Any]) -> BatchCall[Any]:
        return BatchCall.like(self._call, steps)

    def _reporting(self) -> Any:
        return report(self._call.question, self._name, self._size)

    def _waiting(self, timeout: float | None, poll: float) -> BatchCall[Any]:
        checked("Batch", "poll", poll, seconds())
        if timeout is not None:
            checked("Batch", "timeout", timeout, seconds())
        return self._call_of(lambda: wait_for_end(self._call.question, self._name, self._size, timeout, poll))

    def _reading(self) -> BatchCall[Any]:
        found = self._report
        assert found is not None
        requests = self._size or found.status.total
        return self._call_of(lambda: results(self._call.question, self._name, found, requests))

    @property
    def _size(self) -> int | None:
        """How many requests it has, if that is known."""
        return None if self._inputs is None else len(self._inputs)

    def _noted(self, found: BatchReport) -> BatchReport:
        if found.status.problem:  # which a server wrote
            from alloy.backends.http.redaction import Redactor

            redact = Redactor(secrets_of_all(self._call.question.routes))
            found = found._replace(status=replace(found.status, problem=redact(found.status.problem)))
        if found.status.has_ended:
            self._report = found
        return found


def _outcome(index: int, args: tuple[Any, ...], result: Result[T]) -> Outcome[T]:
    return Outcome(index, args, result.value, result=result)


def _checked(command: Any, where: str) -> Any:
    if not hasattr(command, "_call_with"):
        raise ConfigurationError(f"{where} takes the command that the batch is of, not {command!r:.80}")
    return command


def _loaded(id: Any, command: Any, collection: Collection[T], *, strict: bool, has_inputs: bool) -> Batch[T]:
    where, call = collection.where, collection.call
    check_flag(strict, f"{where}: strict")
    if call is None:
        call = command._call_with("-", None, streamed=False)  # no prompt of the command's: it is not sent
        check_call(call, where)
        if command.__alloy_contracts__.ensures:
            raise ConfigurationError(
                f"{where}: the @ensure of {command.__name__} needs the arguments: give the inputs, too"
            )
    backend: Any = call.question.routes[0].backend
    provider, mark, name = id.partition(":") if isinstance(id, str) else ("", "", "")
    if not mark:
        raise ConfigurationError(f'{where}: an id begins with the provider, as in "{backend.name}:…"')
    if provider != backend.name:
        raise ConfigurationError(
            f"{where}: this is a batch of {provider}, and {command.__name__} asks {backend.name}: use "
            f"{command.__name__}.with_options(model=…)"
        )
    if not backend.batches.id_pattern.fullmatch(name):
        raise ConfigurationError(f"{where}: {name!r:.80} is not an id that {provider} gives")
    return Batch(id, call, collection.inputs if has_inputs else None, strict)
