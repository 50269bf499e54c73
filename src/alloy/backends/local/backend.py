"""Models that run on this machine: `local:path/to/model.gguf` and `local:smollm2`.

The model runs in a child process, as a llama.cpp server on loopback with the API of Chat Completions: a model
that crashes does not take the program with it, and all threads, event loops and commands share one copy of
the weights.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from alloy.addresses import address_problem
from alloy.backends.base import CancelToken, Capabilities
from alloy.backends.fallback.turn_form import TurnForm
from alloy.backends.http.errors import Failure
from alloy.backends.http.stainless import StainlessSdk
from alloy.backends.http.transport_errors import origin
from alloy.backends.local.grammar import turn_grammar
from alloy.backends.local.model_files import find_model, model_name
from alloy.backends.local.servers import SERVERS, LocalServer, check_package
from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.backends.openai.errors import OpenAIErrors
from alloy.endpoints import Endpoint, without_credentials
from alloy.errors import AlloyError, ConfigurationError, ProviderConnectionError, UnsupportedError
from alloy.jsontypes import JsonObject

__all__ = ["LocalBackend"]

NAME = "local"
_CAPABILITIES = Capabilities(documents=False, urls=False, document_urls=False)


class LoopbackSdk(StainlessSdk):
    """OpenAI's SDK for a server on loopback, which is never reached through a proxy."""

    def pool(self, *, is_async: bool, **options: Any) -> Any:
        """An HTTP client that ignores the proxies of the environment."""
        return super().pool(is_async=is_async, **{**options, "trust_env": False})


class LocalErrors(OpenAIErrors):
    """The errors of the server of a local model."""

    address_variable = ""
    advice: Mapping[int, str] = {}

    def hint(self, status: int, failure: Failure) -> str:
        """What can be done about the two things that are not in the server's own words."""
        if failure.body.kind == "exceed_context_size_error":
            return "; a longer context is set in the model's name: local:PATH?context=16384"
        if "load image" in failure.body.message:
            return "; llama.cpp reads JPEG, PNG, GIF and BMP"
        return ""


class LocalBackend(OpenAIChatBackend):
    """Chat Completions of a child process that runs a GGUF file by llama.cpp.

    Before each request the server of the body's model is looked up, or started, and the request is
    addressed to it. A `base_url` says at which port of this machine the server is to listen.
    """

    name = NAME
    sdk = LoopbackSdk("openai", "OpenAIError", "OpenAI", "AsyncOpenAI")
    errors = LocalErrors(NAME)
    batches = None
    packages = ("openai", "xllamacpp")

    def capabilities(self, model: str) -> Capabilities:
        """What llama.cpp supports with the right model; the server says more when it runs."""
        return _CAPABILITIES

    def address(self, endpoint: Endpoint) -> str:
        """The same for all models: what is remembered of a model depends on its file."""
        return NAME

    def model_version(self, model: str) -> str:
        """The files of the model, with their sizes and times."""
        found = find_model(model)
        files = [(path, os.stat(path)) for path in (found.path, found.mmproj) if path]
        return repr([(path, facts.st_size, facts.st_mtime_ns) for path, facts in files])

    def enforce(self, form: TurnForm) -> JsonObject:
        """A grammar that lets a model without tools of its own write nothing but a ReAct turn."""
        return {"grammar": turn_grammar(form)}

    def check(self, model: str, endpoint: Endpoint) -> None:
        """Raise `ConfigurationError` for a missing file or package, and a `base_url` of another machine."""
        find_model(model)
        check_package()
        _port(endpoint)

    def located(self, body: Mapping[str, Any], endpoint: Endpoint, cancel: CancelToken) -> Endpoint:
        """The endpoint of the server that runs the body's model, which is started if necessary."""
        server = SERVERS.get(find_model(body["model"]), _port(endpoint), cancel)
        return _endpoint(server, body, endpoint)

    async def located_async(self, body: Mapping[str, Any], endpoint: Endpoint) -> Endpoint:
        """As `located`."""
        server = await SERVERS.get_async(find_model(body["model"]), _port(endpoint))
        return _endpoint(server, body, endpoint)

    def content(self, body: Mapping[str, Any], *, streamed: bool) -> Mapping[str, Any]:
        """With the name that the server gives its model; a path is of no use there."""
        return {**super().content(body, streamed=streamed), "model": model_name(body["model"])}

    def explain(self, error: Exception) -> AlloyError | None:
        """*error* as an Alloy error: it names a server that died."""
        problem = super().explain(error)
        server = None if problem is None else SERVERS.at(_origin(error))
        if server is None or not server.has_ended():
            return problem
        return ProviderConnectionError(
            f"the server of {server.model.path} ended with the exit status {server.process.returncode}"
            f"{f' ({server.last_words})' if server.last_words else ''}; the next request starts it again",
            provider=NAME,
        )


def _origin(error: Exception) -> str:
    with suppress(AttributeError, RuntimeError):  # an error without a request
        return origin(error.request)  # type: ignore[attr-defined]
    return ""


def _port(endpoint: Endpoint) -> int:
    """The port in `base_url`; 0 for any free one."""
    if endpoint.base_url is None:
        return 0
    if address_problem(endpoint.base_url) is None:
        parts = urlsplit(endpoint.base_url)
        if parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost") and parts.port:
            return parts.port
    raise ConfigurationError(
        "local: base_url says at which port of this machine the model's server is to listen, as in "
        f"http://127.0.0.1:8080, and {without_credentials(endpoint.base_url)} does not: leave it out for any "
        "free port, or use openai-chat:MODEL for a server that is already running"
    )


def _endpoint(server: LocalServer, body: Mapping[str, Any], endpoint: Endpoint) -> Endpoint:
    """How to reach *server*, after a look at what its model supports."""
    if body.get("tools") and not server.abilities.tools:
        raise UnsupportedError(
            f"the chat template of {server.model.name} has no place for tools", feature="tools", provider=NAME
        )
    if not server.abilities.vision and _has_images(body):
        raise ConfigurationError(
            f"local:{server.model.name} does not accept images: choose a model with vision, and name the "
            "file of its vision part: local:PATH?mmproj=PATH"
        )
    address = f"{server.address}/v1"
    # Headers, proxies and clients are meant for servers outside of this machine.
    return replace(endpoint, base_url=address, api_key=server.key, headers=(), http_client=(), transport=None)


def _has_images(body: Mapping[str, Any]) -> bool:
    contents = [message.get("content") for message in body["messages"]]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return any(part.get("type") == "image_url" for part in parts)
