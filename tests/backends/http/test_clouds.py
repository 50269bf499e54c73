"""Azure, Bedrock and Vertex: Alloy's request is that of the SDK's own client class for the service."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest
from kit.apis import ANTHROPIC, CHAT, RESPONSES, Api
from kit.talking import KEY
from kit.wire import WireServer

PROMPT = "Hello"
# Who sent it, and how: no matter of the service.
OWN = ("user-agent", "content-length", "idempotency-key", "host", "connection", "accept")


def by_responses(client: Any) -> None:
    client.responses.create(model="gpt-5.6", input=PROMPT)


def by_chat(client: Any) -> None:
    client.chat.completions.create(model="gpt-5.6", messages=[{"role": "user", "content": PROMPT}])


def by_messages(client: Any) -> None:
    messages: list[Any] = [{"role": "user", "content": PROMPT}]
    client.messages.create(model="claude-sonnet-4-6", max_tokens=100, messages=messages)


def azure_by_date(url: str) -> Any:
    import openai

    return openai.AzureOpenAI(azure_endpoint=url, api_key=KEY, api_version="2024-10-21", max_retries=0)


def azure_v1(url: str) -> Any:
    import openai

    return openai.OpenAI(base_url=f"{url}/openai/v1/", api_key=KEY, max_retries=0)


def bedrock_openai(url: str) -> Any:
    import openai

    return openai.BedrockOpenAI(base_url=f"{url}/openai/v1", api_key=KEY, max_retries=0)


def vertex_openai(url: str) -> Any:
    import openai
    from openai.providers.vertex import vertex

    address = f"{url}/v1/projects/mine/locations/global/publishers/openai/v1"
    provider = vertex(base_url=address, token_provider=lambda: KEY)
    return openai.OpenAI(provider=provider, max_retries=0)


def anthropic_sdk() -> Any:
    import anthropic

    if anthropic.__version__.startswith("1."):
        pytest.skip("this SDK sends a key as x-api-key, and not as a bearer token")
    return anthropic


def foundry(url: str) -> Any:
    return anthropic_sdk().AnthropicFoundry(
        base_url=f"{url}/anthropic/", azure_ad_token_provider=lambda: KEY, max_retries=0
    )


def bedrock_claude(url: str) -> Any:
    return anthropic_sdk().AnthropicBedrockMantle(base_url=f"{url}/anthropic", api_key=KEY, max_retries=0)


class Service(NamedTuple):
    """The SDK's client of a service, and what to set in Alloy for the same."""

    client: Callable[[str], Any]
    ask: Callable[[Any], None]
    api: Api
    base: str
    headers: Mapping[str, str] = {}
    no_matter: tuple[str, ...] = ()  # headers that only one of the two has


SERVICES = {
    "Azure, Responses": Service(azure_v1, by_responses, RESPONSES, "/openai/v1/"),
    "Azure, Chat Completions": Service(azure_v1, by_chat, CHAT, "/openai/v1/"),
    "Azure by date": Service(
        azure_by_date,
        by_chat,
        CHAT,
        "/openai/deployments/gpt-5.6?api-version=2024-10-21",
        {"api-key": KEY},
        ("authorization",),
    ),
    "Azure, Claude": Service(foundry, by_messages, ANTHROPIC, "/anthropic/"),
    "Bedrock, Responses": Service(bedrock_openai, by_responses, RESPONSES, "/openai/v1"),
    "Bedrock, Chat Completions": Service(bedrock_openai, by_chat, CHAT, "/openai/v1"),
    "Bedrock, Claude": Service(bedrock_claude, by_messages, ANTHROPIC, "/anthropic"),
    "Vertex, OpenAI's models": Service(
        vertex_openai, by_responses, RESPONSES, "/v1/projects/mine/locations/global/publishers/openai/v1"
    ),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the SDK's client is left open
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_a_request_is_that_of_the_services_own_client(server: WireServer, service: Service) -> None:
    """Its address with the query, its headers with the key, and the model and the prompt in its body."""
    try:
        client = service.client(server.url)
    except (AttributeError, ImportError) as missing:
        pytest.skip(f"an SDK without this service: {missing}")
    server.script(service.api.answer("send"), service.api.answer("send"))
    service.ask(client)
    del client
    gc.collect()
    headers = dict(service.headers)
    service.api.ask("send", server, base_url=server.url + service.base, headers=headers, timeout=None)

    theirs, ours = server.requests
    assert ours.path == theirs.path
    for name in {*ours.headers, *theirs.headers} - {*OWN, *service.no_matter}:
        if not name.startswith("x-stainless-"):
            assert ours.headers.get(name) == theirs.headers.get(name), name
    assert ours.json["model"] == theirs.json["model"]
    assert PROMPT in str(ours.json) and PROMPT in str(theirs.json)
