"""Behind a company gateway: extra headers, a proxy, own certificates, and HTTP clients of the caller."""

from __future__ import annotations

import asyncio
import gc
import importlib
import pickle
import subprocess
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from kit.apis import (
    ANTHROPIC,
    GEMINI,
    OLLAMA,
    RESPONSES,
    Api,
    async_modes,
    every_api,
    every_mode,
    sync_modes,
    whole_modes,
)
from kit.certificates import PASSWORD, Authority
from kit.talking import KEY
from kit.wire import Answer, WireServer, json_answer
from kit.wire.proxy import Proxy

from alloy import Transport, ask, command, configure, use_config
from alloy.backends.http.clients import CLIENTS
from alloy.endpoints import Endpoint
from alloy.errors import ConfigurationError, ProviderConnectionError, ProviderError

TEXT = "Grüße 🦊"
SECRET = str(9**24)  # not written out: a traceback shows the lines of this test as well


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def running(server: WireServer) -> Iterator[WireServer]:
    try:
        yield server
    finally:
        CLIENTS.close()
        server.stop()
    assert server.leftovers == 0


@pytest.fixture
def secure(authority: Authority) -> Iterator[WireServer]:
    """A server whose certificate only the authority vouches for."""
    yield from running(WireServer(authority.server_context()))


@pytest.fixture
def demanding(authority: Authority) -> Iterator[WireServer]:
    """As `secure`; it speaks only with clients that have a certificate of the authority."""
    yield from running(WireServer(authority.server_context(asks_client=True)))


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    yield made
    CLIENTS.close()
    made.stop()


# --- headers ------------------------------------------------------------------------------------------


@every_mode
@every_api
def test_headers_are_added_to_each_request(server: WireServer, api: Api, mode: str) -> None:
    """They win over the SDK's own, and only for the call that has them."""
    server.script(api.answer(mode), api.answer(mode))
    headers = {"X-Team": "search", "User-Agent": "gateway/1"}
    assert api.ask(mode, server, headers=headers) == TEXT
    assert api.ask(mode, server) == TEXT

    first, second = (request.headers for request in server.requests)
    assert (first["x-team"], first["user-agent"]) == ("search", "gateway/1")
    assert "x-team" not in second
    assert second["user-agent"] != "gateway/1"


def test_headers_by_backend_name_are_for_that_backend(server: WireServer) -> None:
    """In a block, for every model in it."""
    server.script(RESPONSES.answer("send"), ANTHROPIC.answer("send"), GEMINI.answer("send"))
    by_name = {"openai": {"x-for": "openai"}, "anthropic": {"x-for": "anthropic"}}
    with use_config(headers=by_name):
        for api in (RESPONSES, ANTHROPIC, GEMINI):
            api.ask("send", server)

    assert [request.headers.get("x-for") for request in server.requests] == ["openai", "anthropic", None]


def test_an_inner_setting_replaces_the_outer_one(server: WireServer) -> None:
    """As for every setting: `None` sends no header at all."""
    server.script(*[RESPONSES.answer("send")] * 3)
    with use_config(headers={"x-a": "outer"}):
        RESPONSES.ask("send", server)
        RESPONSES.ask("send", server, headers={"x-b": "inner"})
        RESPONSES.ask("send", server, headers=None)

    seen = [(request.headers.get("x-a"), request.headers.get("x-b")) for request in server.requests]
    assert seen == [("outer", None), (None, "inner"), (None, None)]


