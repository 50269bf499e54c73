"""Gemini's batch mode: the requests are sent in one body; the finished batch has the answers or names a file.

Facts are from https://ai.google.dev/api/batch-mode, and from `batches.py` of the SDK 3.4. Google Cloud reads
batches from its own storage instead, which needs another account and another format.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

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
from alloy.backends.gemini.errors import ERRORS, NAME
from alloy.backends.http.errors import ErrorBody, Failure
from alloy.backends.http.payload import written
from alloy.batch_status import BatchState, BatchStatus
from alloy.errors import ProviderError
from alloy.jsontypes import Json, JsonObject

__all__ = ["GeminiBatches"]

# The words follow BATCH_STATE_ in answers, and JOB_STATE_ in the SDK.
STATES: Mapping[str, BatchState] = {
    "UNSPECIFIED": "queued",
    "QUEUED": "queued",
    "PENDING": "queued",
    "RUNNING": "running",
    "PAUSED": "running",
    "UPDATING": "running",
    "CANCELLING": "cancelling",
    "SUCCEEDED": "completed",
    "PARTIALLY_SUCCEEDED": "completed",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
    "EXPIRED": "expired",
}
_PREFIX = re.compile("(BATCH|JOB)_STATE_")
_FILE = re.compile(r"files/[\w-]{1,200}", re.ASCII)

ANSWERS = 1_000  # that a finished batch may hold, if their number is not known


class GeminiBatches:
    """The batches of the Gemini API."""

    most_requests: int | None = None
    most_bytes: int | None = 20_000_000  # of requests in the body itself
    id_pattern = re.compile(r"batches/[\w-]{1,200}", re.ASCII)

    def entry(self, id: str, body: Mapping[str, Any]) -> bytes:
        """An element of the list of requests."""
        return written(NAME, {"request": body, "metadata": {"key": id}})

    def submit(self, entries: Sequence[bytes], like: Mapping[str, Any], name: str) -> Steps[str]:
        """Begin the batch, in one request."""
        head = written(NAME, {"displayName": name[:120]}).removesuffix(b"}")
        inputs = (b',"inputConfig":{"requests":{"requests":[', b",".join(entries), b"]}}}}")
        content = b"".join((b'{"batch":', head, *inputs))
        model = str(like.get("model"))
        path = f"{model if '/' in model else f'models/{model}'}:batchGenerateContent"
        try:
            batch = yield ApiCall("POST", path, content, once=True)
        except ProviderError as error:
            raise no_batch_api(error, NAME) from error
        return _id_in(batch)

    def report(self, id: str, requests: int | None) -> Steps[BatchReport]:
        """The operation; its metadata are the batch, with the answers when it has ended."""
        batch = yield from about(id, ApiCall("GET", id, answers=requests or ANSWERS), NAME)
        return BatchReport(_status(batch), batch)

    def cancel(self, id: str) -> Steps[None]:
        """Requests that run are finished."""
        yield from about(id, ApiCall("POST", f"{id}:cancel"), NAME)

    def results(self, id: str, report: BatchReport, requests: int) -> Steps[BatchResults]:
        """The answers in *report*, or in the file that it names."""
        found, problems = _inlined(report.raw), list[str]()
        file = _output(report.raw).get("responsesFile")
        if not found and isinstance(file, str) and _FILE.fullmatch(file):
            call = ApiCall("GET", f"{file}:download?alt=media", rows=True, answers=requests)
            gone = f"the file {file} with results was deleted"
            # 403 is what Google says of files that are gone.
            rows, problems = yield from lines_of(call, f"the file {file}", gone, 403, 404, 410)
            found = [*rows]
        each = [row for row in found if isinstance(row, dict)]
        if len(each) < len(found):
            problems.append(f"{len(found) - len(each)} results are not objects")
        return BatchResults([_line(row) for row in each], tuple(problems))


def _output(batch: JsonObject) -> JsonObject:
    """Where the answers are: in the metadata, as the SDK reads them, or in the operation's response."""
    return object_in(object_in(batch, "metadata"), "output") or object_in(batch, "response")


def _inlined(batch: JsonObject) -> list[Json]:
    found: Json = _output(batch).get("inlinedResponses")
    if isinstance(found, dict):
        found = found.get("inlinedResponses")
    return found if isinstance(found, list) else []


def _status(batch: JsonObject) -> BatchStatus:
    _id_in(batch)
    metadata = object_in(batch, "metadata")
    word = metadata.get("state", batch.get("state"))
    state = state_named(STATES, _PREFIX.sub("", word) if isinstance(word, str) else word, NAME)
    stats = object_in(metadata, "batchStats")
    names = ("requestCount", "pendingRequestCount", "successfulRequestCount", "failedRequestCount")
    total, pending, succeeded, failed = (count(stats.get(name)) for name in names)
    rest = max(0, total - pending - succeeded - failed)
    left = {}
    if state in ("expired", "cancelled"):
        left, pending = {state: rest + pending}, 0
    else:
        pending += rest
    problem = ErrorBody.read(batch["error"]).message if batch.get("error") else ""
    return BatchStatus(state, total, pending, succeeded, failed, problem=problem, **left)


def _id_in(batch: JsonObject) -> str:
    return id_in(batch, "name", GeminiBatches.id_pattern, NAME)


def _line(row: JsonObject) -> BatchLine:
    id = str(object_in(row, "metadata").get("key", row.get("key")))  # in a file next to the answer
    if isinstance(answer := row.get("response"), dict):
        return BatchLine(id, answer)
    if problem := row.get("error") or row.get("status"):
        return BatchLine(id, error=ERRORS.explain(Failure(ErrorBody.read(problem))))
    return without_answer(id, NAME)
