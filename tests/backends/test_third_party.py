"""A backend of another package: an entry point brings it, with everything that Alloy must know of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from kit.wire import WireServer, dripping, json_answer, lines

KEY = "very-secret-mistral-key"

MODULE = '''
from alloy import ProviderError
from alloy.backends import BaseBackend
from alloy.testing import FakeBackend

loads = []

class Mistral(FakeBackend, BaseBackend):
    """A codec like the offline one, whose server repeats the key."""

    prefixes = ("mistral-large", "ministral-")
    key_variables = ("MISTRAL_API_KEY", "MISTRAL_OTHER_KEY")

    def __init__(self):
        super().__init__("mistral")

    def load(self):
        loads.append(self)

    def address(self, endpoint):
        return endpoint.base_url or "https://api.mistral.example"

    def send(self, body, endpoint, cancel):
        import os
        if body["model"] == "ministral-refused":
            raise ProviderError("no access with " + os.environ["MISTRAL_API_KEY"], provider="mistral")
        return super().send(body, endpoint, cancel)
'''


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with an installed distribution."""
    (tmp_path / "alloy_mistral.py").write_text(MODULE)
    _distribution(tmp_path, "alloy-mistral", "mistral = alloy_mistral:Mistral")
    return tmp_path


@pytest.fixture
def broken(site: Path) -> Path:
    """The folder with one more, whose module cannot be imported."""
    (site / "alloy_broken.py").write_text("import no_such_dependency\n")
    _distribution(site, "alloy-broken", "broken = alloy_broken:Broken")
    return site


def _distribution(site: Path, name: str, entry_point: str) -> None:
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[alloy.backends]\n{entry_point}\n")


def run(site: Path, code: str, **environment: str) -> Any:
    """What *code* prints, as JSON, in a new process that finds the packages of *site*."""
    paths = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return json.loads(done.stdout)


def test_its_models_are_known_by_their_names(broken: Path) -> None:
    """A longer prefix wins over that of a built-in backend, and a broken package breaks only its own."""
    code = """
import json, logging
logging.getLogger("alloy").setLevel(logging.ERROR)
from alloy.backends.registry import resolve
names = ["mistral-large-2", "ministral-3b", "mistral:x", "mistral-small", "gpt-5"]
print(json.dumps([resolve(name)[0].name for name in names]))
"""
    assert run(broken, code) == ["mistral", "mistral", "mistral", "ollama", "openai"]


def test_a_broken_package_is_named_in_the_log(broken: Path) -> None:
    """Its models cannot be known, and somebody may look for them."""
    code = """
import io, json, logging
lines = io.StringIO()
logging.getLogger("alloy").addHandler(logging.StreamHandler(lines))
from alloy.backends.registry import register_backend, resolve
from alloy.testing import FakeBackend
resolve("gpt-5"), register_backend("one", FakeBackend("one")), resolve("gpt-5")
print(json.dumps(lines.getvalue()))
"""
    logged = run(broken, code)
    assert logged.count("'broken' is ignored for model names without a provider") == 1
    assert "no_such_dependency" in logged


def test_its_keys_are_in_no_error(site: Path) -> None:
    """Nor in what the error was caused by."""
    code = """
import json, traceback
from alloy import ProviderError, ask
try:
    ask("Hello", model="ministral-refused", retry=0)
except ProviderError as error:
    print(json.dumps("".join(traceback.format_exception(error))))
"""
    shown = run(site, code, MISTRAL_API_KEY=KEY)
    assert "no access with [key]" in shown
    assert KEY not in shown


def test_it_is_loaded_before_its_first_request(site: Path) -> None:
    """Each instance, once; a second one of the name too."""
    code = """
import json, alloy_mistral
from alloy import ask, register_backend
ask("Hello", model="ministral-3b"), ask("Hello", model="ministral-3b")
register_backend("mistral", alloy_mistral.Mistral())
ask("Hello", model="ministral-3b")
print(json.dumps(len({id(one) for one in alloy_mistral.loads}) == len(alloy_mistral.loads) == 2))
"""
    assert run(site, code) is True


