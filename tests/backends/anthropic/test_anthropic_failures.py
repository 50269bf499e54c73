"""Errors that only Anthropic has, and what it never shows."""

from __future__ import annotations

from typing import Any

import pytest
from kit.talking import KEY, MODES, talk
from kit.talking import at as at_server
from kit.wire import WireServer
from kit.wire import anthropic as says

from alloy.backends.anthropic.messages import AnthropicBackend
from alloy.endpoints import Endpoint
from alloy.errors import (
    BadRequestError,
    ConfigurationError,
    ProviderError,
    RateLimitError,
    UnsupportedError,
)
from alloy.messages import Request, User

CLAUDE = AnthropicBackend()
BODY = CLAUDE.encode(Request("claude-sonnet-4-6", (User("Hello"),)))

every_mode = pytest.mark.parametrize("mode", MODES)


def ask(server: WireServer, mode: str, **settings: Any) -> Any:
    """One request to *server*, whose address ends without a version."""
    return talk(CLAUDE, mode, at_server(server, **{"base_url": server.url, **settings}), BODY)


def test_the_name_of_a_cause_is_the_code(server: WireServer) -> None:
    """It says more than the type, and the header tells that waiting will not help."""
    server.script(
        says.failure(
            429,
            "Over the limit.",
            kind="rate_limit_error",
            code="enforced_spend_limit_reached",
            x_should_retry="false",
        )
    )
    with pytest.raises(RateLimitError) as caught:
        ask(server, "send")

    assert (caught.value.code, caught.value.transient) == ("enforced_spend_limit_reached", False)


@pytest.mark.parametrize(
    ("status", "message", "advice"),
    [
        (401, "invalid x-api-key", r"ANTHROPIC_API_KEY or configure\(api_key=…\)"),
        (402, "No credit.", "credit"),
        (404, "model: claude-9", "check `model`"),
        (404, "Not Found", r"check `base_url`, which ends without /v1"),
        (413, "Too large.", "send less"),
        (400, "Schema is too complex for compilation", 'output_mode="prompted"'),
    ],
)
def test_an_error_names_the_fix(server: WireServer, status: int, message: str, advice: str) -> None:
    """Next to the provider's message."""
    server.script(says.failure(status, message))
    with pytest.raises(ProviderError, match=advice):
        ask(server, "send")


@pytest.mark.parametrize(
    ("message", "feature"),
    [
        ("'claude-3-haiku' does not support structured outputs.", "output"),
        ("This model does not support output_config.format", "output"),
        ("output_config: Extra inputs are not permitted", "output"),
        ("output_config.format: Extra inputs are not permitted", "output"),
        ("registry.example/tiny does not support tools", "tools"),
        ("This model doesn't support tool use.", "tools"),
        ("tools: Extra inputs are not permitted", "tools"),
    ],
)
def test_an_unsupported_feature_is_not_a_bad_request(server: WireServer, message: str, feature: str) -> None:
    """Then Alloy can use a fallback."""
    server.script(says.failure(400, message))
    with pytest.raises(UnsupportedError) as caught:
        ask(server, "send")

    assert (caught.value.feature, caught.value.status) == (feature, 400)


@pytest.mark.parametrize(
    "message",
    [
        "output_config.format.schema: For 'array' type, property 'minItems' is not supported",
        "output_config.effort: Extra inputs are not permitted",
        "claude-x does not support output_config.format.schema with recursion",
        "tools.0.input_schema: JSON schema is invalid",
        "This model does not support assistant message prefill.",
    ],
)
def test_an_error_about_one_schema_is_a_bad_request(server: WireServer, message: str) -> None:
    """What is wrong with one schema says nothing about the model."""
    server.script(says.failure(400, message))
    with pytest.raises(BadRequestError) as caught:
        ask(server, "send")

    assert type(caught.value) is BadRequestError


def test_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the key nor headers, which may hold one."""
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "x-secret: 123")

    assert repr(CLAUDE.settings(Endpoint(api_key=KEY))) == "Settings(base_url='https://api.anthropic.com')"


@every_mode
def test_what_the_sdk_refuses_is_a_configuration_error(
    server: WireServer, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a header of the environment that no request can carry."""
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "x-team: caf\udce9")
    with pytest.raises(ConfigurationError, match=r"^anthropic: .*can't encode character"):
        ask(server, mode)

    assert server.requests == []
