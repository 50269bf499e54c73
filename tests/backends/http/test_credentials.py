"""What the SDKs add to a request beyond its body: headers, keys and tokens, and where it goes."""

from __future__ import annotations

import asyncio
import gc
import json
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kit.apis import (
    ANTHROPIC,
    CHAT,
    GEMINI,
    OLLAMA_CHAT,
    RESPONSES,
    Api,
    apis,
    every_api,
    every_mode,
    whole_modes,
)
from kit.certificates import Authority
from kit.patience import limits
from kit.talking import KEY
from kit.wire import Answer, Gate, WireServer, json_answer
from kit.wire.proxy import Proxy

from alloy import Transport, ask, configure, use_config
from alloy.backends.gemini.address import GEMINI as GEMINI_SDK
from alloy.backends.gemini.address import Target
from alloy.backends.gemini.address import read_settings as gemini_settings
from alloy.backends.http.clients import CLIENTS
from alloy.backends.openai.address import OPENAI
from alloy.backends.openai.address import read_settings as openai_settings
from alloy.endpoints import Endpoint, KeyFunction, check_key
from alloy.errors import AlloyError, ConfigurationError, DeadlineError, ProviderError, ProviderTimeoutError

TEXT = "Grüße 🦊"


# --- headers of the SDKs ------------------------------------------------------------------------------


def by_openai(url: str) -> Any:
    from openai import OpenAI

    client = OpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0)
    return client.responses.create(model="gpt-5.6", input="Hello", store=False)


def by_openai_chat(url: str) -> Any:
    from openai import OpenAI

    client = OpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0)
    return client.chat.completions.create(model="local", messages=[{"role": "user", "content": "Hello"}])


def by_anthropic(url: str) -> Any:
    from anthropic import Anthropic

    client = Anthropic(api_key=KEY, base_url=url, max_retries=0)
    messages: list[Any] = [{"role": "user", "content": "Hello"}]
    return client.messages.create(model="claude-haiku-4-5", max_tokens=100, messages=messages)


def by_gemini(url: str) -> Any:
    from google import genai

    with genai.Client(api_key=KEY, http_options={"base_url": url}) as client:
        return client.models.generate_content(model="gemini-3-flash-preview", contents="Hello")


def by_ollama(url: str) -> Any:
    import ollama

    client = ollama.Client(url, headers={"Authorization": f"Bearer {KEY}"})
    return client.chat("qwen3", [{"role": "user", "content": "Hello"}])


