"""Addresses with a query or a fragment, and proxies that cannot be used."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest
from kit.apis import OLLAMA, OLLAMA_CHAT, Api, every_api, every_mode
from kit.wire import WireServer

from alloy import ConfigurationError, Transport
from alloy.backends.http.clients import CLIENTS

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@every_api
@every_mode
@pytest.mark.parametrize("query", ["api-version=1", "api-version=2024-10-21&tag=a%20b&tag=c", "alt=sse&x"])
def test_the_query_of_a_base_url_is_kept(server: WireServer, api: Api, mode: str, query: str) -> None:
    """Azure's `api-version`, for example: after the path, not before it."""
    server.always = lambda _: api.answer(mode, "hi")
    assert api.ask(mode, server, base_url=f"{server.url}{api.base}") == "hi"
    assert api.ask(mode, server, base_url=f"{server.url}{api.base}?{query}") == "hi"
    plain, queried = (request.path for request in server.requests if "/api/show" not in request.path)
    path, _, own = plain.partition("?")
    assert queried.partition("?")[0] == path
    sent = queried.partition("?")[2].split("&")
    assert all(sent.count(part) == 1 for part in set(sent))
    assert {part.rstrip("=") for part in sent} == {
        part.replace("%20", "+") if "+" in queried else part for part in [*query.split("&"), *own.split("&")]
    } - {""}


@every_mode
@pytest.mark.parametrize("api", [OLLAMA, OLLAMA_CHAT], ids=lambda api: api.name)
def test_the_query_of_ollamas_variable_is_kept(
    server: WireServer, api: Api, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable has no path of the API."""
    server.always = lambda _: api.answer(mode, "hi")
    monkeypatch.setenv("OLLAMA_HOST", f"{server.url}?team=a")
    assert api.ask(mode, server, base_url=None) == "hi"
    path = server.requests[-1].path
    assert path.endswith("?team=a")
    assert path.count("?") == 1


@every_api
@every_mode
def test_a_fragment_is_refused(server: WireServer, api: Api, mode: str) -> None:
    """No request carries it."""
    with pytest.raises(ConfigurationError, match=r"base_url`? has a fragment \(#…\)") as caught:
        api.ask(mode, server, base_url=f"{server.url}{api.base}?key=secret-of-a-test#part")
    assert "secret-of-a-test" not in str(caught.value)
    assert server.requests == []


@pytest.fixture
def fresh_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool reads the environment when it is made."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    CLIENTS.close()


@pytest.mark.skipif(find_spec("socksio") is not None, reason="the package for SOCKS proxies is installed")
@every_api
@every_mode
@pytest.mark.parametrize("by", ["transport", "ALL_PROXY"])
@pytest.mark.usefixtures("fresh_pools")
def test_a_socks_proxy_without_its_package(
    server: WireServer, api: Api, mode: str, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has the install line for the HTTP library that the SDK is built on."""
    options: dict[str, Any] = {}
    if by == "transport":
        options["transport"] = Transport(proxy="socks5://user:secret-of-a-test@127.0.0.1:1")
    else:
        monkeypatch.setenv(by, "socks5://user:secret-of-a-test@127.0.0.1:1")
    library = api.backend.sdk.library().__name__  # type: ignore[attr-defined]
    with pytest.raises(
        ConfigurationError, match=rf"SOCKS proxy .*pip install '{library}\[socks\]'"
    ) as caught:
        api.ask(mode, server, **options)
    assert "secret-of-a-test" not in str(caught.value)


@every_api
@every_mode
@pytest.mark.usefixtures("fresh_pools")
def test_a_proxy_of_the_environment_that_is_no_address(
    server: WireServer, api: Api, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error does not show the password in it."""
    monkeypatch.setenv("ALL_PROXY", "gopher://user:secret-of-a-test@127.0.0.1:1")
    with pytest.raises(ConfigurationError, match=r"the proxy of the environment .*ALL_PROXY") as caught:
        api.ask(mode, server)
    assert "secret-of-a-test" not in str(caught.value)
