"""OpenAI's batch API: a file with a request in each line is uploaded, and answers come back as another one.

Facts are from https://developers.openai.com/api/docs/guides/batch, and from the types of the SDK 3.54. Some
compatible servers have the same API.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
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
    not_a_batch,
    object_in,
    state_named,
    without_answer,
)
from alloy.backends.http.errors import ErrorBody, ErrorReader, Failure
from alloy.backends.http.payload import written
from alloy.batch_status import BatchState, BatchStatus
from alloy.errors import ConfigurationError, ProviderError, ProviderTimeoutError
from alloy.jsontypes import Json, JsonObject

__all__ = ["OpenAIBatches"]

STATES: Mapping[str, BatchState] = {
    "validating": "queued",
    "in_progress": "running",
    "finalizing": "running",
    "completed": "completed",
    "failed": "failed",
    "expired": "expired",
    "cancelling": "cancelling",
    "cancelled": "cancelled",
}

# The codes of lines in the file of errors that say that a request was not run.
NOT_RUN = {
    "batch_expired": "the batch expired before this request was run",
    "batch_cancelled": "the batch was cancelled before this request was run",
}

_FILE_ID = re.compile(r"[\w.-]{1,200}", re.ASCII)


class OpenAIBatches:
    """The batches of one of OpenAI's two APIs, whose requests go to *endpoint*."""

    most_requests: int | None = 50_000
    most_bytes: int | None = 200_000_000
    id_pattern = re.compile(r"[\w-]{1,200}", re.ASCII)

    def __init__(self, endpoint: str, errors: ErrorReader) -> None:
        self._endpoint, self._errors, self._name = endpoint, errors, errors.provider

    def entry(self, id: str, body: Mapping[str, Any]) -> bytes:
        """A line of the file."""
        line = {"custom_id": id, "method": "POST", "url": self._endpoint, "body": body}
        return written(self._name, line)

    def submit(self, entries: Sequence[bytes], like: Mapping[str, Any], name: str) -> Steps[str]:
        """Upload the file, which may be done twice, and begin the batch, which may not."""
        content, content_type = _form(b"\n".join((*entries, b"")))
        try:
            file = yield ApiCall("POST", "/files", content, content_type)
            order = {
                "input_file_id": self._id_in(file),
                "endpoint": self._endpoint,
                "completion_window": "24h",
                "metadata": {"alloy": name[:512]},
            }
            batch = yield ApiCall("POST", "/batches", written(self._name, order), once=True)
        except ProviderError as error:
            raise no_batch_api(error, self._name) from error
        return self._id_in(batch)

    def report(self, id: str, requests: int | None) -> Steps[BatchReport]:
        """The batch object."""
        batch = yield from about(id, ApiCall("GET", f"/batches/{id}"), self._name)
        return BatchReport(self._status(batch), batch)

    def cancel(self, id: str) -> Steps[None]:
        """Cancelling takes up to ten minutes."""
        yield from about(id, ApiCall("POST", f"/batches/{id}/cancel"), self._name)

    def results(self, id: str, report: BatchReport, requests: int) -> Steps[BatchResults]:
        """The lines of both files: answers, and errors."""
        batch, lines, problems = report.raw, list[BatchLine](), list[str]()
        if (made_for := batch.get("endpoint")) != self._endpoint:
            raise ConfigurationError(
                f"the batch {id} has requests to {made_for}, and {self._name} sends them to {self._endpoint}"
            )
        for name in ("output_file_id", "error_file_id"):
            file = batch.get(name)
            if not isinstance(file, str):
                continue
            if not _FILE_ID.fullmatch(file):
                raise not_a_batch(batch, self._name)
            call = ApiCall("GET", f"/files/{file}/content", rows=True, answers=requests)
            gone = f"the file {file} with results was deleted"
            rows, lost = yield from lines_of(call, f"the file {file}", gone, 404, 410)
            lines += map(self._line, rows)
            problems += lost
        return BatchResults(lines, tuple(problems))

    def _status(self, batch: JsonObject) -> BatchStatus:
        self._id_in(batch)
        state = state_named(STATES, batch.get("status"), self._name)
        numbers = object_in(batch, "request_counts")
        total, done, failed = (count(numbers.get(name)) for name in ("total", "completed", "failed"))
        rest = max(0, total - done - failed)
        open_or_not = state if state in ("expired", "cancelled") else "pending"
        if state in ("completed", "failed"):
            failed, rest = failed + rest, 0
        left = {open_or_not: rest} if rest else {}
        return BatchStatus(
            state, total, succeeded=done, failed=failed, problem=_problems(batch.get("errors")), **left
        )

    def _id_in(self, found: JsonObject) -> str:
        return id_in(found, "id", _FILE_ID, self._name)

    def _line(self, row: JsonObject) -> BatchLine:
        id, found, error = str(row.get("custom_id")), object_in(row, "response"), row.get("error")
        if isinstance(error, dict) and (why := NOT_RUN.get(str(error.get("code")))) is not None:
            kind = ProviderTimeoutError if error["code"] == "batch_expired" else ProviderError
            return BatchLine(id, error=kind(why, provider=self._name, code=error["code"]))
        if error:
            return BatchLine(id, error=self._error(error, None, None))
        status, answer = found.get("status_code"), found.get("body")
        if isinstance(status, int) and status >= 400:
            return BatchLine(id, error=self._error(answer, status, found.get("request_id")))
        if answer is None:
            return without_answer(id, self._name)
        return BatchLine(id, answer)

    def _error(self, body: Json, status: int | None, request_id: Json) -> ProviderError:
        shown = request_id if isinstance(request_id, str) else None
        return self._errors.explain(Failure(ErrorBody.read(body), status, request_id=shown))


def _form(lines: bytes) -> tuple[bytes, str]:
    """A form with the file *lines*, and its content type (RFC 7578)."""
    boundary = f"alloy-{sha256(lines).hexdigest()}"  # is not part of what it is a digest of
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="batch.jsonl"\r\n'
        "Content-Type: application/jsonl\r\n\r\n"
    )
    content = b"".join((head.encode(), lines, f"\r\n--{boundary}--\r\n".encode()))
    return content, f"multipart/form-data; boundary={boundary}"


def _problems(errors: Json) -> str:
    """What the provider says of a file that it refused: a message for each line."""
    found = errors.get("data") if isinstance(errors, dict) else None
    shown = []
    for each in found if isinstance(found, list) else ():
        if isinstance(each, dict):
            line = f"line {each['line']}: " if each.get("line") is not None else ""
            shown.append(f"{line}{each.get('message') or json.dumps(each)}")
    return "; ".join(shown[:10])