@every_api
def test_a_secret_header_is_in_no_error(server: WireServer, api: Api) -> None:
    """A gateway may repeat its own token."""
    server.script(json_answer({"error": {"message": f"no access for {SECRET}"}}, status=403))
    with pytest.raises(ProviderError, match=r"no access for \[key\]") as caught:
        api.ask("send", server, headers={"X-Gateway-Token": SECRET})

    assert SECRET not in str(vars(caught.value))


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"x team": "a"}, "'x team' is not a name that may be set"),
        ({"Content-Length": "3"}, "'Content-Length' is not a name that may be set"),
        ({"x-team": "a\nb"}, "the value of 'x-team' must be printable ASCII text"),
        ({"x-team": "caf\u00e9"}, "the value of 'x-team' must be printable ASCII text"),
        ({"openai": {"x-team": 3}}, "the value of 'x-team' must be printable ASCII text"),
        ({"x-team": 3}, "a dict of headers, such as"),
        ({"openai": {"x": "y"}, "x-team": "a"}, "a dict of headers, such as"),
        ("x-team: a", "a dict of headers, such as"),
    ],
)
def test_wrong_headers_are_refused(headers: Any, words: str) -> None:
    """When they are set, and without showing a value."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        configure(headers=headers)

    assert "(hidden)" in str(caught.value)


# --- a proxy ------------------------------------------------------------------------------------------


@every_mode
@every_api
def test_a_tunnel_through_a_proxy(
    authority: Authority, secure: WireServer, proxy: Proxy, api: Api, mode: str
) -> None:
    """To a server with a certificate of the company's own authority."""
    secure.script(api.answer(mode))
    through = Transport(proxy=proxy.url, ca_bundle=authority.bundle)
    assert api.ask(mode, secure, transport=through) == TEXT

    assert proxy.targets == [f"CONNECT 127.0.0.1:{secure.port}"]
    assert "authorization" not in proxy.headers[0]


@whole_modes
@every_api
def test_a_proxy_forwards_what_is_not_encrypted(
    server: WireServer, proxy: Proxy, api: Api, mode: str
) -> None:
    """A local model server, in plain HTTP."""
    server.script(api.answer(mode))
    with use_config(transport={api.name: Transport(proxy=proxy.url)}):
        assert api.ask(mode, server) == TEXT

    (target,) = proxy.targets
    assert target.startswith(f"POST {server.url}/")


@whole_modes
def test_a_proxy_that_wants_a_login(server: WireServer, mode: str) -> None:
    """Name and password are in the URL, and in no error and no repr."""
    guarded = Proxy("alice:secret-password")
    try:
        server.script(RESPONSES.answer(mode))
        right = Transport(proxy=guarded.url.replace("//", "//alice:secret-password@"))
        assert RESPONSES.ask(mode, server, transport=right) == TEXT
        wrong = Transport(proxy=guarded.url.replace("//", "//alice:another-password@"))
        with pytest.raises(ProviderError, match="407") as caught:
            RESPONSES.ask(mode, server, transport=wrong)
    finally:
        CLIENTS.close()
        guarded.stop()

    assert "another-password" not in str(caught.value) + repr(wrong) + repr(Endpoint(transport=wrong))


@whole_modes
@every_api
def test_a_proxy_that_is_not_there_is_named(server: WireServer, nobody: str, api: Api, mode: str) -> None:
    """And not the provider's address, with which nothing is wrong."""
    transport = Transport(proxy=nobody.replace("//", "//alice:secret-password@"))
    with pytest.raises(ProviderConnectionError) as caught:
        api.ask(mode, server, transport=transport)

    assert f"no connection to {server.url} through the proxy {nobody}: check `transport`" in str(caught.value)
    assert "secret-password" not in str(caught.value)


