"""Which line of a batch's results belongs to which input: by the ids of entries, and never by their order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from alloy.backends.batches import BatchLine, BatchResults
from alloy.batch_status import BatchStatus
from alloy.errors import (
    BadReplyError,
    BadRequestError,
    ConfigurationError,
    ProviderError,
    ProviderTimeoutError,
)
from alloy.logger import log

__all__ = ["Entries", "entry_id"]

# Anthropic allows 64 letters, digits, "_" and "-".
_ENTRY = re.compile(r"(\d{1,7})-([0-9a-f]{16})-([0-9a-f]{8})", re.ASCII)


def entry_id(index: int, prompt: str, command: str) -> str:
    """The id of an entry: its index, and the digests of its prompt and of the command."""
    return f"{index}-{prompt:.16}-{command:.8}"


@dataclass(frozen=True, slots=True)
class Entries:
    """The entries of the batch *id*, by which its results are found.

    *ids* are those of its inputs, `None` if these are not known, and *command* is the digest of the command.
    *strict* says whether a difference is an error, and is `None` for a batch that this process began: there a
    result with another id is none of this batch.
    """

    id: str
    ids: Sequence[str] | None
    command: str
    strict: bool | None = None

    def lines(self, found: BatchResults, status: BatchStatus) -> list[BatchLine]:
        """What came of each input, in their order; an error where there is no line.

        Raises `BadRequestError` for a batch that failed as a whole, and `ConfigurationError` for one of
        another command or of other inputs.
        """
        if status.state == "failed" and not found.lines:
            problem = status.problem or "; ".join(found.problems) or "the provider does not say why"
            raise BadRequestError(f"the batch {self.id} failed: {problem}", provider=self._provider)
        lines = self._by_index(found.lines)
        size = max(len(self.ids) if self.ids else status.total, max(lines, default=-1) + 1)
        missing = BatchLine("", error=self._missing(found, status))
        return [lines.get(index, missing) for index in range(size)]

    @property
    def _provider(self) -> str:
        return self.id.partition(":")[0]

    def _by_index(self, lines: Sequence[BatchLine]) -> dict[int, BatchLine]:
        found: dict[int, BatchLine] = {}
        others: list[str] = []
        for line in lines:
            if (index := self._index(line.id)) is None:
                others.append(line.id)
            else:
                found[index] = self._better(found.get(index), line)
        if others and not found and self.strict is not None:
            raise ConfigurationError(
                f"{self.id}: no result has an id that Alloy gives; one of them has {others[0]!r:.80}"
            )
        if others:
            log.warning(
                "%s: %d results are ignored, because their ids are not of this batch, such as %.80r",
                self.id,
                len(others),
                others[0],
            )
        return found

    def _better(self, before: BatchLine | None, line: BatchLine) -> BatchLine:
        """The one that counts of two lines with the same id: an answer, unless they have different ones."""
        if before is None or (before.error is not None and line.error is None):
            return line
        if line.error is not None or line.answer == before.answer:
            return before
        text = f"the results have different answers with the id {line.id}"
        return BatchLine(line.id, error=BadReplyError(text, provider=self._provider, transient=False))

    def _index(self, id: str) -> int | None:
        """The index in the *id* of an entry; `None` for an id that is not of this batch."""
        match = _ENTRY.fullmatch(id)
        if match is None:
            return None
        index, ids = int(match[1]), self.ids
        if self.strict is None:
            return index if ids is not None and index < len(ids) and ids[index] == id else None
        if match[3] != self.command[:8]:
            self._differs("the type of the answer, the model, the system prompt or a setting of the command")
        if ids is not None and index >= len(ids):
            self._differs("the number of inputs")
        elif ids is not None and ids[index].split("-")[1] != match[2]:
            self._differs(f"the prompt of input {index}")
        return index

    def _differs(self, what: str) -> None:
        text = f"{self.id}: {what} differs from what the batch was made of"
        if self.strict:
            raise ConfigurationError(
                f"{text}: load it with the same, or read it anyway with Batch.load(…, strict=False)"
            )
        log.warning("%s", text)

    def _missing(self, found: BatchResults, status: BatchStatus) -> ProviderError:
        is_lost = found.has_all or found.problems
        if status.state == "expired" and not is_lost:
            text = "the batch expired before this request was run"
            return ProviderTimeoutError(text, provider=self._provider, code="expired")
        if status.state == "cancelled" and not is_lost:
            text = "the batch was cancelled before this request was run"
            return ProviderError(text, provider=self._provider, code="cancelled")
        text = "; ".join(("the results have no line for this input", *found.problems))
        return BadReplyError(text, provider=self._provider)
