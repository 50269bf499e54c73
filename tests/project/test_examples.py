"""Each example runs offline and prints the output that its docstring shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from kit.wire import WireServer, json_answer
from kit.wire.ollama import answer, reply, shown, stream

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
HELPERS = {"offline", "demo"}
SCRIPTS = sorted(path for path in EXAMPLES.glob("*.py") if path.stem not in HELPERS)
INVOICE = {"vendor": "ACME", "total": 92.5, "currency": "EUR", "lines": ["3 anvils"]}
PROMISE = re.compile(r"prints:\n\n((?:    .*\n?)+)")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=EXAMPLES,
        env={**os.environ, "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
    )


def docstring(script: Path) -> str:
    return re.match(r'"""(.*?)"""', script.read_text("utf-8"), re.DOTALL)[1]  # type: ignore[index]


pytestmark = pytest.mark.slow


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_prints_what_it_promises(script: Path) -> None:
    """Offline, an example prints the output that its docstring shows; the docstring says what to expect."""
    text = docstring(script)
    assert "Expected outcome" in text

    ran = run(script.name, ALLOY_BACKEND="fake")

    assert (ran.returncode, ran.stderr) == (0, "")
    if promised := PROMISE.search(text):
        assert ran.stdout.splitlines() == [line[4:] for line in promised[1].splitlines()]
    else:
        assert "2 passed" in text
        assert "2 passed" in ran.stdout


def test_the_demo_shows_its_four_chapters() -> None:
    """Without a model the tour uses scripted answers, in which the contract corrects the model."""
    ran = run("demo.py", OLLAMA_HOST="127.0.0.1:1")

    assert (ran.returncode, ran.stderr) == (0, "")
    assert re.findall(r"^(\d)  ", ran.stdout, re.MULTILINE) == ["1", "2", "3", "4"]
    assert "Invoice(vendor='ACME GmbH', total=92.5" in ran.stdout
    assert "failed: nights must be 2 or more" in ran.stdout
    assert "-> 340" in ran.stdout
    assert "\033" not in ran.stdout


@pytest.mark.parametrize(
    ("environment", "extra"),
    [
        ({}, ""),
        ({"ALLOY_BACKEND": "fake", "OPENAI_API_KEY": "sk-none"}, ""),
        ({"OPENAI_API_KEY": "sk-none"}, "openai"),
        ({"ANTHROPIC_API_KEY": "sk-none"}, "anthropic"),
        ({"GEMINI_API_KEY": "none"}, "gemini"),
        ({"GOOGLE_API_KEY": "none"}, "gemini"),
        ({"ALLOY_MODEL": "gpt-5.6"}, "openai"),
        ({"ALLOY_MODEL": "openai-chat:any"}, "openai"),
        ({"ALLOY_MODEL": "claude-haiku-4-5"}, "anthropic"),
        ({"ALLOY_MODEL": "gemini-3-flash"}, "gemini"),
        ({"ALLOY_MODEL": "ollama:qwen3:4b"}, "ollama"),
        ({"ALLOY_MODEL": "qwen3:4b"}, "ollama"),
        ({"ALLOY_MODEL": "nobodys-model"}, ""),
        ({"ALLOY_MODEL": "ollama-chat:qwen3"}, "ollama,openai"),
    ],
)
def test_the_demo_knows_what_it_needs(environment: dict[str, str], extra: str) -> None:
    """`make demo` installs the SDK of the provider that it found, and none for scripted answers."""
    ran = run("demo.py", "--extra", **{"OLLAMA_HOST": "127.0.0.1:1", **environment})
    assert (ran.returncode, ran.stdout.strip(), ran.stderr) == (0, extra, "")


def test_the_demo_uses_an_ollama_server_that_runs(server: WireServer) -> None:
    """If an Ollama server is running, the tour uses its model, after asking for its capabilities."""
    server.script(
        json_answer({"models": [{"name": "qwen3:4b"}]}),
        reply(answer(text=json.dumps(INVOICE))),
        shown("completion", "tools"),
        reply(answer(calls=[("price_of_stay", {"room": "sea", "nights": 2})])),
        reply(answer(text="Two nights are 340 EUR.")),
        stream(answer(text="Types on either side")),
    )

    ran = run("demo.py", OLLAMA_HOST=server.url)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"qwen3:4b on the Ollama server at {server.url}" in ran.stdout
    assert "Invoice(vendor='ACME', total=92.5" in ran.stdout
    assert "-> 340" in ran.stdout
    assert "Types on either side" in ran.stdout
    assert "model   ollama:" in ran.stdout
    paths = [request.path for request in server.requests]
    assert paths == ["/api/tags", "/api/chat", "/api/show", *["/api/chat"] * 3]


def test_the_demo_names_the_problem_of_a_real_model() -> None:
    """An error of the provider ends the tour with the reason and the command for an offline tour."""
    dead = "http://127.0.0.1:1/v1"
    ran = run("demo.py", ALLOY_MODEL="openai-chat:any", OPENAI_BASE_URL=dead, ALLOY_RETRY="0")
    assert ran.returncode == 1
    assert "ProviderConnectionError" in ran.stdout
    assert "ALLOY_BACKEND=fake make demo" in ran.stdout


def test_the_notebook_has_outcome_notes() -> None:
    """The notebook says what to expect; its outputs are compared in `test_docs.py`."""
    book = json.loads((EXAMPLES / "walkthrough.ipynb").read_text("utf-8"))
    notes = [cell for cell in book["cells"] if "utcome:**" in "".join(cell["source"])]
    assert len(notes) >= 3
    assert any(cell.get("outputs") for cell in book["cells"])
