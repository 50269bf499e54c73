"""A failure that the same request would meet again is never transient, whatever its status is."""

from __future__ import annotations

import pytest
from kit.apis import Api, every_api, every_mode
from kit.wire import WireServer

from alloy.errors import ProviderError, ServerError

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
