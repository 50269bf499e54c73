"""Keys, addresses and the SDK's own variables, through the real SDK against a server of ours."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any

import pytest
from google import genai
from kit import apis
from kit.talking import KEY, MODES, WHOLE, talk
from kit.wire import Answer, WireServer, json_answer
from kit.wire import gemini as says

from alloy.backends.gemini.content import GeminiBackend
from alloy.endpoints import Endpoint
from alloy.errors import (
    AuthenticationError,
    ConfigurationError,
    ProviderConnectionError,
    ProviderError,
)
from alloy.messages import Request, User

GEMINI = GeminiBackend()
MODEL = "gemini-3-flash-preview"
SECRET = "SyD-0123456789"

every_mode = pytest.mark.parametrize("mode", MODES)


def at(server: WireServer, **changes: Any) -> Endpoint:
    return Endpoint(**{"base_url": server.url, "api_key": KEY, "timeout": 20.0, **changes})


def ask(mode: str, endpoint: Endpoint) -> Any:
    return talk(GEMINI, mode, endpoint, GEMINI.encode(Request(MODEL, (User("Hello"),))))


def good(mode: str) -> Answer:
    """A whole answer, or a stream, that nothing is wrong with."""
    return (says.reply if mode in WHOLE else says.stream)(says.content(text="Hello"))


@every_mode
def test_the_details_of_an_error_do_not_show_the_key(server: WireServer, mode: str) -> None:
    """Google repeats it there."""
    key = f"AIza{SECRET}"  # a traceback shows the lines of this test as well
    details = {"@type": "ErrorInfo", "metadata": {"key": key}}
    server.script(says.failure(401, f"No such key: {key}", "UNAUTHENTICATED", details))
    with pytest.raises(ProviderError, match=r"No such key: \[key\]") as caught:
        apis.GEMINI.ask(mode, server, api_key=key)

    assert key not in "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))


def test_a_line_end_after_the_key_is_not_part_of_it(server: WireServer) -> None:
    """As the SDK reads it: keys come out of files."""
    server.script(good("send"))
    ask("send", at(server, api_key="AIza1\n"))

    assert server.requests[0].headers["x-goog-api-key"] == "AIza1"


@every_mode
def test_the_general_google_key_goes_first(
    server: WireServer, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the SDK; a slash at the end of the address does not matter."""
    server.script(good(mode))
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", f"{server.url}/two/")
    monkeypatch.setenv("GEMINI_API_KEY", "key-one")
    monkeypatch.setenv("GOOGLE_API_KEY", "key-two")
    ask(mode, Endpoint(timeout=20))

    (request,) = server.requests
    assert request.path.startswith("/two/v1")
    assert request.headers["x-goog-api-key"] == "key-two"


@every_mode
def test_the_version_of_the_api_is_the_sdks_or_the_environments(
    server: WireServer, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only the beta knows is reached by the SDK's variable, which it has from version 3 on."""
    server.script(good(mode), good(mode))
    ask(mode, at(server))
    monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", "beta")
    ask(mode, at(server))

    first = "v1" if int(genai.__version__.partition(".")[0]) >= 3 else "v1beta"
    assert [request.path.split("/")[1] for request in server.requests] == [first, "v1beta"]


@every_mode
@pytest.mark.parametrize("variable", ["GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_VERTEXAI"])
def test_google_cloud_is_reached_by_its_variables(
    server: WireServer, mode: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an API key (express mode), under the platform's path; an address of one's own needs none."""
    server.script(good(mode), good(mode))
    monkeypatch.setenv(variable, "true")
    ask(mode, at(server))
    ask(mode, at(server, api_key=None))

    one, two = server.requests
    assert one.path.startswith(f"/v1beta1/publishers/google/models/{MODEL}:")
    assert one.headers["x-goog-api-key"] == KEY
    assert "x-goog-api-key" not in two.headers


@every_mode
def test_google_cloud_takes_a_service_account(
    server: WireServer, mode: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Project, place and account come from the SDK's variables: it gets a token and goes to that place."""
    account = tmp_path / "account.json"
    account.write_text(json.dumps(service_account(f"{server.url}/token")))
    monkeypatch.setenv("GOOGLE_GENAI_USE_ENTERPRISE", "true")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "europe-west4")
    monkeypatch.setenv("HTTPS_PROXY", server.url)  # which refuses: nothing leaves the machine
    server.script(json_answer({"access_token": "tok", "expires_in": 3600}), Answer(status=502))
    with pytest.raises(ProviderConnectionError, match="502"):
        ask(mode, Endpoint(timeout=20))

    assert [(request.method, request.path) for request in server.requests] == [
        ("POST", "/token"),
        ("CONNECT", "europe-west4-aiplatform.googleapis.com:443"),
    ]


def service_account(token_uri: str) -> dict[str, str]:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {"type": "service_account", "client_email": "me@mine", "project_id": "mine"}
    return {**account, "private_key": pem, "token_uri": token_uri}


def test_google_cloud_without_credentials_names_the_fix(
    server: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that the variable names is not there."""
    monkeypatch.setenv("GOOGLE_GENAI_USE_ENTERPRISE", "true")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    with pytest.raises(ConfigurationError, match="gcloud auth application-default login"):
        ask("send", Endpoint())


def test_google_cloud_without_a_project_is_a_configuration_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's own credentials name no project; what the SDK says of it is a ConfigurationError."""
    user = {"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c"}
    (tmp_path / "user.json").write_text(json.dumps(user))
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "1")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "user.json"))
    with pytest.raises(ConfigurationError, match=r"gemini: .*project"):
        ask("send", Endpoint())


def test_the_developer_api_can_be_chosen_explicitly(
    server: WireServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that says "false" is no wish for Google Cloud."""
    server.script(good("send"))
    monkeypatch.setenv("GOOGLE_GENAI_USE_ENTERPRISE", "false")
    ask("send", at(server))

    assert "publishers" not in server.requests[0].path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("DefaultCredentialsError", ConfigurationError),
        ("TransportError", ProviderConnectionError),
        ("RefreshError", AuthenticationError),
        ("GoogleAuthError", AuthenticationError),
    ],
)
def test_an_error_of_googles_sign_in_is_explained(name: str, kind: type[Exception]) -> None:
    """Each in Alloy's terms, with the message of Google."""
    from google.auth import exceptions

    explained = GEMINI.explain(getattr(exceptions, name)("It broke."))
    assert type(explained) is kind
    assert "It broke." in str(explained)
