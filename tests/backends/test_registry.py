"""How a model's name finds its backend, how backends get there, and what they share."""

import asyncio
import importlib
import socket
import sys
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.patience import PATIENCE
from kit.wire import openai as says
from kit.wire.server import WireServer

from alloy import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ModelNotFoundError,
    ProviderConnectionError,
    ProviderTimeoutError,
    RateLimitError,
    ServerError,
    ask,
    register_backend,
)
from alloy._typed.schemas.dialects import Dialect
from alloy.backends.base import Backend, CancelToken, import_sdk, load_backend
from alloy.backends.fake.backend import FakeBackend
from alloy.backends.http.errors import ErrorBody, ErrorReader, Failure, retry_after
from alloy.backends.openai.errors import OpenAIErrors
from alloy.backends.registry import backend_names, registrations_undone, resolve


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """What a test registers ends with it: a process has no other way back."""
    with registrations_undone():
        yield


# --- routing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "provider", "name"),
    [
        ("openai:gpt-5", "openai", "gpt-5"),
        ("openai-chat:my/model:free", "openai-chat", "my/model:free"),
        ("fake:anything", "fake", "anything"),
        ("fake", "fake", "fake"),
        ("gpt-5.6", "openai", "gpt-5.6"),
        ("gpt-4o:latest", "openai", "gpt-4o:latest"),
        ("chatgpt-4o-latest", "openai", "chatgpt-4o-latest"),
        ("o1", "openai", "o1"),
        ("o3-mini", "openai", "o3-mini"),
        ("ft:gpt-4o:me::x", "openai", "ft:gpt-4o:me::x"),
    ],
)
def test_a_models_name_finds_its_backend(model: str, provider: str, name: str):
    """By `provider:model`, or by a well-known beginning; the provider gets its own name of the model."""
    backend, found = resolve(model)
    assert (backend.name, found) == (provider, name)


@pytest.mark.parametrize("name", ["openai", "openai-chat", "fake"])
def test_built_ins_are_backends_ready_for_use(name: str):
    """The same instance each time, and an instance, not its class."""
    backend, _ = resolve(f"{name}:x")
    assert isinstance(backend, Backend) and not isinstance(backend, type)
    assert resolve(f"{name}:y")[0] is backend
    assert backend.name == name
    assert name in backend_names()


@pytest.mark.parametrize(
    "model", ["my-gpt-clone", "my-llama3:8b", "openai:", ":gpt-5", "nobody:gpt-5", "GPT-5"]
)
def test_an_unknown_name_is_never_guessed(model: str):
    """The error shows how to write it, and which providers there are."""
    with pytest.raises(ConfigurationError, match=r"write provider:model, where .*fake.*openai, openai-chat"):
        resolve(model)


@pytest.mark.parametrize("model", [None, ""])
def test_without_a_model_the_ways_to_say_one_are_told(model: str | None):
    """Decorator, `configure`, environment, and how to run offline."""
    with pytest.raises(ConfigurationError, match=r"@command.*configure.*ALLOY_MODEL.*ALLOY_BACKEND=fake"):
        resolve(model)
    with pytest.raises(ConfigurationError, match=r"^ask\(\): no model"):
        ask("hello")


@pytest.mark.parametrize(
    ("model", "backend", "name"),
    [
        (None, "fake", "fake"),
        ("gpt-5", "fake", "gpt-5"),
        ("openai:gpt-5", "fake", "openai:gpt-5"),
        ("fake:x", "fake", "x"),
        ("fake:", "fake", "fake:"),
        ("my/model", "openai-chat", "my/model"),
    ],
)
def test_the_backend_can_be_said_apart(model: str | None, backend: str, name: str):
    """It overrides what the name says, and takes off its own prefix only."""
    found, known_as = resolve(model, backend)
    assert (found.name, known_as) == (backend, name)


def test_an_unknown_backend_names_those_there_are():
    """With the model for which it was asked."""
    with pytest.raises(
        ConfigurationError, match=r"no backend 'nobody' \(for the model 'x'\); there are .*fake"
    ):
        resolve("x", "nobody")


