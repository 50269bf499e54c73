"""What a provider's batch API is: the requests that it needs, one after the other, and how answers are read.

A `BatchApi` is pure. Each of its operations is a generator (`Steps`) that yields an `ApiCall`, is sent the
parsed answer, or has the error thrown into it, and returns what it found out. The engine has the calls
performed by the backend (`perform`, `perform_async`), and repeats those that failed.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from typing_extensions import TypeVar

from alloy.backends.base import Backend, CancelToken
from alloy.batch_status import BatchState, BatchStatus
from alloy.endpoints import Endpoint
from alloy.errors import BadReplyError, BadRequestError, ProviderError, UnsupportedError
from alloy.excerpts import excerpt
from alloy.jsontypes import Json, JsonObject
from alloy.logger import log

__all__ = [
    "ApiCall",
    "BatchApi",
    "BatchBackend",
    "BatchLine",
    "BatchReport",
    "BatchResults",
    "Rows",
    "Steps",
    "about",
    "count",
    "id_in",
    "lines_of",
    "no_batch_api",
    "not_a_batch",
    "object_in",
    "state_named",
    "without_answer",
]

T = TypeVar("T", default=Any)


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One request to a provider's API, apart from asking a model.

    *path* is relative to the base URL. *content* is the body, if there is one. The answer is a JSON object,
    or with *rows* a file with one in each line, a `Rows`. *like* is the body of a model request
    whose headers the call needs. *answers* is how many answers of a model the body may have, each as large as
    `max_response_bytes`. *once* says that the call must not be repeated unless it is certain that the
    provider did not accept it.
    """

    method: Literal["GET", "POST"]
    path: str
    content: bytes | None = None
    content_type: str = "application/json"
    rows: bool = False
    like: Mapping[str, Any] = field(default_factory=dict)
    answers: int = 1
    once: bool = False


class Rows(NamedTuple):
    """The objects in the lines of a file, and how many other lines it has."""

    found: list[JsonObject]
    unreadable: int = 0


Steps: TypeAlias = Generator[ApiCall, Any, T]


class BatchReport(NamedTuple):
    """How far a batch is, and the provider's own object of it."""

    status: BatchStatus
    raw: JsonObject


class BatchLine(NamedTuple):
    """What came of one request: an *answer* for `Backend.decode`, or an *error*."""

    id: str
    answer: Json = None
    error: ProviderError | None = None


class BatchResults(NamedTuple):
    """What came of the requests of a batch, in any order, and why some may be missing.

    *has_all* says that the provider gives a line for each request, also for those that were not run.
    """

    lines: list[BatchLine]
    problems: tuple[str, ...] = ()
    has_all: bool = False


class BatchApi(Protocol):
    """How batches of one provider are sent, watched and read. Safe to share: it has no state of a batch."""

    most_requests: int | None
    """How many requests a batch may have."""

    most_bytes: int | None
    """How large they may be together, as they are sent."""

    id_pattern: re.Pattern[str]
    """What the provider's ids look like, because they become parts of paths."""

    def entry(self, id: str, body: Mapping[str, Any]) -> bytes:
        """The request *body* as a part of a batch; its result will have the same *id*."""

    def submit(self, entries: Sequence[bytes], like: Mapping[str, Any], name: str) -> Steps[str]:
        """Begin a batch of *entries*; its id. *like* is one of the bodies, *name* for people."""

    def report(self, id: str, requests: int | None) -> Steps[BatchReport]:
        """How far the batch *id* is, which has *requests* requests, if that is known."""

    def cancel(self, id: str) -> Steps[None]:
        """Ask the provider to run no further requests."""

    def results(self, id: str, report: BatchReport, requests: int) -> Steps[BatchResults]:
        """What came of the *requests* requests, after the end that *report* shows."""