@pytest.mark.parametrize("api", [RESPONSES, ANTHROPIC, GEMINI, OLLAMA], ids=repr)
def test_proxies_of_the_environment_are_used(
    server: WireServer, proxy: Proxy, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the SDK's own clients do it, with the exceptions of NO_PROXY; `transport` replaces both."""
    server.always = lambda _: api.answer("send")
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    CLIENTS.close()
    CLIENTS.forget()  # the proxies of the environment are read once per process
    api.ask("send", server)
    assert len(proxy.targets) == 1

    CLIENTS.close()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    CLIENTS.forget()
    api.ask("send", server)
    assert len(proxy.targets) == 1

    api.ask("send", server, transport=Transport(proxy=proxy.url))
    assert len(proxy.targets) == 2
    CLIENTS.close()


@whole_modes
@every_api
@pytest.mark.parametrize("exceptions", ["", "127.0.0.1"])
def test_a_proxy_replaces_those_of_the_environment(
    server: WireServer,
    proxy: Proxy,
    nobody: str,
    api: Api,
    mode: str,
    exceptions: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For each scheme, although some SDKs let a variable such as HTTP_PROXY go first."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, nobody)
    monkeypatch.setenv("NO_PROXY", exceptions)
    server.script(api.answer(mode))
    assert api.ask(mode, server, transport=Transport(proxy=proxy.url)) == TEXT

    assert len(proxy.targets) == 1


# --- certificates -------------------------------------------------------------------------------------


@every_api
def test_an_unknown_authority_is_named(secure: WireServer, api: Api) -> None:
    """With the setting that makes it known."""
    with pytest.raises(ProviderConnectionError) as caught:
        api.ask("send", secure)

    text = str(caught.value)
    assert "CERTIFICATE_VERIFY_FAILED" in text
    assert "transport=Transport(ca_bundle=…)" in text


@whole_modes
@every_api
def test_a_client_certificate_is_shown(
    authority: Authority, demanding: WireServer, api: Api, mode: str
) -> None:
    """In one file or in two."""
    certificate, key = authority.issue("client")
    both = authority.folder / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    demanding.script(api.answer(mode), api.answer(mode))
    for client in ((certificate, key), both):
        transport = Transport(ca_bundle=authority.bundle, client_certificate=client)
        assert api.ask(mode, demanding, transport=transport) == TEXT


def test_a_key_may_have_a_password(authority: Authority, demanding: WireServer) -> None:
    """The third of the tuple, which no repr shows."""
    certificate, key = authority.issue("locked", password=PASSWORD)
    demanding.script(RESPONSES.answer("send"))
    transport = Transport(ca_bundle=authority.bundle, client_certificate=(certificate, key, PASSWORD))
    assert RESPONSES.ask("send", demanding, transport=transport) == TEXT

    assert PASSWORD not in repr(transport)


@whole_modes
def test_without_a_client_certificate_such_a_server_refuses(
    authority: Authority, demanding: WireServer, mode: str
) -> None:
    """It is a connection error, and worth another try."""
    transport = Transport(ca_bundle=authority.bundle)
    with pytest.raises(ProviderConnectionError):
        RESPONSES.ask(mode, demanding, transport=transport)


def test_a_directory_of_certificates_is_a_bundle(
    authority: Authority, secure: WireServer, tmp_path: Path
) -> None:
    """OpenSSL finds a certificate there by the hash of its subject."""
    command_line = ["openssl", "x509", "-hash", "-noout", "-in", str(authority.bundle)]
    name = subprocess.run(command_line, capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / f"{name}.0").write_bytes(authority.bundle.read_bytes())
    secure.script(RESPONSES.answer("send"))
    assert RESPONSES.ask("send", secure, transport=Transport(ca_bundle=tmp_path)) == TEXT


@whole_modes
@pytest.mark.parametrize(
    ("transport", "words"),
    [
        (
            Transport(ca_bundle="/nowhere/ca.pem"),
            r"ca_bundle '/nowhere/ca.pem' cannot be used: .*No such file",
        ),
        (Transport(ca_bundle=__file__), r"ca_bundle '.*test_gateway.py' cannot be used"),
        (
            Transport(client_certificate="/nowhere/me.pem"),
            r"client_certificate '/nowhere/me.pem' cannot be used",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    server: WireServer, transport: Transport, words: str, mode: str
) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigurationError, match=words):
        RESPONSES.ask(mode, server, transport=transport)

    assert server.requests == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"proxy": "proxy.example:3128"}, 'proxy must be a URL such as "http://proxy.example:3128"'),
        ({"proxy": "ftp://secret@proxy.example"}, "its scheme is one of http, https, socks5, socks5h"),
        ({"proxy": "http://proxy.example:99999999"}, "proxy must be a URL"),
        ({"proxy": 3128}, "proxy must be a URL"),
        ({"ca_bundle": 3}, "ca_bundle must be a path, not 3"),
        ({"ca_bundle": ""}, "ca_bundle must be a path, not ''"),
        ({"client_certificate": ()}, "client_certificate must be a path, or a tuple"),
        ({"client_certificate": ("a", "b", "c", "d")}, "client_certificate must be a path, or a tuple"),
        ({"client_certificate": ("a", 3)}, "client_certificate must be a path, or a tuple"),
    ],
)
def test_a_wrong_transport_is_refused(arguments: Any, words: str) -> None:
    """Where it is made."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        Transport(**arguments)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("value", ["http://proxy.example:3128", {"openai": "x"}, {3: Transport()}])
def test_what_is_not_a_transport_is_refused(value: Any) -> None:
    """With what is."""
    with pytest.raises(ConfigurationError, match=r"transport must be a (Transport, or a )?dict"):
        configure(transport=value)


# --- HTTP clients of the caller -----------------------------------------------------------------------


class Counting:
    """Counts what an event hook of a client sees."""

    def __init__(self) -> None:
        self.requests: list[Any] = []

    def hook(self, request: Any) -> None:
        self.requests.append(request)

    async def hook_async(self, request: Any) -> None:
        self.requests.append(request)


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@sync_modes
@every_api
def test_a_client_of_the_caller_sends(server: WireServer, api: Api, mode: str, library: Any) -> None:
    """With its hooks, headers and cookies; it may be of either library, and stays open."""
    server.script(api.answer(mode), api.answer(mode))
    seen = Counting()
    with library.Client(
        event_hooks={"request": [seen.hook]}, headers={"x-mine": "1"}, cookies={"session": "abc"}
    ) as client:
        for _ in range(2):
            sent: dict[str, Any] = {"http_client": client, "headers": {"x-team": "search"}}
            assert api.ask(mode, server, **sent) == TEXT
        assert not client.is_closed

    assert len(seen.requests) == 2
    assert len(server.connections) == 1
    for request in server.requests:
        assert (request.headers["x-mine"], request.headers["x-team"]) == ("1", "search")
        assert request.headers["cookie"] == "session=abc"
        assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@async_modes
@every_api
def test_an_async_client_of_the_caller_sends(server: WireServer, api: Api, mode: str, library: Any) -> None:
    """The same in an event loop."""
    server.script(api.answer(mode))
    seen = Counting()

    async def run() -> None:
        async with library.AsyncClient(event_hooks={"request": [seen.hook_async]}) as client:
            assert await api.ask_async(mode, server, http_client={api.name: client}) == TEXT
            assert not client.is_closed

    asyncio.run(run())
    assert len(seen.requests) == 1


@every_api
def test_a_transport_of_the_callers_client_answers(api: Api) -> None:
    """Nothing need listen at the address: the client decides what happens to a request."""
    whole = api.answer("send")
    content = b"".join(part for part in whole.body if isinstance(part, bytes))

    def handle(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=content, headers={"content-type": "application/json"})

    with httpx2.Client(transport=httpx2.MockTransport(handle)) as client:
        here = {"base_url": f"http://127.0.0.1:9{api.base}", "api_key": KEY}
        assert ask("Hello", model=f"{api.name}:{api.model}", http_client=client, **here) == TEXT


def test_a_client_of_the_caller_is_not_kept(server: WireServer) -> None:
    """A program may make one for each call; closed ones must not stay in memory."""
    server.script(*[RESPONSES.answer("send")] * 3)
    left = []
    for _ in range(3):
        with httpx2.Client() as client:
            RESPONSES.ask("send", server, http_client=client)
        left.append(weakref.ref(client))
        del client
    gc.collect()

    assert [client() for client in left] == [None] * 3


def test_a_pair_of_clients_serves_both(server: WireServer) -> None:
    """A tuple with one for sync and one for async calls."""
    server.script(RESPONSES.answer("send"), RESPONSES.answer("send"))
    seen = Counting()

    async def run(client: Any) -> None:
        async with httpx2.AsyncClient(event_hooks={"request": [seen.hook_async]}) as async_client:
            with use_config(http_client=(client, async_client)):
                await RESPONSES.ask_async("send_async", server)
                await asyncio.to_thread(RESPONSES.ask, "send", server)

    with httpx2.Client(event_hooks={"request": [seen.hook]}) as client:
        asyncio.run(run(client))
    assert len(seen.requests) == 2


@pytest.mark.parametrize("follows", [True, False])
def test_a_client_that_follows_redirects_does_not_follow_ours(server: WireServer, follows: bool) -> None:
    """Key and prompt stay with the server that they were sent to."""
    server.script(Answer([], 307, {"location": f"{server.url}/elsewhere"}))
    with (
        httpx2.Client(follow_redirects=follows) as client,
        pytest.raises(ProviderError, match="the server redirects to"),
    ):
        RESPONSES.ask("send", server, http_client=client)

    assert len(server.requests) == 1


def test_a_clients_own_time_limit_counts(server: WireServer) -> None:
    """Unless it is the library's default, which is too short for a model; `timeout` goes first."""
    limits: list[Any] = []

    def note(request: httpx2.Request) -> None:
        limits.append(request.extensions["timeout"]["read"])

    server.script(*[RESPONSES.answer("send")] * 3)
    for limit in (None, 33.0):
        given = {} if limit is None else {"timeout": limit}
        with httpx2.Client(event_hooks={"request": [note]}, **given) as client:
            RESPONSES.ask("send", server, http_client=client, timeout=None)
    with httpx2.Client(event_hooks={"request": [note]}, timeout=33.0) as client:
        RESPONSES.ask("send", server, http_client=client, timeout=44.0)

    assert limits == [600, 33.0, 44.0]