# --- registering ----------------------------------------------------------------------------------


class Named(FakeBackend):
    """A backend that says its name and dialect in its body, as many will."""

    name = "named"
    dialect = Dialect()

    def __init__(self) -> None:
        super().__init__("named")


def test_an_instance_a_class_and_a_function_can_be_registered():
    """Each is reached by its name; a class or a function is called once, on first use."""
    made: list[Backend] = []

    def make() -> Backend:
        made.append(FakeBackend("lazy"))
        return made[-1]

    one = FakeBackend("one")
    register_backend("one", one)
    register_backend("named", Named)
    register_backend("lazy", make)
    assert made == []
    assert resolve("one:x") == (one, "x")
    assert isinstance(resolve("named:x")[0], Named)
    assert resolve("lazy:x")[0] is resolve("lazy:y")[0] is made[0]
    assert len(made) == 1
    assert {"one", "named", "lazy"} <= set(backend_names())
    assert ask("hello there", model="named:x")


def test_prefixes_lead_to_the_backend_and_the_longest_wins():
    """A more special prefix is stronger, whoever came first."""
    register_backend("short", FakeBackend("short"), prefixes=("acme-",))
    register_backend("long", FakeBackend("long"), prefixes=("acme-large-", "gpt-acme-"))
    assert resolve("acme-small")[0].name == "short"
    assert resolve("acme-large-2")[0].name == "long"
    assert resolve("gpt-acme-1")[0].name == "long"
    assert resolve("gpt-5")[0].name == "openai"


class Claiming(FakeBackend):
    """A backend that has prefixes of its own."""

    prefixes = ("acme-",)


def test_a_backend_may_have_prefixes_of_its_own():
    """The argument of `register_backend` overrides them."""
    register_backend("acme", Claiming("acme"))
    assert resolve("acme-1")[0].name == "acme"
    register_backend("acme", Claiming("acme"), prefixes=("emca-",))
    assert resolve("emca-1")[0].name == "acme"
    with pytest.raises(ConfigurationError, match="no backend is known"):
        resolve("acme-1")


def test_a_later_registration_replaces_the_prefixes_too():
    """An earlier one under the same name leaves nothing behind."""
    register_backend("one", FakeBackend("first"), prefixes=("acme-", "both-"))
    register_backend("one", FakeBackend("second"), prefixes=("both-",))
    assert resolve("both-1")[0].name == "second"
    with pytest.raises(ConfigurationError, match="no backend is known"):
        resolve("acme-1")


def test_of_equal_prefixes_the_last_registered_one_counts():
    """Also against a built-in backend."""
    register_backend("one", FakeBackend("one"), prefixes=("acme-", "gpt-"))
    register_backend("two", FakeBackend("two"), prefixes=("acme-",))
    assert (resolve("acme-1")[0].name, resolve("gpt-5")[0].name) == ("two", "one")
    register_backend("one", FakeBackend("one again"), prefixes=("acme-",))
    assert (resolve("acme-1")[0].name, resolve("gpt-5")[0].name) == ("one again", "openai")


