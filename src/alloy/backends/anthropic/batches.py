"""Anthropic's Message Batches API: the requests are sent in one body, and results are a file of lines.

Facts are from https://docs.claude.com/en/docs/build-with-claude/batch-processing, and from the types of the
SDK 2.12. Results are kept for 29 days.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from alloy.backends.anthropic.errors import ERRORS, NAME
from alloy.backends.batches import (
    ApiCall,
    BatchLine,
    BatchReport,
    BatchResults,
    Steps,
    about,
    count,
    id_in,
    lines_of,
    no_batch_api,
    object_in,
    state_named,
    without_answer,
)
from alloy.backends.http.errors import ErrorBody, Failure
from alloy.backends.http.payload import written
from alloy.batch_status import BatchState, BatchStatus
from alloy.errors import ProviderError, ProviderTimeoutError
from alloy.jsontypes import JsonObject

__all__ = ["AnthropicBatches"]

PATH = "/v1/messages/batches"

STATES: Mapping[str, BatchState] = {
    "in_progress": "running",
    "canceling": "cancelling",
    "ended": "completed",
}


class AnthropicBatches:
    """The batches of the Messages API."""

    most_requests: int | None = 100_000
    most_bytes: int | None = 256_000_000
    id_pattern = re.compile(r"[\w-]{1,200}", re.ASCII)

    def entry(self, id: str, body: Mapping[str, Any]) -> bytes:
        """An element of the list of requests."""
        return written(NAME, {"custom_id": id, "params": body})

    def submit(self, entries: Sequence[bytes], like: Mapping[str, Any], name: str) -> Steps[str]:
        """Begin the batch, in one request. The API has no place for a name."""
        content = b"".join((b'{"requests":[', b",".join(entries), b"]}"))
        try:
            batch = yield ApiCall("POST", PATH, content, like=like, once=True)
        except ProviderError as error:
            raise no_batch_api(error, NAME) from error
        return _id_in(batch)

    def report(self, id: str, requests: int | None) -> Steps[BatchReport]:
        """The batch object."""
        batch = yield from about(id, ApiCall("GET", f"{PATH}/{id}"), NAME)
        return BatchReport(_status(batch), batch)

    def cancel(self, id: str) -> Steps[None]:
        """Requests that run are finished."""
        yield from about(id, ApiCall("POST", f"{PATH}/{id}/cancel"), NAME)

    def results(self, id: str, report: BatchReport, requests: int) -> Steps[BatchResults]:
        """The lines of the file, by its documented path: the key goes to no address that an answer names."""
        call = ApiCall("GET", f"{PATH}/{id}/results", rows=True, answers=requests)
        rows, problems = yield from lines_of(call, "the results", "the results were deleted", 404, 410)
        return BatchResults(list(map(_line, rows)), tuple(problems), has_all=True)


def _status(batch: JsonObject) -> BatchStatus:
    _id_in(batch)
    state = state_named(STATES, batch.get("processing_status"), NAME)
    numbers = object_in(batch, "request_counts")
    names = ("processing", "succeeded", "errored", "expired", "canceled")
    pending, succeeded, failed, expired, cancelled = (count(numbers.get(name)) for name in names)
    if state == "completed" and (expired or cancelled):
        state = "cancelled" if cancelled else "expired"
    total = pending + succeeded + failed + expired + cancelled
    return BatchStatus(state, total, pending, succeeded, failed, expired, cancelled)


def _id_in(batch: JsonObject) -> str:
    return id_in(batch, "id", AnthropicBatches.id_pattern, NAME)


def _line(row: JsonObject) -> BatchLine:
    id, result = str(row.get("custom_id")), row.get("result")
    match result:
        case {"type": "succeeded", "message": dict(message)}:
            return BatchLine(id, message)
        case {"type": "errored", "error": error}:
            found = error.get("request_id") if isinstance(error, dict) else None
            request_id = found if isinstance(found, str) else None
            failure = Failure(ErrorBody.read(error), request_id=request_id)
            return BatchLine(id, error=ERRORS.explain(failure))
        case {"type": "expired"}:
            text = "the batch expired before this request was run"
            return BatchLine(id, error=ProviderTimeoutError(text, provider=NAME, code="expired"))
        case {"type": "canceled"}:
            text = "the batch was cancelled before this request was run"
            return BatchLine(id, error=ProviderError(text, provider=NAME, code="canceled"))
        case _:
            return without_answer(id, NAME)
