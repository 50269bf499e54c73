"""The page about servers: its settings lead to the address that they say, and its results are current."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from kit.apis import APIS
from kit.pages import NEEDS, blocks
from kit.wire import WireServer
from servers.checks import CHECKS
from servers.deviations import allowed
from servers.targets import MissingServer, program

from alloy import ask

PAGE = Path(__file__).parents[2] / "docs" / "servers.md"
RESULTS = json.loads(PAGE.with_suffix(".json").read_text("utf-8"))
VERTEX = "/v1/projects/PROJECT/locations/global/publishers/openai/v1"

PATHS = {
    "llama_cpp": "/v1/chat/completions",
    "vllm": "/v1/chat/completions",
    "lm_studio": "/v1/chat/completions",
    "openrouter": "/api/v1/chat/completions",
    "litellm": "/v1/chat/completions",
    "litellm_claude": "/v1/messages",
    "azure": "/openai/v1/responses",
    "azure_claude": "/anthropic/v1/messages",
    "azure_by_date": "/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21",
    "bedrock": "/openai/v1/responses",
    "bedrock_claude": "/anthropic/v1/messages",
    "vertex_openai": f"{VERTEX}/responses",
}
NOT_TRIED = {("llama.cpp", "too many requests"), ("fakellm", "wrong key")}


@pytest.fixture(scope="module")
def shown() -> dict[str, dict[str, Any]]:
    """The settings in the page, by their names."""
    names: dict[str, Any] = {}
    for block in blocks(PAGE):
        if not NEEDS.match(block.code):
            exec(compile(block.code, str(PAGE), "exec"), names)
    return {name: value for name, value in names.items() if isinstance(value, dict) and "model" in value}


def test_every_setting_is_checked(shown: dict[str, dict[str, Any]]) -> None:
    assert set(shown) == set(PATHS)


@pytest.mark.parametrize("name", PATHS)
def test_settings_lead_to_the_api(server: WireServer, shown: dict[str, dict[str, Any]], name: str) -> None:
    """At the server of the page, which loopback stands for; the key is in the header that it says."""
    settings = shown[name]
    api = next(api for api in APIS if api.name == settings["model"].partition(":")[0])
    server.script(api.answer("send", "Hello."))
    parts = urlsplit(settings["base_url"])
    base_url = server.url + parts.path + (f"?{parts.query}" if parts.query else "")

    assert ask("Hello.", **{**settings, "base_url": base_url}) == "Hello."
    (request,) = server.requests
    assert request.path == PATHS[name]
    assert request.json["model"] == settings["model"].partition(":")[2]
    key = settings.get("api_key", "none")
    key = key() if callable(key) else key
    assert api.key_of(request) == key
    for header, value in settings.get("headers", {}).items():
        assert request.headers[header] == value


@pytest.mark.parametrize("name", RESULTS)
def test_results_are_those_of_the_present_checks(name: str) -> None:
    """`make test-servers` has seen every row, and nothing that is neither right nor a known deviation."""
    for api, seen in RESULTS[name]["apis"].items():
        assert list(seen) == list(CHECKS)
        for row, words in seen.items():
            if (name, row) not in NOT_TRIED:
                assert set(words.split(" or ")) <= allowed(name, api, row, writes="llama.cpp" in name)


def test_a_server_whose_program_is_missing_is_skipped_with_the_reason() -> None:
    with pytest.raises(MissingServer, match="no-such-program is not installed"):
        program("no-such-program")