class Counting(FakeBackend):
    """A backend that counts how often it is loaded, and is equal to every other."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.loads = 0

    def load(self) -> None:
        self.loads += 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counting)

    __hash__ = None  # type: ignore[assignment]


def test_each_instance_is_loaded_once():
    """Also the second one of a name, and one that is equal to another."""
    first, second, other = Counting("one"), Counting("one"), Counting("other")
    for backend in (first, second, first):
        register_backend("one", backend)
        ask("x", model="one:m")
        asyncio.run(ask.async_("x", model="one:m"))
    register_backend("other", other)
    ask("x", model="other:m")
    assert [backend.loads for backend in (first, second, other)] == [1, 1, 1]


def test_an_instance_that_is_gone_is_not_taken_for_another():
    """A new object may get the id of an old one."""
    loads = []
    for _ in range(50):
        backend = Counting("brief")
        load_backend(backend)
        load_backend(backend)
        loads.append(backend.loads)
        del backend
    assert loads == [1] * 50


def test_a_later_registration_replaces_the_earlier():
    """Also after the earlier one was used, and also a built-in one."""
    register_backend("one", FakeBackend("first"))
    assert resolve("one:x")[0].name == "first"
    register_backend("one", FakeBackend("second"))
    assert resolve("one:x")[0].name == "second"
    register_backend("openai", FakeBackend("stand-in"))
    assert resolve("gpt-5")[0].name == "stand-in"


@pytest.mark.parametrize("name", ["", "a:b"])
def test_an_unreachable_name_is_refused(name: str):
    """A name that `provider:model` cannot hold."""
    with pytest.raises(ConfigurationError, match="without a colon"):
        register_backend(name, FakeBackend())


def test_what_is_no_backend_is_refused():
    """A function that gives something else is told when it is used."""
    register_backend("odd", dict)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="the backend 'odd' is a dict, not a Backend"):
        resolve("odd:x")


class Half:
    """A backend that lacks most of the protocol."""

    name = "half"

    def encode(self, request: Any) -> dict[str, Any]:
        return {"model": request.model}

    def send(self, body: Any, endpoint: Any, cancel: Any) -> Any:
        return {}


LACKS = (
    "it lacks accumulator, capabilities, decode, dialect, explain, open, open_async, send_async; "
    r"see https://\S*/docs/backends\.md"
)


def test_an_instance_without_a_method_is_refused_at_once():
    """The error names everything that it lacks, and the page that shows a whole backend."""
    with pytest.raises(ConfigurationError, match=f"a function that makes .*Half.*: {LACKS}") as caught:
        register_backend("half", Half())  # type: ignore[arg-type]

    page = str(caught.value).rpartition("/docs/")[2]
    assert (Path(__file__).parents[2] / "docs" / page).exists()
    assert "half" not in backend_names()


@pytest.mark.parametrize("source", [Half, lambda: Half()], ids=["class", "function"])
def test_what_a_function_makes_without_a_method_is_refused(source: Any):
    """When it is made."""
    register_backend("half", source)
    with pytest.raises(ConfigurationError, match=f"'half' is a Half, not a Backend: {LACKS}"):
        ask("Hello", model="half:x")


@pytest.mark.parametrize("source", [None, "openai", 3])
def test_what_can_neither_be_used_nor_called_is_refused(source: Any):
    """At once, too."""
    with pytest.raises(ConfigurationError, match=f"a function that makes one, not {source!r}: it lacks "):
        register_backend("odd", source)


def test_many_threads_get_one_instance():
    """A backend is made once, however many ask for it at the same time."""
    start, made, found = threading.Barrier(8), [], []

    def make() -> Backend:
        made.append(1)
        return FakeBackend("slow")

    def work() -> None:
        start.wait(PATIENCE)
        found.append(resolve("slow:x")[0])

    register_backend("slow", make)
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and len(set(map(id, found))) == 1 and len(found) == 8


# --- entry points ---------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that installs a distribution with one module and one entry point, as pip does."""

    def install(name: str, value: str, source: str) -> None:
        (tmp_path / f"{name}_module.py").write_text(source)
        info = tmp_path / f"{name}_dist-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-dist\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[alloy.backends]\n{name} = {value}\n")
        importlib.invalidate_caches()

    monkeypatch.syspath_prepend(str(tmp_path))
    yield install
    for module in [module for module in sys.modules if module.endswith("_module")]:
        del sys.modules[module]


def test_a_package_brings_its_backend_by_an_entry_point(package: Any):
    """Nothing has to be imported or registered; the backend is loaded when its name is used."""
    source = "from alloy.backends.fake.backend import FakeBackend\nmade = FakeBackend('thirdparty')\n"
    package("thirdparty", "thirdparty_module:made", source)
    assert "thirdparty" in backend_names()
    assert "thirdparty_module" not in sys.modules
    assert resolve("thirdparty:x")[0].name == "thirdparty"
    register_backend("thirdparty", FakeBackend("mine"))
    assert resolve("thirdparty:x")[0].name == "mine"


