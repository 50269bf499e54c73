"""Addresses that cannot be one: refused before anything is sent, in every way to call, and by `doctor`."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from kit.apis import CHAT, OLLAMA, Api, every_api
from kit.talking import MODES
from kit.wire import WireServer

from alloy import ConfigurationError, ProviderConnectionError, Transport, ask, command, doctor
from alloy.addresses import address_problem, login_in
from alloy.backends.base import address_of, is_own_address
from alloy.backends.http.clients import CLIENTS
from alloy.endpoints import Endpoint, safe_url, secrets_in_url, without_credentials

SECRET = f"gate-{9**24}"

# By what is wrong: the host, with its port if that is the fault.
MALFORMED = {
    "its host has nothing before a dot": ["a..b", ".a", ".", "a..", "user:p@a..b:80"],
    "its host has more than 63 characters without a dot": [
        "a" * 64 + ".example",
        "127." + "x" * 70,
    ],
    "its host has more than 253 characters": [".".join(["a" * 60] * 5)],
    "is not an IP address": ["127.0.0.999", "1234.0.0.1:80"],
    "its host is not valid": ["[::1", "a]b", "[::zz"],
    "its port is not a number from 1 to 65535": ["127.0.0.1:99999", "127.0.0.1:abc", "host:0", "host:\uff11"],
    "its host is not a name of the internet (IDNA)": ["ü" * 60 + ".example", "-ü-.example", "⒈com"],
    "it has a blank, or a character that cannot be printed": ["a b", "a\u200bb", "a\x00b", "a\nb"],
}
HOSTS = [(why, host) for why, hosts in MALFORMED.items() for host in hosts]
every_host = pytest.mark.parametrize(("why", "host"), HOSTS, ids=[ascii(host)[:20] for _, host in HOSTS])


@every_host
def test_it_is_said_what_is_wrong(why: str, host: str) -> None:
    """With a scheme or without, as Ollama takes it."""
    assert (address_problem(f"http://{host}/v1") or "").endswith(why)
    assert (address_problem(host) or "").endswith(why)


@pytest.mark.parametrize(
    "host",
    [
        "host",
        "host.",
        "a_b-c.example:65535",
        "-",
        "a" * 63 + ".example",
        ".".join(["a" * 49] * 5) + ".abc",
        "127.0.0.1",
        "[::1]:80",
        "[fe80::1%25eth0]",
        "ünïcode.example",
        "straße.example",
        "παράδειγμα.δοκιμή",
        "xn--n3h.example",
        "user:a..b@host",
    ],
)
def test_addresses_that_may_exist_are_not_refused(host: str) -> None:
    assert address_problem(f"https://{host}/v1?a..b") is None
    assert address_problem(host) is None


@every_api
@pytest.mark.parametrize(("why", "host"), [(why, hosts[0]) for why, hosts in MALFORMED.items()])
def test_a_malformed_address_is_refused_before_sending(
    api: Api, why: str, host: str, server: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every way to call, from a variable, and by `doctor`, always in the same words."""
    url = f"http://ann:{SECRET}@{host.rpartition('@')[2]}/v1"
    found = []
    for mode in MODES:
        with pytest.raises(ConfigurationError) as caught:
            api.ask(mode, server, base_url=url)
        found.append(str(caught.value))
    (problem,) = set(found)
    assert why in problem
    assert "base_url" in problem
    assert repr(without_credentials(url)) in problem
    assert SECRET not in problem
    model = f"{api.name}:{api.model}"
    assert doctor(model=model, base_url=url, api_key="k").problems == (f"{model}: {problem}",)
    if "\x00" not in url:
        monkeypatch.setenv(api.variables[0], url)
        with pytest.raises(ConfigurationError, match=f"^`?{api.variables[0]}`? is not an address") as caught:
            ask("Hello", model=model, api_key="k", retry=0)
        assert why in str(caught.value)
        assert SECRET not in str(caught.value)
    assert server.requests == []


def test_the_address_of_google_cloud_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """There the SDK reads another variable."""
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "not read there")
    monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", "http://a..b/v1")
    with pytest.raises(ConfigurationError, match=r"^`GOOGLE_VERTEX_BASE_URL` is not an address"):
        ask("Hello", model="gemini:gemini-3-flash-preview", retry=0)


@every_api
def test_it_is_a_mistake_in_the_set_up_of_a_list_of_models(api: Api, server: WireServer) -> None:
    """As a missing key is: another model would hide it."""
    bad = {"model": f"{api.name}:{api.model}", "base_url": "http://a..b/v1", "api_key": "k"}
    good = {"model": f"{CHAT.name}:{CHAT.model}", "base_url": server.url + CHAT.base, "api_key": "k"}
    for mode in MODES:
        with pytest.raises(ConfigurationError, match="nothing before a dot"):
            CHAT.ask(mode, server, model=[bad, good])
    assert server.requests == []


# --- proxies ------------------------------------------------------------------------------------------


