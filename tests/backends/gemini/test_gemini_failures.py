"""Errors that only Gemini has."""

from __future__ import annotations

from typing import Any

import pytest
from kit.talking import KEY, MODES, talk
from kit.wire import WireServer, json_answer
from kit.wire import gemini as says

from alloy.backends.gemini.content import GeminiBackend
from alloy.endpoints import Endpoint
from alloy.errors import (
    AuthenticationError,
    BadRequestError,
    ModelNotFoundError,
    RateLimitError,
    ServerError,
    UnsupportedError,
)
from alloy.messages import Request, User

GEMINI = GeminiBackend()
MODEL = "gemini-3-flash-preview"

every_mode = pytest.mark.parametrize("mode", MODES)


def at(server: WireServer, **changes: Any) -> Endpoint:
    return Endpoint(**{"base_url": server.url, "api_key": KEY, "timeout": 20.0, **changes})


def ask(mode: str, endpoint: Endpoint) -> Any:
    return talk(GEMINI, mode, endpoint, GEMINI.encode(Request(MODEL, (User("Hello"),))))


@every_mode
def test_the_status_word_of_an_error_is_its_code(server: WireServer, mode: str) -> None:
    """There are several for one status."""
    server.script(says.failure(400, "That went wrong.", "FAILED_PRECONDITION"))
    with pytest.raises(BadRequestError, match=r"That went wrong\.") as caught:
        ask(mode, at(server))

    assert (caught.value.status, caught.value.code) == (400, "FAILED_PRECONDITION")


@every_mode
def test_an_error_of_a_stream_comes_in_a_list(server: WireServer, mode: str) -> None:
    """Google wraps the errors of streams; the header's request id counts where no detail has one."""
    error = {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}
    server.script(json_answer([{"error": error}], status=503, x_request_id="req_2"))
    with pytest.raises(ServerError, match=r"The model is overloaded\. \(status 503, request req_2\)"):
        ask(mode, at(server))


@every_mode
@pytest.mark.parametrize(
    ("details", "headers", "seconds"),
    [
        ([{"@type": "RetryInfo", "retryDelay": "34.5s"}], {}, 34.5),
        ([{"@type": "RetryInfo", "retryDelay": "34.5s"}], {"retry-after": "7"}, 7.0),
        ([{"@type": "RetryInfo", "retryDelay": "soon"}], {}, None),
        ([{"@type": "RetryInfo", "retryDelay": 3}], {}, None),
    ],
)
def test_how_long_to_wait_is_read(
    server: WireServer, mode: str, details: Any, headers: dict[str, str], seconds: float | None
) -> None:
    """From the header, or from the detail that Google has for it."""
    response = says.failure(429, "Slow down.", "RESOURCE_EXHAUSTED", *details)
    response.headers |= headers
    server.script(response)
    with pytest.raises(RateLimitError) as caught:
        ask(mode, at(server))

    assert (caught.value.retry_after, caught.value.transient) == (seconds, True)


def test_a_quota_of_the_day_is_not_tried_again(server: WireServer) -> None:
    """No wait of ours will fill it."""
    quota = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
    spent = {"@type": "QuotaFailure", "violations": [{"quotaId": quota}]}
    server.script(says.failure(429, "You exceeded your current quota.", "RESOURCE_EXHAUSTED", spent))
    with pytest.raises(RateLimitError, match="exceeded") as caught:
        ask("send", at(server))

    assert not caught.value.transient


@pytest.mark.parametrize(
    ("message", "details"),
    [
        ("API key not valid. Please pass a valid API key.", []),
        ("API key expired. Please renew the API key.", [{"@type": "ErrorInfo", "reason": "API_KEY_INVALID"}]),
    ],
)
def test_an_invalid_key_is_an_authentication_error(server: WireServer, message: str, details: Any) -> None:
    """Google says both with 400; the error names the variables."""
    server.script(says.failure(400, message, "INVALID_ARGUMENT", *details))
    with pytest.raises(AuthenticationError, match=r"API key .*GOOGLE_API_KEY or GEMINI_API_KEY") as caught:
        ask("send", at(server))

    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("models/gemini-x is not found for API version v1, or is not supported", "check `model`"),
        ("models/gemini-flash-latest is not found for API version v1", "GOOGLE_GENAI_API_VERSION=beta"),
        ("Requested entity was not found.", "check `base_url`, which may end in the API's version"),
        (
            "Cannot POST /v1/models/gemini-3-pro:generateContent",
            r"set GOOGLE_GENAI_API_VERSION .*/v1.*/models/",
        ),
        ("The model `gemini-9` does not exist", "check `model`"),
    ],
)
def test_a_404_names_what_is_missing(server: WireServer, message: str, advice: str) -> None:
    """A 404 is the model's name, a name that only the beta knows, or the address."""
    server.script(says.failure(404, message, "NOT_FOUND"))
    with pytest.raises(ModelNotFoundError, match=advice):
        ask("send", at(server))


@every_mode
@pytest.mark.parametrize(
    ("message", "feature"),
    [
        ("Function calling is not enabled for models/gemma-3-27b-it", "tools"),
        ("Tool use is not supported by this model.", "tools"),
        ("JSON mode is not enabled for models/gemma-3-27b-it", "output"),
        ("Response schema is not supported for this model", "output"),
        (
            "Function calling with a response mime type: 'application/json' is unsupported",
            "output_with_tools",
        ),
        ("Tool use with a response mime type: 'application/json' is unsupported", "output_with_tools"),
    ],
)
def test_an_unsupported_feature_is_recognized(
    server: WireServer, mode: str, message: str, feature: str
) -> None:
    """The engine uses a fallback, and remembers it."""
    server.script(says.failure(400, message))
    with pytest.raises(UnsupportedError, match=message[:20]) as caught:
        ask(mode, at(server))

    assert (caught.value.feature, caught.value.status, caught.value.code) == (
        feature,
        400,
        "INVALID_ARGUMENT",
    )
