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
PERSON = {"name": "Maria", "age": 41, "city": "Lisbon"}
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


def chapters(output: str) -> str:
    return "".join(re.findall(r"^(\d)  ", output, re.MULTILINE))


def test_the_demo_runs_without_a_model() -> None:
    """Its answers are a script then, in which the contract corrects the model."""
    ran = run("demo.py", ALLOY_BACKEND="fake")

    assert (ran.returncode, ran.stderr) == (0, "")
    assert chapters(ran.stdout) == "12346"
    assert "Person(name='Maria', age=41, city='Lisbon')" in ran.stdout
    assert "failed: nights must be 2 or more" in ran.stdout
    assert "-> 340" in ran.stdout
    assert "\033" not in ran.stdout


@pytest.mark.local_model
def test_the_demo_runs_on_a_real_model() -> None:
    """Without a key and Ollama, a small model on this machine does all of it."""
    pytest.importorskip("xllamacpp")
    ran = run("demo.py", OLLAMA_HOST="127.0.0.1:1")

    assert ran.returncode == 0
    assert chapters(ran.stdout) == "123456"
    assert "Person(name='Maria', age=41, city='Lisbon')" in ran.stdout
    assert "the model calls temperature(city='Rome')" in ran.stdout
    assert re.search(r"4 texts: \d gave a Person", ran.stdout)
    assert "downgrades  tools" in ran.stdout


def test_the_demo_says_that_the_local_model_is_missing(tmp_path: Path) -> None:
    """Where its packages cannot be installed, the tour runs on the script."""
    missing = tmp_path / "sitecustomize.py"
    missing.write_text("import sys; sys.modules['xllamacpp'] = None")
    environment = {"OLLAMA_HOST": "127.0.0.1:1", "PYTHONPATH": str(tmp_path)}

    assert run("demo.py", "--extra", **environment).stdout.strip() == "local"
    ran = run("demo.py", **environment)

    assert (ran.returncode, ran.stderr, chapters(ran.stdout)) == (0, "", "12346")
    assert "a script, because there is no key, no Ollama server, and the local model" in ran.stdout


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
    """`make demo` installs the SDK of the provider that it found, if that is missing."""
    ran = run("demo.py", "--extra", **{"OLLAMA_HOST": "127.0.0.1:1", **environment})
    assert (ran.returncode, ran.stdout.strip(), ran.stderr) == (0, extra, "")


def test_the_demo_uses_an_ollama_server_that_runs(server: WireServer) -> None:
    """If an Ollama server is running, the tour uses its model, after asking for its capabilities."""
    people = [reply(answer(text=json.dumps(PERSON)))] * 4
    server.script(
        json_answer({"models": [{"name": "qwen3:4b"}]}),
        people[0],
        *[reply(answer(text='{"value": "positive"}'))] * 2,
        shown("completion", "tools"),
        reply(answer(calls=[("price_of_stay", {"room": "sea", "nights": 2})])),
        reply(answer(text="It is 340.")),
        reply(answer(text='{"value": 340}')),
        stream(answer(text="Blue light")),
        *people,
        *people,
    )

    ran = run("demo.py", OLLAMA_HOST=server.url)

    assert (ran.returncode, ran.stderr.count("\n")) == (0, 1), ran.stdout
    assert "asking for the answer in a separate turn" in ran.stderr
    assert f"qwen3:4b on the Ollama server at {server.url}" in ran.stdout
    assert chapters(ran.stdout) == "123456"
    assert "-> 340" in ran.stdout
    assert "Blue light" in ran.stdout
    assert "4 texts: 4 gave a Person, 1 have every field right" in ran.stdout
    assert "model       ollama:" in ran.stdout
    paths = [request.path for request in server.requests]
    assert paths == ["/api/tags", *["/api/chat"] * 3, "/api/show", *["/api/chat"] * 12]


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