@pytest.mark.parametrize(
    ("client", "mode", "words"),
    [
        (httpx2.AsyncClient(), "send", "a sync call needs a Client"),
        (httpx2.Client(), "send_async", "an async call needs an AsyncClient"),
    ],
)
def test_a_client_of_the_other_colour_is_refused(
    server: WireServer, client: Any, mode: str, words: str
) -> None:
    """It says which kind is needed; nothing goes round the client unnoticed."""
    words = f"http_client: {words}; a tuple with one of each serves both"
    with pytest.raises(ConfigurationError, match=words):
        RESPONSES.ask(mode, server, http_client=client)

    assert server.requests == []


def test_a_closed_client_is_refused(server: WireServer) -> None:
    """Whoever passes a client closes it, and may do so too early."""
    client = httpx2.Client()
    client.close()
    with pytest.raises(ConfigurationError, match="http_client: the client is closed"):
        RESPONSES.ask("send", server, http_client=client)


def test_a_client_and_a_transport_exclude_each_other(server: WireServer) -> None:
    """It would not be clear which of them opens the connection."""
    with (
        httpx2.Client() as client,
        pytest.raises(ConfigurationError, match="http_client and transport exclude each other"),
    ):
        RESPONSES.ask("send", server, http_client=client, transport=Transport())