BY_SDK: dict[str, Callable[[str], Any]] = {
    "openai": by_openai,
    "openai-chat": by_openai_chat,
    "anthropic": by_anthropic,
    "gemini": by_gemini,
    "ollama": by_ollama,
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # some SDKs leave their own client open
@apis(OLLAMA_CHAT)
def test_a_request_carries_the_headers_of_the_sdks_own(server: WireServer, api: Api) -> None:
    """User agent, versions and platform: a provider cannot tell the two apart."""
    server.script(api.answer("send"), api.answer("send"))
    BY_SDK[api.name](server.url)
    gc.collect()  # otherwise the SDK's client, left open, is collected in another test, and warns there
    api.ask("send", server, timeout=None)

    theirs, ours = (dict(request.headers) for request in server.requests)
    assert server.requests[0].path == server.requests[1].path
    del theirs["content-length"], ours["content-length"]
    # The SDK names the helper that was called, and how it was.
    for name in ("x-stainless-helper", "x-stainless-raw-response", "idempotency-key"):
        theirs.pop(name, None)
    assert ours == theirs


@pytest.mark.parametrize("api", [RESPONSES, ANTHROPIC], ids=repr)
def test_the_time_limit_is_told_as_the_sdk_tells_it(server: WireServer, api: Api) -> None:
    """The SDK's default without one, else the seconds of this request."""
    server.script(api.answer("send"), api.answer("send"))
    api.ask("send", server, timeout=None)
    api.ask("send", server, timeout=44.0)

    limits = [float(request.headers["x-stainless-read-timeout"]) for request in server.requests]
    assert limits == [600, 44]


@every_mode
@pytest.mark.parametrize("api", [RESPONSES, CHAT, ANTHROPIC], ids=repr)
def test_custom_headers_of_the_environment_are_sent(
    server: WireServer, api: Api, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the SDK reads them, at every call; they may even replace the key."""
    server.script(api.answer(mode), api.answer(mode))
    variable = "ANTHROPIC_CUSTOM_HEADERS" if api is ANTHROPIC else "OPENAI_CUSTOM_HEADERS"
    monkeypatch.setenv(variable, "x-team: search\nx-other:  two ")
    api.ask(mode, server)
    first = server.requests[0]
    # The SDK of Anthropic sends the key as x-api-key before its version 2, and as a bearer token since.
    name = next(name for name in ("x-api-key", "authorization") if name in first.headers)
    monkeypatch.setenv(variable, f"{name}: Bearer other\n")
    api.ask(mode, server)
    second = server.requests[1]

    assert (first.headers["x-team"], first.headers["x-other"], api.key_of(first)) == ("search", "two", KEY)
    assert "x-team" not in second.headers
    assert second.headers[name] == "Bearer other"


@whole_modes
def test_azure_is_reached_by_its_v1_address(server: WireServer, mode: str) -> None:
    """https://RESOURCE.openai.azure.com/openai/v1/, with or without the last slash, for both APIs."""
    for api in (RESPONSES, CHAT):
        for end in ("", "/"):
            server.script(api.answer(mode))
            base_url = f"{server.url}/openai/v1{end}"
            assert api.ask(mode, server, base_url=base_url) == TEXT

    paths = ["/openai/v1/responses"] * 2 + ["/openai/v1/chat/completions"] * 2
    assert [request.path for request in server.requests] == paths
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}


@whole_modes
def test_a_path_in_the_address_is_kept(server: WireServer, mode: str) -> None:
    """Gateways tell their customers apart by it."""
    server.script(ANTHROPIC.answer(mode))
    ANTHROPIC.ask(mode, server, base_url=f"{server.url}/proxy/")

    assert server.requests[0].path == "/proxy/v1/messages"


@every_mode
def test_an_auth_token_of_the_environment_is_sent(
    server: WireServer, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ANTHROPIC_AUTH_TOKEN, read at every call; a key goes first."""
    server.script(*[ANTHROPIC.answer(mode)] * 3)
    for token in ("token-one", "token-two"):
        monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", token)
        ANTHROPIC.ask(mode, server, api_key=None)
    ANTHROPIC.ask(mode, server)

    assert [ANTHROPIC.key_of(request) for request in server.requests] == ["token-one", "token-two", KEY]


# --- keys that expire ---------------------------------------------------------------------------------


class Tokens:
    """Gives another token at each call."""

    def __init__(self) -> None:
        self.given = 0

    def __call__(self) -> str:
        self.given += 1
        return f"expiring-token-{self.given}"

    async def give_async(self) -> str:
        await asyncio.sleep(0)
        return self()


@every_mode
@every_api
def test_a_key_may_be_a_function(server: WireServer, api: Api, mode: str) -> None:
    """It is asked before each request, as the token of Entra ID wants it."""
    server.script(api.answer(mode), api.answer(mode))
    tokens = Tokens()
    for _ in range(2):
        assert api.ask(mode, server, api_key=tokens) == TEXT

    assert [api.key_of(request) for request in server.requests] == ["expiring-token-1", "expiring-token-2"]


@every_api
def test_a_key_may_be_an_async_function(server: WireServer, api: Api) -> None:
    """In async calls, which await it; in a sync call it is refused, and nothing is sent."""
    server.script(api.answer("send"))
    tokens = Tokens()
    assert api.ask("send_async", server, api_key=tokens.give_async) == TEXT
    assert api.key_of(server.requests[0]) == "expiring-token-1"

    with pytest.raises(
        ConfigurationError, match="api_key is an async function: it works in async calls only"
    ):
        api.ask("send", server, api_key=tokens.give_async)
    assert len(server.requests) == 1


def test_a_slow_key_function_does_not_stop_the_loop(server: WireServer) -> None:
    """A token provider may ask a server: the loop's other tasks go on, which here open its way."""
    server.script(RESPONSES.answer("send"))

    async def run() -> str:
        loop, may_go_on = asyncio.get_running_loop(), asyncio.Event()

        def slow() -> str:
            asyncio.run_coroutine_threadsafe(may_go_on.wait(), loop).result(20)
            return KEY

        async def open_the_way() -> None:
            may_go_on.set()

        task = asyncio.create_task(RESPONSES.ask_async("send_async", server, api_key=slow))
        await open_the_way()
        return await task

    assert asyncio.run(run()) == TEXT


def test_each_try_asks_for_the_key_again(server: WireServer) -> None:
    """A key that has expired meanwhile is not used once more."""
    busy = json_answer({"error": {"message": "busy"}}, status=503, retry_after_ms="1")
    server.script(busy, RESPONSES.answer("send"))
    RESPONSES.ask("send", server, api_key=Tokens(), retry=1)

    keys = [RESPONSES.key_of(request) for request in server.requests]
    assert keys == ["expiring-token-1", "expiring-token-2"]


@whole_modes
@every_api
def test_a_key_of_a_function_is_in_no_error(server: WireServer, api: Api, mode: str) -> None:
    """Neither in a quoted error nor in an answer of an unexpected format."""
    token = Tokens()()  # not written out: a traceback shows the lines of this test as well
    repeated = dict.fromkeys(("choices", "output", "content", "candidates", "message", "x"), token)
    server.script(
        json_answer({"error": {"message": f"no access with {token}"}}, status=403), json_answer(repeated)
    )
    for words in (r"no access with \[key\]", api.name):
        with pytest.raises(ProviderError, match=words) as caught:
            api.ask(mode, server, api_key=Tokens())

        assert token not in "".join(traceback.format_exception(caught.value)) + str(vars(caught.value))


@whole_modes
@pytest.mark.parametrize(("value", "kind"), [(None, "NoneType"), ("", "str"), (3, "int")])
def test_a_function_that_gives_no_key_is_named(server: WireServer, value: Any, kind: str, mode: str) -> None:
    """And nothing is sent."""
    with pytest.raises(ConfigurationError, match=f"must return a non-empty str, not {kind}"):
        RESPONSES.ask(mode, server, api_key=lambda: value)

    assert server.requests == []


def test_a_key_of_a_function_must_fit_into_a_header(server: WireServer) -> None:
    """It is checked as any other key is."""
    with pytest.raises(ConfigurationError, match="a space, a line end"):
        RESPONSES.ask("send", server, api_key=lambda: "a key\n")


def test_what_is_neither_key_nor_function_is_refused() -> None:
    """Without showing it."""
    with pytest.raises(
        ConfigurationError, match=r"api_key must be a non-empty str, or a function .*, not \(hidden\)"
    ):
        configure(api_key=3)  # type: ignore[arg-type]


def test_a_key_function_shows_and_pickles_no_key(server: WireServer) -> None:
    """It remembers the last keys for redaction only."""
    made = check_key(fixed_key)
    assert isinstance(made, KeyFunction)
    assert made.key() == KEY
    copied = pickle.loads(pickle.dumps(made))

    assert (made.seen, copied.seen) == ((KEY,), ())
    assert copied == made
    assert KEY not in repr(made) + repr(Endpoint(api_key=made))
    server.script(RESPONSES.answer("send"))
    with use_config(api_key=fixed_key):
        ask("Hello", model="gpt-5.6", base_url=f"{server.url}/v1")


def fixed_key() -> str:
    return KEY


# --- how often the SDK is asked -----------------------------------------------------------------------


def test_an_address_is_asked_for_once(server: WireServer) -> None:
    """For each set of settings, also in another event loop."""
    settings = openai_settings(Endpoint(server.url, KEY), keyless=False)
    other = openai_settings(Endpoint(server.url, "sk-other"), keyless=False)

    async def ask() -> Any:
        return await (await CLIENTS.get_async(OPENAI, settings)).book.address_async("/responses")

    found = CLIENTS.get(OPENAI, settings).book.address("/responses")
    assert CLIENTS.get(OPENAI, settings).book.address("/responses") is found
    assert CLIENTS.get(OPENAI, settings).book.address("/other").url != found.url
    assert CLIENTS.get(OPENAI, other).book.address("/responses").headers != found.headers
    assert asyncio.run(ask()) is asyncio.run(ask())


GOOGLE = "europe-west4-aiplatform.googleapis.com"


@pytest.fixture
def google(tmp_path: Path) -> Iterator[tuple[WireServer, Transport]]:
    """A server that is Google's by its certificate, and how to reach it: through a proxy that knows it."""
    authority = Authority(tmp_path)
    cloud = WireServer(authority.server_context(host=GOOGLE))
    proxy = Proxy(ports={GOOGLE: cloud.port})
    try:
        yield cloud, Transport(proxy=proxy.url, ca_bundle=authority.bundle)
    finally:
        CLIENTS.close()
        proxy.stop()
        cloud.stop()


@every_mode
def test_a_token_of_google_cloud_is_refreshed(
    server: WireServer,
    google: tuple[WireServer, Transport],
    mode: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The SDK is asked again for each request, and gets another token when the old one has expired."""
    account = tmp_path / "account.json"
    account.write_text(json.dumps(service_account(f"{server.url}/token")))
    monkeypatch.setenv("GOOGLE_GENAI_USE_ENTERPRISE", "true")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "europe-west4")
    for token, seconds in (("first", 1), ("second", 3600)):
        server.script(json_answer({"access_token": token, "expires_in": seconds}))
    cloud, transport = google
    cloud.script(*[GEMINI.answer(mode)] * 3)

    at: dict[str, Any] = {"transport": transport, "base_url": None, "api_key": None}

    async def three() -> None:
        for _ in range(3):
            await GEMINI.ask_async(mode, server, **at)

    if mode in ("send", "open"):
        for _ in range(3):
            GEMINI.ask(mode, server, **at)
    else:
        asyncio.run(three())

    tokens = [request.headers["authorization"] for request in cloud.requests]
    assert [request.path for request in server.requests] == ["/token"] * 2
    assert tokens == ["Bearer first", "Bearer second", "Bearer second"]
    assert cloud.requests[0].path.startswith(
        "/v1beta1/projects/mine/locations/europe-west4/publishers/google/"
    )


@pytest.mark.parametrize("limit", ["timeout", "deadline"])
@every_mode
def test_the_wait_for_a_token_of_google_cloud_has_the_limits_of_the_call(
    server: WireServer, mode: str, limit: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The library for it waits for two minutes; its thread is left behind."""
    GEMINI_SDK.library()
    account = tmp_path / "account.json"
    account.write_text(json.dumps(service_account(f"{server.url}/token")))
    monkeypatch.setenv("GOOGLE_GENAI_USE_ENTERPRISE", "true")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "europe-west4")
    server.always = lambda _: Answer(before=Gate())
    found: list[AlloyError] = []
    for seconds in limits(lambda: "sign-in" in str(found)):
        options: dict[str, Any] = {"base_url": None, "api_key": None, "timeout": None, limit: seconds}
        with pytest.raises(AlloyError) as caught:
            GEMINI.ask(mode, server, **options)
        found.append(caught.value)
    kind = ProviderTimeoutError if limit == "timeout" else DeadlineError
    assert isinstance(found[-1], kind)
    assert "it waited for the sign-in at the provider" in str(found[-1])
    CLIENTS.close()


def service_account(token_uri: str) -> dict[str, str]:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {"type": "service_account", "client_email": "me@mine", "project_id": "mine"}
    return {**account, "private_key": pem, "token_uri": token_uri}


def test_an_address_with_a_key_of_gemini_lasts(server: WireServer) -> None:
    """A key does not expire, so the SDK is not asked again."""
    connection = CLIENTS.get(GEMINI_SDK, gemini_settings(Endpoint(server.url, KEY)))
    target = Target("m", streamed=False)
    assert connection.book.address(target) is connection.book.address(target)


@every_api
@every_mode
def test_a_key_function_that_raises_stop_iteration_is_an_error(server: WireServer, api: Api, mode: str):
    """Asyncio cannot raise it where a thread's result is awaited, and a generator takes it for its end."""

    def exhausted() -> str:
        return next(iter(()))

    with pytest.raises(ConfigurationError, match="api_key raised StopIteration"):
        api.ask(mode, server, api_key=exhausted)
    assert server.requests == []