@pytest.mark.parametrize("value", ["broken_module:made", "broken_module:missing"])
def test_an_entry_point_that_does_not_load_names_its_package(value: str, package: Any):
    """Neither a bare `ImportError` nor an `AttributeError` escapes."""
    package("broken", value, "import no_such_package_at_all\n" if value.endswith("made") else "")
    said = r"the backend 'broken' of broken-dist \(broken_module:\w+\) cannot be loaded: .*(no_such|missing)"
    with pytest.raises(ConfigurationError, match=said) as raised:
        resolve("broken:x")
    assert isinstance(raised.value.__cause__, ImportError | AttributeError)


# --- what backends share --------------------------------------------------------------------------


def test_a_missing_sdk_gives_the_install_line():
    """The error names the package and the extra."""
    with pytest.raises(
        ConfigurationError, match=r"'no_such_sdk': pip install 'alloy-ai\[nosuch\]'"
    ) as raised:
        import_sdk("no_such_sdk", extra="nosuch")
    assert isinstance(raised.value.__cause__, ModuleNotFoundError)
    with pytest.raises(ConfigurationError, match="pip install"):
        import_sdk("no_such_sdk.inner", extra="nosuch")
    assert import_sdk("json", extra="x") is sys.modules["json"]


def test_an_sdk_that_is_broken_is_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where one of its own imports fails, that is what is told."""
    (tmp_path / "half_sdk_module.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        import_sdk("half_sdk_module", extra="half")


STATUS = [
    (400, BadRequestError, False),
    (401, AuthenticationError, False),
    (403, AuthenticationError, False),
    (404, ModelNotFoundError, False),
    (408, ProviderTimeoutError, True),
    (409, BadRequestError, True),
    (413, BadRequestError, False),
    (422, BadRequestError, False),
    (429, RateLimitError, True),
    (500, ServerError, True),
    (501, ServerError, False),
    (503, ServerError, True),
    (505, ServerError, False),
    (529, ServerError, True),
]


@pytest.mark.parametrize(("status", "kind", "transient"), STATUS)
def test_each_status_has_its_error(status: int, kind: type, transient: bool):
    """With all that the provider said, and whether trying again can help."""
    headers = {"retry-after": "3"}
    failure = Failure(ErrorBody("no", code="c"), status, headers, request_id="r")
    error = ErrorReader("p").explain(failure)
    assert type(error) is kind
    assert error.transient is transient
    assert (error.provider, error.status, error.code, error.request_id) == ("p", status, "c", "r")
    assert error.retry_after == 3
    assert str(error) == f"p: no (status {status}, request r)"


@given(status=st.integers(400, 599))
def test_no_status_is_unmapped(status: int):
    """Every error status gives a specific class."""
    assert type(ErrorReader("p").explain(Failure(ErrorBody("no"), status))).__name__ != "ProviderError"


def test_a_spent_quota_is_not_waited_for():
    """It has the status of haste, but time does not heal it."""
    error = {"code": "insufficient_quota", "message": "no"}
    assert OpenAIErrors("openai").in_answer(error).transient is False


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-1"}, 0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after-ms": "nan"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    ],
)
def test_how_long_to_wait_is_read_from_the_headers(headers: dict[str, str], seconds: float | None):
    """Milliseconds, seconds or a date; what is none of these says nothing."""
    assert retry_after(headers) == seconds


@pytest.mark.parametrize(
    "shape", [lambda t: formatdate(t, usegmt=True), lambda t: time.asctime(time.gmtime(t))]
)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_a_date_means_the_same_everywhere(shape: Any, zone: str, monkeypatch: pytest.MonkeyPatch):
    """Also in the obsolete form without a zone, whatever the machine's own zone is (RFC 9110, 5.6.7)."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        seconds = retry_after({"retry-after": shape(time.time() + 1000)})
        assert seconds is not None and 900 < seconds <= 1001
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_cancel_token_cuts_once():
    """What is attached is called when the token fires, and not a second time."""
    token, cuts = CancelToken(), []
    token.attach(lambda: cuts.append("first"))
    token.attach(lambda: cuts.append("second"))
    assert (cuts, token.fired) == ([], False)
    token.fire()
    token.fire()
    assert (cuts, token.fired) == (["second"], True)