class BatchBackend(Backend, Protocol):
    """A backend whose provider has a batch API, unless *batches* is `None`."""

    batches: BatchApi | None

    def entry_body(self, body: Mapping[str, Any], endpoint: Endpoint) -> Mapping[str, Any]:
        """The *body* of `encode`, as it is sent in a batch to *endpoint*. Raises `ConfigurationError`."""

    def perform(self, call: ApiCall, endpoint: Endpoint, cancel: CancelToken) -> Any:
        """Send *call* and return the parsed answer. Raises as `send` does."""

    async def perform_async(self, call: ApiCall, endpoint: Endpoint) -> Any:
        """As `perform`. Cancelling it ends the request."""


# --- what the providers share -------------------------------------------------------------------------


def state_named(states: Mapping[str, BatchState], word: Json, provider: str) -> BatchState:
    """The state that a provider's *word* stands for. An unknown word is no end, so waiting goes on."""
    found = states.get(word) if isinstance(word, str) else None
    if found is None:
        log.warning(
            "%s: the batch has the unknown state %s; it counts as running", provider, excerpt(word, 80)
        )
        return "running"
    return found


def count(found: Json) -> int:
    """A number of requests, which Google writes as text; 0 for anything else."""
    if isinstance(found, str) and found.isdecimal():
        return int(found[:15])
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else 0


def object_in(found: Json, name: str) -> JsonObject:
    """The object *name* of *found*; an empty one if there is none."""
    inner = found.get(name) if isinstance(found, dict) else None
    return inner if isinstance(inner, dict) else {}


def id_in(found: JsonObject, name: str, pattern: re.Pattern[str], provider: str) -> str:
    """The id *name* of *found*, which becomes part of a path. Raises `BadReplyError` for what is none."""
    if not isinstance(id := found.get(name), str) or not pattern.fullmatch(id):
        raise not_a_batch(found, provider)
    return id


def about(id: str, call: ApiCall, provider: str) -> Steps[JsonObject]:
    """The answer to *call*, which is about the batch *id*."""
    try:
        found: JsonObject = yield call
    except ProviderError as error:
        raise unknown_batch(error, id, provider) from error
    return found


def lines_of(
    call: ApiCall, file: str, gone: str, *statuses: int
) -> Steps[tuple[list[JsonObject], list[str]]]:
    """The objects in the lines of *file*, for which *call* asks, and what is wrong with it.

    *gone* is said of a file that was deleted, which *statuses* mean.
    """
    try:
        rows: Rows = yield call
    except ProviderError as error:
        if error.status not in statuses:
            raise
        return [], [f"{gone} ({error})"]
    return rows.found, [f"{rows.unreadable} lines of {file} are not JSON"] if rows.unreadable else []


def without_answer(id: str, provider: str) -> BatchLine:
    """A result that says nothing."""
    text = "the result has neither an answer nor an error"
    return BatchLine(id, error=BadReplyError(text, provider=provider))


def no_batch_api(error: ProviderError, provider: str) -> ProviderError:
    """*error* of the request that begins a batch; a server that does not have the path has no batch API."""
    if error.status not in (404, 405, 501) or error.code == "model_not_found":
        return error
    text = f"the server has no batch API, or not at this address: make single calls instead ({error})"
    return _same_exchange(UnsupportedError(text, feature="batches", provider=provider), error)


def unknown_batch(error: ProviderError, id: str, provider: str) -> ProviderError:
    """*error* of a request about the batch *id*, which the provider may not know."""
    if error.status not in (404, 410):
        return error
    text = f"the provider does not know the batch {id}, at this address and for this key ({error})"
    return _same_exchange(BadRequestError(text, provider=provider), error)


def _same_exchange(made: ProviderError, error: ProviderError) -> ProviderError:
    """*made* with the marks of *error*, which its message has already."""
    made.status, made.code, made.request_id = error.status, error.code, error.request_id
    return made


def not_a_batch(raw: Json, provider: str) -> BadReplyError:
    """The error for *raw*, which should describe a batch."""
    return BadReplyError(
        f"the answer does not describe a batch: {excerpt(raw, 200)}", provider=provider, transient=False
    )
