"""Errors that only OpenAI's two APIs have."""

from __future__ import annotations

import pytest
from kit.talking import MODES, at, talk
from kit.wire import Answer, WireServer, json_answer
from kit.wire import openai as says

from alloy.backends.base import Backend
from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.backends.openai.responses import OpenAIBackend
from alloy.errors import (
    BadRequestError,
    ModelNotFoundError,
    ProviderError,
    RateLimitError,
)

RESPONSES, CHAT = OpenAIBackend(), OpenAIChatBackend()

both = pytest.mark.parametrize("backend", [RESPONSES, CHAT], ids=["responses", "chat"])
every_mode = pytest.mark.parametrize("mode", MODES)


@both
@every_mode
@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(400, "context_length_exceeded", BadRequestError), (429, "insufficient_quota", RateLimitError)],
)
def test_the_code_of_an_error_is_kept(
    server: WireServer, backend: Backend, mode: str, status: int, code: str, kind: type[ProviderError]
) -> None:
    """A quota that is used up is not transient, unlike the other errors with its status."""
    server.script(says.failure(status, "That went wrong.", code=code, param="input"))
    with pytest.raises(kind, match=r"That went wrong\..*'input'") as caught:
        talk(backend, mode, at(server))

    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.transient) == (code, False)


def test_a_server_without_responses_is_not_an_unknown_model(server: WireServer) -> None:
    """The first error names the other route, the second the setting."""
    for answer in (
        json_answer({"detail": "Not Found"}, status=404),
        Answer([b"<html>nginx</html>"], 405),
        json_answer({"error": {"message": "unsupported endpoint", "code": 501}}, status=501),
    ):
        server.script(answer)
        with pytest.raises(ProviderError, match=r"no Responses API.*openai-chat:NAME"):
            talk(RESPONSES, "send", at(server))

    server.script(says.failure(404, "The model `m` does not exist.", code="model_not_found"))
    with pytest.raises(ModelNotFoundError, match="check `model`") as caught:
        talk(RESPONSES, "send", at(server))
    assert "openai-chat" not in str(caught.value)


def test_a_wrong_address_of_chat_names_the_setting(server: WireServer) -> None:
    """A 404 that is not about the model is most often a missing `/v1`."""
    server.script(json_answer({"detail": "Not Found"}, status=404))
    with pytest.raises(ModelNotFoundError, match=r"check `base_url`, which usually ends in /v1"):
        talk(CHAT, "send", at(server, base_url=server.url))
