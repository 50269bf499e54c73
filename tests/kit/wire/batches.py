"""The batch APIs of OpenAI, Anthropic and Gemini, each as a small service on a loopback server.

A service remembers the requests of a batch, and answers them as the test says when the batch has ended. It is
installed by `server.always`, so that a test may script other answers, which come first. Facts are from the
SDKs' own types and from the providers' guides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Literal
from urllib.parse import urlsplit

from kit.wire import anthropic, gemini, openai
from kit.wire.server import Answer, Received, WireServer, json_answer

KEY = "sk-test-1234567890"


@dataclass(frozen=True)
class Failed:
    """A request of a batch that the provider refused."""

    status: int
    message: str


Result = str | Failed | Literal["expired", "cancelled", "missing"]
"""What comes of a request: the text of its answer, or why there is none."""

EXPIRED: Any = ("expired",)
CANCELLED: Any = ("cancelled",)
MISSING: Any = ("missing",)


@dataclass
class Service:
    """What the three have in common. *results* has what comes of each request, in their order.

    *polls* is how often the batch is still running when it is asked for, and *end* how it ends: with the word
    of the provider, or `None` for the usual one. *mangled* changes the rows of the results.
    """

    server: WireServer
    results: list[Any] = field(default_factory=list)
    polls: int = 0
    end: str | None = None
    problem: str = ""
    mangled: Callable[[list[Any]], list[Any]] = field(default=lambda rows: rows)
    deleted: set[str] = field(default_factory=set)  # kinds of result files
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)  # id and body
    begun: int = 0
    cancelled: bool = False

    name = ""
    model = ""
    id = ""  # as the provider gives it

    def __post_init__(self) -> None:
        self.server.always = self.answer

    # --- what tests ask -----------------------------------------------------------------------------

    @property
    def batch_id(self) -> str:
        return f"{self.name}:{self.id}"

    def prompts(self) -> list[str]:
        """The prompt of each request."""
        return [self.prompt(body) for _, body in self.requests]

    def options(self) -> dict[str, Any]:
        """What reaches the service."""
        return {"model": f"{self.name}:{self.model}", "base_url": self.server.url + self.base, "api_key": KEY}

    # --- what a provider has ------------------------------------------------------------------------

    base = ""

    def routes(self) -> dict[str, Callable[[Received, re.Match[str]], Answer]]:
        """By `METHOD path` as a pattern: what answers it."""
        raise NotImplementedError

    def prompt(self, body: dict[str, Any]) -> str:
        raise NotImplementedError

    def refusal(self, status: int, message: str) -> Answer:
        raise NotImplementedError

    # --- what they share ----------------------------------------------------------------------------

    def answer(self, received: Received) -> Answer:
        if not any(KEY in value for value in received.headers.values()):
            return self.refusal(401, "wrong key")
        path = urlsplit(received.path).path
        for route, handler in self.routes().items():
            if found := re.fullmatch(route, f"{received.method} {path}"):
                return handler(received, found)
        return self.refusal(404, f"nothing is at {path}")

    def rows(self) -> list[Any]:
        found = zip(self.requests, self.results, strict=True)
        made = [self.row(id, result) for (id, _), result in found if result is not MISSING]
        return self.mangled(made)

    def row(self, id: str, result: Any) -> Any:
        raise NotImplementedError

    @property
    def has_ended(self) -> bool:
        """Whether the batch has ended at this look at it."""
        self.polls -= 1
        return self.polls < 0

    def counted(self) -> dict[str, int]:
        kinds = [
            "failed" if isinstance(each, Failed) else each[0] if isinstance(each, tuple) else "done"
            for each in self.results
        ]
        return {kind: kinds.count(kind) for kind in ("done", "failed", "expired", "cancelled", "missing")}


def json_lines(rows: list[Any]) -> bytes:
    """*rows* as the lines of a file; a `bytes` is a line as it is."""
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)


# --- OpenAI -------------------------------------------------------------------------------------------


class OpenAIService(Service):
    """Files and batches, for the Responses API."""

    name, model, id, base = "openai", "gpt-5.6", "batch_1", "/v1"
    endpoint = "/v1/responses"

    def routes(self) -> dict[str, Callable[[Received, re.Match[str]], Answer]]:
        return {
            "POST /v1/files": self._upload,
            "POST /v1/batches": self._begin,
            "GET /v1/batches/batch_1": lambda *_: json_answer(self._batch(ended=self.has_ended)),
            "POST /v1/batches/batch_1/cancel": self._cancel,
            "GET /v1/files/file-(out|err)/content": self._content,
        }

    def prompt(self, body: dict[str, Any]) -> str:
        return str(body["input"][0]["content"])

    def whole(self, text: str) -> dict[str, Any]:
        return openai.response(text=text)

    def refusal(self, status: int, message: str) -> Answer:
        return openai.failure(status, message)

    def _upload(self, received: Received, _: Any) -> Answer:
        form = read_form(received)
        assert form["purpose"] == ({}, b"batch")
        about, content = form["file"]
        assert about["filename"] == "batch.jsonl"
        self.uploaded = [json.loads(line) for line in content.splitlines()]
        return json_answer({"id": "file-in", "object": "file", "bytes": len(content), "purpose": "batch"})

    def _begin(self, received: Received, _: Any) -> Answer:
        asked = received.json
        assert (asked["input_file_id"], asked["endpoint"]) == ("file-in", self.endpoint)
        assert asked["completion_window"] == "24h"
        assert {(line["method"], line["url"]) for line in self.uploaded} == {("POST", self.endpoint)}
        self.begun += 1
        self.requests = [(line["custom_id"], line["body"]) for line in self.uploaded]
        return json_answer(self._batch(ended=False))

    def _cancel(self, received: Received, _: Any) -> Answer:
        self.cancelled = True
        return json_answer({**self._batch(ended=False), "status": "cancelling"})

    def _batch(self, *, ended: bool) -> dict[str, Any]:
        counts = self.counted()
        status = self.end or ("cancelled" if self.cancelled else "completed")
        batch: dict[str, Any] = {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "status": status if ended else "in_progress",
            "errors": None,
            "request_counts": {"total": len(self.requests), "completed": 0, "failed": 0},
        }
        if ended and self.problem:
            batch["errors"] = {"object": "list", "data": [{"line": 1, "message": self.problem}]}
        elif ended:
            batch["request_counts"] |= {"completed": counts["done"], "failed": counts["failed"]}
            batch |= {"output_file_id": "file-out", "error_file_id": "file-err"}
        return batch

    def _content(self, received: Received, found: re.Match[str]) -> Answer:
        if found[1] in self.deleted:
            return self.refusal(404, f"no such file: file-{found[1]}")
        # A line that a test has written itself is in the first file.
        rows = [row for row in self.rows() if _is_error(row) == (found[1] == "err")]
        return Answer([json_lines(rows)], headers={"content-type": "application/octet-stream"})

    def row(self, id: str, result: Any) -> Any:
        row: dict[str, Any] = {"id": f"batch_req_{id}", "custom_id": id, "response": None, "error": None}
        if isinstance(result, str):
            answer = self.whole(result)
            return {**row, "response": {"status_code": 200, "request_id": "req_1", "body": answer}}
        if isinstance(result, Failed):
            error = {"message": result.message, "type": "invalid_request_error", "code": None, "param": None}
            body = {"error": error}
            return {**row, "response": {"status_code": result.status, "request_id": "req_2", "body": body}}
        return {**row, "error": {"code": f"batch_{result[0]}", "message": "This request was not run."}}


def _is_error(row: Any) -> bool:
    if not isinstance(row, dict) or row["response"] is None:
        return isinstance(row, dict)
    return bool(row["response"]["status_code"] >= 400)


class ChatService(OpenAIService):
    """The same for Chat Completions."""

    name, endpoint = "openai-chat", "/v1/chat/completions"

    def prompt(self, body: dict[str, Any]) -> str:
        assert body["stream"] is False
        return str(body["messages"][0]["content"])

    def whole(self, text: str) -> dict[str, Any]:
        return openai.completion(text=text)


def read_form(received: Received) -> dict[str, tuple[dict[str, str], bytes]]:
    """The fields of a multipart body, read by Python: the other parameters of each, and its content."""
    head = f"content-type: {received.headers['content-type']}\r\n\r\n".encode()
    fields = {}
    for part in BytesParser(policy=HTTP).parsebytes(head + received.content).iter_parts():
        about = dict(part["content-disposition"].params)
        fields[about.pop("name")] = about, part.get_payload(decode=True)
    return fields


# --- Anthropic ----------------------------------------------------------------------------------------


class AnthropicService(Service):
    """Message batches."""

    name, model, id = "anthropic", "claude-sonnet-4-6", "msgbatch_1"

    def routes(self) -> dict[str, Callable[[Received, re.Match[str]], Answer]]:
        path = "/v1/messages/batches"
        return {
            f"POST {path}": self._begin,
            f"GET {path}/msgbatch_1": lambda *_: json_answer(self._batch(ended=self.has_ended)),
            f"POST {path}/msgbatch_1/cancel": self._cancel,
            f"GET {path}/msgbatch_1/results": self._content,
        }

    def prompt(self, body: dict[str, Any]) -> str:
        return str(body["messages"][0]["content"])

    def refusal(self, status: int, message: str) -> Answer:
        kind = {401: "authentication_error", 404: "not_found_error"}.get(status, "invalid_request_error")
        return json_answer(anthropic.error(kind, message), status=status)

    def _begin(self, received: Received, _: Any) -> Answer:
        self.begun += 1
        self.version = received.headers["anthropic-version"]
        self.requests = [(each["custom_id"], each["params"]) for each in received.json["requests"]]
        assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", id) for id, _ in self.requests)
        return json_answer(self._batch(ended=False))

    def _cancel(self, received: Received, _: Any) -> Answer:
        self.cancelled = True
        return json_answer({**self._batch(ended=False), "processing_status": "canceling"})

    def _batch(self, *, ended: bool) -> dict[str, Any]:
        names = ("succeeded", "errored", "expired", "canceled")
        counts = dict.fromkeys(("processing", *names), 0)
        if ended:
            found = self.counted()
            done = found["done"] + found["missing"], found["failed"], found["expired"], found["cancelled"]
            counts |= dict(zip(names, done, strict=True))
        else:
            counts["processing"] = len(self.requests)
        elsewhere = "https://api.example.com/results"  # the key must not go there
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": (self.end or "ended") if ended else "in_progress",
            "request_counts": counts,
            "results_url": elsewhere if ended else None,
        }

    def _content(self, received: Received, _: Any) -> Answer:
        if self.deleted:
            return self.refusal(404, "the results are not available any more")
        return Answer([json_lines(self.rows())], headers={"content-type": "application/x-jsonl"})

    def row(self, id: str, result: Any) -> Any:
        if isinstance(result, str):
            found = {"type": "succeeded", "message": anthropic.message(text=result)}
        elif isinstance(result, Failed):
            kind = {400: "invalid_request_error", 404: "not_found_error", 429: "rate_limit_error"}[
                result.status
            ]
            found = {"type": "errored", "error": anthropic.error(kind, result.message)}
        else:
            found = {"type": {"cancelled": "canceled"}.get(result[0], result[0])}
        return {"custom_id": id, "result": found}


# --- Gemini -------------------------------------------------------------------------------------------


class GeminiService(Service):
    """Batch mode with inlined requests."""

    name, model, id = "gemini", "gemini-3-flash-preview", "batches/b1"
    in_file = False  # whether the results are in a file, and not in the batch

    def routes(self) -> dict[str, Callable[[Received, re.Match[str]], Answer]]:
        return {
            f"POST /v1(beta)?/models/{self.model}:batchGenerateContent": self._begin,
            "GET /v1(beta)?/batches/b1": lambda *_: json_answer(self._batch(ended=self.has_ended)),
            "POST /v1(beta)?/batches/b1:cancel": self._cancel,
            "GET /v1(beta)?/files/f1:download": self._content,
        }

    def prompt(self, body: dict[str, Any]) -> str:
        assert "model" not in body
        return str(body["contents"][0]["parts"][0]["text"])

    def refusal(self, status: int, message: str) -> Answer:
        return gemini.failure(status, message)

    def _begin(self, received: Received, _: Any) -> Answer:
        self.begun += 1
        batch = received.json["batch"]
        assert batch["displayName"]
        each = batch["inputConfig"]["requests"]["requests"]
        self.requests = [(one["metadata"]["key"], one["request"]) for one in each]
        return json_answer(self._batch(ended=False))

    def _cancel(self, received: Received, _: Any) -> Answer:
        self.cancelled = True
        return json_answer({})

    def _batch(self, *, ended: bool) -> dict[str, Any]:
        total, counts = len(self.requests), self.counted()
        word = self.end or ("CANCELLED" if self.cancelled else "SUCCEEDED")
        stats = {"requestCount": str(total), "pendingRequestCount": str(total)}
        metadata = {"state": f"BATCH_STATE_{word if ended else 'RUNNING'}", "batchStats": stats}
        found: dict[str, Any] = {"name": self.id, "metadata": metadata}
        if ended:
            stats |= {"successfulRequestCount": str(counts["done"] + counts["missing"])}
            stats |= {"failedRequestCount": str(counts["failed"])}
            stats |= {"pendingRequestCount": str(counts["expired"] + counts["cancelled"])}
            found["done"] = True
            if self.problem:
                found["error"] = {"code": 3, "message": self.problem, "status": "INVALID_ARGUMENT"}
            elif self.in_file:
                metadata["output"] = {"responsesFile": "files/f1"}
            elif not self.deleted:
                metadata["output"] = {"inlinedResponses": {"inlinedResponses": self.rows()}}
        return found

    def _content(self, received: Received, _: Any) -> Answer:
        assert received.path.endswith("?alt=media")
        if self.deleted:
            return self.refusal(403, "You do not have permission to access the File f1 or it may not exist.")
        rows = [{"key": row.pop("metadata")["key"], **row} for row in self.rows()]
        return Answer([json_lines(rows)], headers={"content-type": "application/octet-stream"})

    def rows(self) -> list[Any]:
        return [row for row in super().rows() if row is not None]

    def row(self, id: str, result: Any) -> Any:
        row: dict[str, Any] = {"metadata": {"key": id}}
        if isinstance(result, str):
            return {**row, "response": gemini.content(text=result)}
        if isinstance(result, Failed):
            return {**row, "error": {"code": result.status, "message": result.message}}
        return None  # a request that was not run has no row


SERVICES: tuple[type[Service], ...] = (OpenAIService, ChatService, AnthropicService, GeminiService)
