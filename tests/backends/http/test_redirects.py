"""No redirect is followed: the other server would get the key and the prompt."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from kit.apis import Api, every_api, every_mode
from kit.wire import Answer, WireServer

from alloy import ProviderError


@pytest.fixture
def other() -> Iterator[WireServer]:
    """Another server, which gets nothing."""
    server = WireServer()
    yield server
    server.stop()


@every_mode
@every_api
@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_no_redirect_is_followed(
    server: WireServer, other: WireServer, api: Api, mode: str, status: int
) -> None:
    """To another port, to another path, without a scheme, to a file, and to nothing."""
    targets = [
        f"{other.url}/v1/chat/completions",
        "/elsewhere",
        f"//127.0.0.1:{other.port}/",
        "file:///etc/passwd",
        "",
    ]
    for target in targets:
        server.script(Answer([], status, {"location": target} if target else {}))
        with pytest.raises(ProviderError) as caught:
            api.ask(mode, server)
        assert (caught.value.status, caught.value.transient) == (status, False)
    assert (len(server.requests), other.requests) == (len(targets), [])


@pytest.mark.parametrize("status", [301, 307, 308])
@every_api
def test_a_client_of_the_caller_that_follows_redirects_does_not_either(
    server: WireServer, other: WireServer, api: Api, status: int
) -> None:
    """Its setting is for its own requests."""
    server.script(Answer([], status, {"location": f"{other.url}/v1"}))
    with httpx.Client(follow_redirects=True) as client, pytest.raises(ProviderError):
        api.ask("send", server, http_client=client)
    assert (len(server.requests), other.requests) == (1, [])
