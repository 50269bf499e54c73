"""Batches of the offline backend: answered at once, and kept in this process until it ends."""

from __future__ import annotations

import itertools
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from alloy.backends.batches import ApiCall, BatchLine, BatchReport, BatchResults, Steps
from alloy.backends.http.payload import parse_json, written
from alloy.batch_status import BatchStatus
from alloy.errors import BadRequestError, ProviderError
from alloy.jsontypes import JsonObject

__all__ = ["FakeBatches"]

KEPT = 100  # batches of a process

Answering = Callable[[JsonObject], Any]
"""Returns the answer to a body. Raises the errors of a provider."""

_batches: OrderedDict[str, list[BatchLine]] = OrderedDict()
_numbers = itertools.count(1)


class FakeBatches:
    """The batches of the fake backend *name*: what a call asks for is in its path, as over HTTP."""

    most_requests: int | None = None
    most_bytes: int | None = None
    id_pattern = re.compile(r"batch_\d+", re.ASCII)

    def __init__(self, name: str) -> None:
        self._name = name

    def entry(self, id: str, body: Mapping[str, Any]) -> bytes:
        """The body with its id."""
        return written(self._name, {"id": id, "body": body})

    def submit(self, entries: Sequence[bytes], like: Mapping[str, Any], name: str) -> Steps[str]:
        """Answer all *entries*, in their order."""
        content = b"".join((b"[", b",".join(entries), b"]"))
        id: str = yield ApiCall("POST", "batches", content, once=True)
        return id

    def report(self, id: str, requests: int | None) -> Steps[BatchReport]:
        """It has ended."""
        lines: list[BatchLine] = yield ApiCall("GET", f"batches/{id}")
        failed = sum(line.error is not None for line in lines)
        return BatchReport(
            BatchStatus("completed", len(lines), succeeded=len(lines) - failed, failed=failed), {}
        )

    def cancel(self, id: str) -> Steps[None]:
        """Nothing is left to be cancelled."""
        yield ApiCall("GET", f"batches/{id}")

    def results(self, id: str, report: BatchReport, requests: int) -> Steps[BatchResults]:
        """All answers."""
        lines: list[BatchLine] = yield ApiCall("GET", f"batches/{id}")
        return BatchResults(lines)

    def performed(self, call: ApiCall, answer: Answering) -> Any:
        """What the provider would say to *call*; *answer* answers requests."""
        if call.content is not None:
            return self._begin(call.content, answer)
        id = call.path.partition("/")[2]
        if id not in _batches:
            raise BadRequestError(
                f"the batch {id} is not known in this process, which offline batches do not outlive",
                provider=self._name,
                status=404,
            )
        return _batches[id]

    def _begin(self, content: bytes, answer: Answering) -> str:
        found: Any = parse_json(content)
        lines = [self._line(entry["id"], entry["body"], answer) for entry in found]
        id = f"batch_{next(_numbers)}"
        _batches[id] = lines
        while len(_batches) > KEPT:
            _batches.popitem(last=False)
        return id

    def _line(self, id: str, body: JsonObject, answer: Answering) -> BatchLine:
        try:
            return BatchLine(id, answer(body))
        except ProviderError as error:
            return BatchLine(id, error=error)