@every_host
def test_a_proxy_of_a_transport_is_checked_in_the_same_way(why: str, host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Transport: proxy must be a URL") as caught:
        Transport(proxy=f"http://ann:{SECRET}@{host.rpartition('@')[2]}")
    assert why in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("proxy", ["", "host", "http://", "ftp://host", "http:host", 5])
def test_a_proxy_is_a_url(proxy: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"Transport: proxy must be a URL .*; (its scheme|it has no)"
    ):
        Transport(proxy=proxy)


@every_api
@pytest.mark.parametrize("host", ["a..b:3128", "x" * 64 + ":3128"], ids=["dots", "long"])
def test_a_proxy_of_the_environment_is_explained(
    api: Api, host: str, server: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody checked its address before: asyncio finds no such server, a socket refuses the name."""
    monkeypatch.setenv("HTTP_PROXY", f"http://ann:{SECRET}@{host}")
    CLIENTS.close()  # a pool reads the environment when it is made
    for mode in MODES:
        with pytest.raises((ConfigurationError, ProviderConnectionError), match="HTTP_PROXY") as caught:
            api.ask(mode, server, base_url="http://provider.example/v1")
        assert SECRET not in str(caught.value)


def test_a_proxy_of_a_client_of_the_caller_is_explained() -> None:
    """Nobody checked its address before."""
    httpx = pytest.importorskip("httpx")
    with (
        httpx.Client(proxy="http://a..b:3128") as client,
        pytest.raises(ConfigurationError, match="the name of the server, or of its proxy"),
    ):
        ask("Hello", model="ollama:m", base_url="http://provider.example", http_client=client, retry=0)


# --- names and passwords ------------------------------------------------------------------------------

LOGINS = [
    f"ann:{SECRET}@host:80/v1",
    f"//ann:{SECRET}@host",
    f"http:/ann:{SECRET}@host",
    f" http://ann:{SECRET}@host",
    f"HTTP://ann:{SECRET}@host/v1?a=b@c",
    f"http://ann:{SECRET}@[::1",
    f"http://ann:{SECRET}@host:99999",
    f"http://ann:a/{SECRET}@host",
    f"http://ann:a#{SECRET}@host",
    f"http://ann:a?{SECRET}@host",
    f"http://ann:{SECRET}\\@host",
    f"ann:a@{SECRET}@host",
]
every_login = pytest.mark.parametrize("url", LOGINS)


@every_login
def test_a_password_is_found_in_any_address(url: str) -> None:
    """With a scheme or without, and also in one that is not valid."""
    assert any(SECRET in secret for secret in secrets_in_url(url))
    assert SECRET not in login_in(url).after
    assert SECRET not in safe_url(url)


@pytest.mark.parametrize(
    "url", ["http://[::1/v1", "host:80/@x", "http://h/@a?b=c@d", "[::1]:80", "", ":11434"]
)
def test_an_address_without_a_password_stays_as_it_is(url: str) -> None:
    assert login_in(url).login == ""
    assert secrets_in_url(url) == ["", ""]
    assert safe_url(url).replace("%40", "@") == url


@command(output=str)
def greet() -> str:
    return "Greet."


@every_login
def test_no_password_is_pickled_or_shown(url: str) -> None:
    """Not even of an address that cannot be one: that it cannot, the call says."""
    for options in ({"base_url": url}, {"model": [{"model": "ollama:m", "base_url": url}]}):
        given = greet.with_options(**options)
        assert SECRET not in pickle.dumps(given).decode("latin-1")
        assert SECRET not in repr(given) + repr(pickle.loads(pickle.dumps(given)))
    assert SECRET not in repr(Endpoint(base_url=url))


def test_a_malformed_address_can_be_pickled() -> None:
    """The call says what is wrong with it."""
    back = pickle.loads(pickle.dumps(greet.with_options(base_url="http://[::1/v1", model="ollama:m")))
    with pytest.raises(ConfigurationError, match="its host is not valid"):
        back()


@pytest.mark.parametrize("variable", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_a_password_without_a_scheme_is_removed_from_errors(
    variable: bool, mode: str, server: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that repeats it has seen it elsewhere."""
    address: str | None = f"ann:{SECRET}@127.0.0.1:{server.port}"
    if variable:
        monkeypatch.setenv("OLLAMA_HOST", str(address))
        address = None
    server.script(OLLAMA.failure(400, f"bad {SECRET}", None))
    with pytest.raises(Exception, match="bad") as caught:
        OLLAMA.ask(mode, server, base_url=address)
    assert SECRET not in str(caught.value) + repr(vars(caught.value))


def test_what_is_asked_of_any_address_raises_nothing() -> None:
    """`address_of` and what follows from it is read before an address is checked."""
    for _, host in HOSTS:
        endpoint = Endpoint(base_url=f"http://{host}/v1")
        assert address_of(CHAT.backend, endpoint) == endpoint.base_url
        assert is_own_address(CHAT.backend, endpoint) is False
        assert isinstance(repr(endpoint), str)