def test_a_cut_that_comes_late_is_made_at_once():
    """A wait that begins after the time was up ends before it has begun."""
    token, cuts = CancelToken(), []
    token.fire()
    token.attach(lambda: cuts.append("late"))
    assert cuts == ["late"]


# --- names that are not known -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "meant"),
    [
        ("opanai:gpt-5", "openai:gpt-5"),
        ("OpenAI:gpt-5", "openai:gpt-5"),
        ("openai/gpt-5", "openai:gpt-5"),
        ("ollma:llama3:8b", "ollama:llama3:8b"),
        ("antropic:claude-x", "anthropic:claude-x"),
        ("gtp-5", "gpt-5"),
        ("gpt5", "gpt-5"),
        (" gpt-5", "gpt-5"),
        ("Claude-3", "claude-3"),
        ("gemni-2.5-pro", "gemini-2.5-pro"),
        ("lama3:8b", "llama3:8b"),
    ],
)
def test_a_misspelt_model_is_understood(model: str, meant: str):
    """By its provider, or by the beginning of its name; the suggestion is found."""
    with pytest.raises(ConfigurationError) as caught:
        resolve(model)
    assert f"no backend is known for the model {model!r} (did you mean {meant!r}?)" in str(caught.value)
    resolve(meant)


@pytest.mark.parametrize("model", ["zzz", "zzz:1", ":x", "openai:", "5", "/", "\n"])
def test_an_unknown_model_gets_the_rule(model: str):
    """The providers, and the beginnings of names that need none."""
    with pytest.raises(ConfigurationError) as caught:
        resolve(model)
    text = str(caught.value)
    assert "did you mean" not in text
    assert "write provider:model, where provider is one of anthropic, fake, gemini" in text
    assert "the name must begin with one of chatgpt-, claude-, " in text


def test_misspelt_backends_are_understood():
    """Wherever a backend is named."""
    with pytest.raises(ConfigurationError, match=r"no backend 'opanai' \(did you mean 'openai'\?\)"):
        resolve("x", "opanai")
    for setting in ({"extra": {"opanai": {}}}, {"headers": {"opanai": {"a": "b"}}}):
        with pytest.raises(ConfigurationError, match=r"opanai is not a backend \(did you mean 'openai'\?\)"):
            ask("hello", model="fake", **setting)  # type: ignore[call-overload]


def test_an_unreached_server_is_explained_by_the_name_of_the_model(monkeypatch: pytest.MonkeyPatch):
    """`mistral-large` goes to Ollama; who meant another provider learns how to name it."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # nobody listens, and nobody else can
        monkeypatch.setenv("OLLAMA_HOST", f"http://127.0.0.1:{silent.getsockname()[1]}")
        for way in (ask, lambda *args, **kwargs: asyncio.run(ask.async_(*args, **kwargs))):
            with pytest.raises(ProviderConnectionError) as caught:
                way("hello", model="mistral-large", retry=0)
            text = str(caught.value)
            assert "'mistral-large' goes to ollama, as it begins with 'mistral'; for another " in text
            assert "write provider:model, where provider is one of anthropic" in text
            assert "gpt-" in text
        with pytest.raises(ProviderConnectionError) as caught:
            ask("hello", model="ollama:mistral-large", retry=0)
        assert "goes to ollama" not in str(caught.value)


def test_a_missing_model_is_explained_by_its_name(server: WireServer):
    """The provider answers that it has no such model."""
    server.script(says.failure(404, "The model does not exist.", code="model_not_found"))
    with pytest.raises(ModelNotFoundError, match="'gpt-mini' goes to openai, as it begins with 'gpt-'"):
        ask("hello", model="gpt-mini", base_url=f"{server.url}/v1", api_key="k")
