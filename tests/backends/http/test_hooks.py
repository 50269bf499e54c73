"""Event hooks of the caller's HTTP client that raise."""

from __future__ import annotations

import importlib
import traceback
from typing import Any

import pytest
from kit.apis import Api, every_api, every_mode
from kit.wire import WireServer

from alloy import AlloyError, AuthenticationError, RateLimitError, ServerError

SECRET = "pass%2Fword-of-a-test"
PLAIN = "pass/word-of-a-test"

every_library = pytest.mark.parametrize("library", ["httpx", "httpx2"])


def client_with(library: str, mode: str, hook: Any, event: str = "response") -> Any:
    """A client whose *event* hook calls *hook*."""
    module: Any = importlib.import_module(library)
    limits = module.Limits(max_keepalive_connections=0)  # nobody closes the client
    if not mode.endswith("async"):
        return module.Client(event_hooks={event: [hook]}, limits=limits)

    async def hook_async(argument: Any) -> None:
        hook(argument)

    return module.AsyncClient(event_hooks={event: [hook_async]}, limits=limits)


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


@every_api
@every_mode
@every_library
@pytest.mark.parametrize(
    ("status", "kind"), [(429, RateLimitError), (401, AuthenticationError), (503, ServerError)]
)
def test_raise_for_status_is_the_error_of_that_status(
    server: WireServer, api: Api, mode: str, library: str, status: int, kind: type[AlloyError]
) -> None:
    """Without the password in the address, which the message of the library shows."""
    server.always = lambda _: api.failure(status, "no", None)
    client = client_with(library, mode, lambda response: response.raise_for_status())
    url = server.url.replace("://", f"://user:{SECRET}@") + api.base
    with pytest.raises(kind, match="event hook of http_client") as caught:
        api.ask(mode, server, http_client=client, base_url=url)
    assert caught.value.status == status  # type: ignore[attr-defined]
    assert SECRET not in shown(caught.value)
    assert PLAIN not in shown(caught.value)


@every_api
@pytest.mark.parametrize("mode", ["send", "send_async"])
@every_library
def test_a_refused_response_is_tried_again(server: WireServer, api: Api, mode: str, library: str) -> None:
    """As without the hook."""
    server.script(api.failure(429, "wait", None), api.answer(mode, "hi"))
    client = client_with(library, mode, lambda response: response.raise_for_status())
    assert api.ask(mode, server, http_client=client, retry=1) == "hi"


@every_api
@every_mode
@every_library
@pytest.mark.parametrize("event", ["request", "response"])
def test_the_error_of_a_hook_is_cleaned(
    server: WireServer, api: Api, mode: str, library: str, event: str
) -> None:
    """It is the caller's own, and shows no key."""
    server.always = lambda _: api.answer(mode, "hi")

    def hook(_: Any) -> None:
        raise LookupError("cannot use key-secret-of-a-test")

    client = client_with(library, mode, hook, event)
    with pytest.raises(LookupError, match=r"cannot use \[key\]"):
        api.ask(mode, server, http_client=client, api_key="key-secret-of-a-test")
