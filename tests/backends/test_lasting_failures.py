"""A failure that the same request would meet again is never transient, whatever its status is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from kit.apis import CHAT, OLLAMA, RESPONSES, Api, every_api, every_mode, sync_modes
from kit.wire import Answer, WireServer, json_answer, sse
from kit.wire.ollama import ndjson

from alloy import Image, ask
from alloy.errors import BadRequestError, ProviderError, RateLimitError, ServerError

LASTING = [
    "the request exceeds the available context size, try increasing it",
    "This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens.",
    "context length of 4096 tokens exceeded",
    "Error rendering prompt with jinja template: Conversation roles must alternate user/assistant",
    "template: :3:12: executing: nil pointer evaluating interface",
    "model requires more system memory (9 GiB) than is available (4 GiB)",
    "unable to load model: /models/blobs/sha256-1",
    "error loading model: unknown model architecture: 'hologram'",
    "failed to parse grammar",
    "Unrecognized schema: {}",
]


@every_api
@every_mode
@pytest.mark.parametrize("message", LASTING, ids=lambda message: message[:24])
def test_what_lasts_is_not_bought_again(server: WireServer, api: Api, mode: str, message: str) -> None:
    """Servers report it with a status of 500."""
    server.script(api.failure(500, message, None))
    with pytest.raises(ProviderError, match=r".") as caught:
        api.ask(mode, server, retry=2)

    assert message[:20] in str(caught.value)
    assert not caught.value.transient
    assert len(server.requests) == 1


@every_api
@every_mode
@pytest.mark.parametrize(
    "message", ["Internal error", "the runner stopped", "could not schedule the context"]
)
def test_other_failures_of_a_server_are_transient(
    server: WireServer, api: Api, mode: str, message: str
) -> None:
    """Another try may succeed."""
    server.script(api.failure(500, message, None))
    with pytest.raises(ServerError) as caught:
        api.talk(mode, server)

    assert caught.value.transient


BLIND = [
    "this model is missing data required for image input",
    "model is not multimodal",
    "clip is not loaded",
    "messages[0].content must be a string",
    "the model cannot process images",
    "only text content is supported",
    "does not have vision capabilities",
]
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489") + bytes(20)


@every_api
@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize("message", BLIND)
def test_a_model_without_vision_is_asked_once(
    server: WireServer, api: Api, message: str, status: int
) -> None:
    """Whatever the status of the server is; the words are those of any server."""
    shown = json_answer({"capabilities": ["completion", "vision"]})
    server.always = lambda request: shown if "show" in request.path else api.failure(status, message, None)
    with pytest.raises(BadRequestError, match="vision") as caught:
        ask(["What?", Image.from_bytes(PNG, "image/png")], **{**api.options(server), "retry": 2})
    assert not caught.value.transient
    assert len([request for request in server.requests if "show" not in request.path]) == 1


NAMED: list[tuple[dict[str, Any], type[ProviderError]]] = [
    ({"code": "content_filter", "message": "The response was filtered."}, BadRequestError),
    ({"code": "content_policy_violation", "message": "Blocked."}, BadRequestError),
    ({"type": "request_too_large", "message": "Too large."}, BadRequestError),
    ({"type": "payload_too_large", "message": "Too large."}, BadRequestError),
    ({"code": "insufficient_quota", "message": "You exceeded your quota."}, RateLimitError),
    ({"code": "insufficient_user_quota", "message": "No quota."}, RateLimitError),
    ({"type": "insufficient_balance", "message": "No balance."}, ProviderError),
]


@every_api
@sync_modes
@pytest.mark.parametrize(("error", "kind"), NAMED, ids=str)
def test_the_name_of_an_error_says_that_it_lasts(
    server: WireServer, api: Api, mode: str, error: dict[str, Any], kind: type[ProviderError]
) -> None:
    """In an answer with status 200, whole or a stream, whoever uses the name."""
    server.script(failed(api, mode, error))
    with pytest.raises(kind) as caught:
        api.ask(mode, server, retry=2)
    assert not caught.value.transient
    assert caught.value.code in error.values()
    assert len(server.requests) == 1


def failed(api: Api, mode: str, error: dict[str, Any]) -> Answer:
    if mode.startswith("send"):
        return json_answer({"error": error})
    return ndjson([{"error": error}]) if api is OLLAMA else sse([{"error": error}])


@every_mode
def test_a_response_that_failed_lasts_by_its_error(server: WireServer, mode: str) -> None:
    """As Azure says that its filter has stopped the answer."""
    error = {"code": "content_filter", "message": "The response was filtered."}
    response = {"status": "failed", "error": error, "output": []}
    whole = mode.startswith("send")
    server.script(
        json_answer(response) if whole else sse([{"type": "response.failed", "response": response}])
    )
    with pytest.raises(BadRequestError, match="filtered") as caught:
        RESPONSES.ask(mode, server, retry=2)
    assert not caught.value.transient


@every_api
def test_an_empty_account_lasts(server: WireServer, api: Api) -> None:
    """No wait fills it, although the status is that of too many requests."""
    body = {"error": {"type": "insufficient_quota", "code": "insufficient_quota", "message": "Pay."}}
    server.script(Answer([json_answer(body).body[0]], 429, {"content-type": "application/json"}))
    with pytest.raises(RateLimitError, match="Pay") as caught:
        api.ask("send", server, retry=2)
    assert not caught.value.transient


@dataclass
class Size:
    width: int


@pytest.mark.parametrize("api", [CHAT, RESPONSES], ids=repr)
@pytest.mark.parametrize(
    "message",
    [
        "Schema too complex",
        "grammar is too complex to compile",
        "the schema exceeds the maximum nesting depth",
    ],
)
def test_a_schema_that_is_too_complex_is_prompted(server: WireServer, api: Api, message: str) -> None:
    """As at Anthropic and Gemini: for that type only."""

    def answer(request: Any) -> Answer:
        is_native = "json_schema" in request.content.decode()
        return api.failure(400, message, None) if is_native else api.answer("send", '{"width": 1}')

    server.always = answer
    result = ask.run("?", output=Size, **api.options(server))
    assert (result.value, result.downgrades) == (Size(1), ("output",))