@pytest.mark.parametrize("value", [object(), "client", (), [3], {"openai": object()}, (httpx2.Client,)])
def test_what_is_not_a_client_is_refused(value: Any) -> None:
    """With what is; two of one kind are no pair."""
    with pytest.raises(ConfigurationError, match="http_client must be a Client or an AsyncClient of httpx"):
        configure(http_client=value)
    with httpx2.Client() as one, httpx2.Client() as two, pytest.raises(ConfigurationError, match="must be"):
        configure(http_client=(one, two))


# --- all three ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["headers", "http_client", "transport"])
def test_an_unknown_backend_name_is_refused(setting: str) -> None:
    """A misspelt name would go round the gateway unnoticed."""
    with httpx2.Client() as client:
        value = {"headers": {"a": "b"}, "http_client": client, "transport": Transport()}[setting]
        given: dict[str, Any] = {setting: {"opnai": value}}
        with pytest.raises(
            ConfigurationError, match=f"{setting} is a dict by backend name, and opnai is not"
        ):
            ask("Hello", model="gpt-5.6", api_key=KEY, **given)


def test_they_do_nothing_offline() -> None:
    """The offline backend opens no connection."""
    with httpx2.Client() as client:
        for given in ({"headers": {"a": "b"}}, {"http_client": client}, {"transport": Transport()}):
            assert ask("Hello", backend="fake", **given)


def test_a_command_with_them_pickles() -> None:
    """They are plain data, apart from a client."""
    here = importlib.import_module(__name__)
    copied = pickle.loads(pickle.dumps(here.prepared.with_options(headers={"x": "y"})))

    assert copied.request() == here.prepared.request()
    assert pickle.loads(pickle.dumps(Transport(ca_bundle="a"))) == Transport(ca_bundle="a")


@command(backend="fake", transport=Transport(proxy="http://proxy.example:3128"))
def prepared() -> str:
    return "Hello"
