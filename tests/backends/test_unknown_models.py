"""A model that does not exist is a `ModelNotFoundError`, also where a server says so with status 400."""

from __future__ import annotations

import pytest
from kit.apis import OLLAMA, OLLAMA_CHAT, Api, apis, every_api
from kit.wire import WireServer

from alloy.errors import BadRequestError, ModelNotFoundError

UNKNOWN = [
    "/chat/completions: Invalid model name passed in model=gpt-9. Call `/v1/models` to view them.",  # litellm
    "openai/gpt-9 is not a valid model ID",  # OpenRouter
    "The provided model identifier is invalid.",  # Bedrock
    "Model Not Exist",  # DeepSeek
    "Invalid model: gpt-9",  # Mistral
    "The model `gpt-9` does not exist",
    "model 'gpt-9' not found",
    "Unknown model gpt-9",
]


@every_api
@pytest.mark.parametrize("message", UNKNOWN, ids=lambda message: message[:24])
def test_an_unknown_model_is_named(server: WireServer, api: Api, message: str) -> None:
    """With the advice to check the name, and it is not asked for again."""
    server.script(api.failure(400, message, None))
    with pytest.raises(ModelNotFoundError) as caught:
        api.ask("send", server, retry=2)

    assert (caught.value.status, caught.value.transient) == (400, False)
    if api not in (OLLAMA, OLLAMA_CHAT):
        assert str(caught.value).count("; check `model`") == 1


@apis(OLLAMA, OLLAMA_CHAT)
@pytest.mark.parametrize(
    "message",
    [
        "Invalid model output: the grammar was not followed",
        "This model does not support the parameter 'top_k'",
        "The file used by the model was not found",
        "model_kwargs is invalid",
    ],
)
def test_other_words_about_a_model_are_a_bad_request(server: WireServer, api: Api, message: str) -> None:
    """The model is there."""
    server.script(api.failure(400, message, None))
    with pytest.raises(BadRequestError):
        api.talk("send", server)