def test_a_registration_replaces_it_wholly(site: Path) -> None:
    """Its prefixes go with it, when the new one has others."""
    code = """
import json
from alloy import ConfigurationError, register_backend
from alloy.backends.registry import resolve
from alloy.testing import FakeBackend
found = [resolve("ministral-3b")[0].name]
register_backend("mistral", FakeBackend("mine"), prefixes=("mine-",))
found += [resolve("mine-1")[0].name, resolve("mistral-large-2")[0].name]
try:
    resolve("ministral-3b")
except ConfigurationError:
    found.append("nobody")
print(json.dumps(found))
"""
    assert run(site, code) == ["mistral", "mine", "ollama", "nobody"]


def test_no_built_in_backend_is_imported_for_a_models_name(site: Path) -> None:
    """Their packages list their prefixes, so the first call of a process does not pay for all providers."""
    code = """
import json, sys
from alloy.backends.registry import resolve
resolve("claude-haiku-4-5")
heavy = ("alloy.backends.openai.responses", "alloy.backends.gemini.content", "alloy.backends.ollama.chat")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""
    assert run(site, code) == []


# --- the backend of the docs --------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "backends.md"
WHOLE = {"text": "Hello, world", "calls": [], "ended": "done", "tokens": {"in": 5, "out": 2}}

ASK = """
import asyncio, json
from alloy import ask
result = ask.run("Hello", model="acme-large", timeout=60)
found = [result.value, result.usage.total_tokens, "".join(ask.stream("Hello", model="acme-large"))]
async def main():
    found.append(await ask.async_("Hello", model="acme-small"))
    async with ask.stream_async("Hello", model="acme-small") as stream:
        found.append("".join([piece async for piece in stream]))
asyncio.run(main())
print(json.dumps(found))
"""

WAIT = """
import json
from alloy import ProviderTimeoutError, ask
try:
    ask("Hello", model="acme-large", timeout=0.3, retry=0)
except ProviderTimeoutError as error:
    print(json.dumps(type(error).__name__))
"""


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    """A folder with the package that the page about custom backends shows, and its entry point."""
    text = PAGE.read_text("utf-8")
    module = re.search(r"^```python\n# alloy_acme.py\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    project = re.search(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert module is not None
    assert project is not None
    (tmp_path / "alloy_acme.py").write_text(module[1], "utf-8")
    (entry_point,) = tomllib.loads(project[1])["project"]["entry-points"]["alloy.backends"].items()
    _distribution(tmp_path, "alloy-acme", " = ".join(entry_point))
    return tmp_path


@pytest.mark.slow
def test_the_package_of_the_docs_works(acme: Path, server: WireServer) -> None:
    """Installed, with its models known by their names, in all four ways of calling."""
    stream = lines([{"piece": "Hello, "}, {"piece": "world"}, {"answer": WHOLE}])
    server.script(json_answer(WHOLE), stream, json_answer(WHOLE), stream)
    found = run(acme, ASK, ACME_URL=server.url, ACME_API_KEY=KEY)

    assert found == ["Hello, world", 7, *["Hello, world"] * 3]
    assert {request.headers["x-acme-key"] for request in server.requests} == {KEY}


@pytest.mark.slow
def test_the_package_of_the_docs_obeys_the_time_limit(acme: Path, server: WireServer) -> None:
    """Although the body never stops coming."""
    server.script(dripping(json_answer(WHOLE)))
    assert run(acme, WAIT, ACME_URL=server.url, ACME_API_KEY=KEY) == "ProviderTimeoutError"


def test_the_public_names_are_importable_and_light() -> None:
    """What a package needs to build a backend, without an SDK or pydantic."""
    code = """
import json, sys
from alloy.backends import Accumulator, Backend, BaseBackend, CancelToken, Capabilities
light = [name for name in ("pydantic", "openai", "httpx", "asyncio") if name in sys.modules]
import alloy.backends
try:
    alloy.backends.Nothing
except AttributeError as error:
    light.append(str(error))
print(json.dumps(light))
"""
    assert run(Path(), code) == ["module 'alloy.backends' has no attribute 'Nothing'"]
