"""The README and the pages are true: their code blocks run and print the output that they show."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from kit import pages
from kit.pages import FENCED, blocks

from alloy import ConfigurationError, ask, effects, events
from alloy.settings import PER_MODEL, SENT

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GUIDES = [ROOT / "CONTRIBUTING.md", ROOT / "tests" / "README.md", ROOT / "tests" / "kit" / "README.md"]
PAGES = [ROOT / "README.md", *GUIDES, *sorted(DOCS.glob("**/*.md"))]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


WITH_PYTHON = [page for page in PAGES if any(blocks(page))]


def run_python(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a new Python process, because pages change process-wide state; warnings are errors there too."""
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_PYTHON, ids=name)
def test_blocks_run_and_print_what_they_show(page: Path) -> None:
    """A page is one program, offline: each block runs after the ones before it."""
    ran = run_python("-P", pages.__file__, str(page), ALLOY_BACKEND="fake")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_readme_program_prints_what_the_readme_says(tmp_path: Path) -> None:
    """Its first block, saved under its file name and run with the offline command, prints the line shown."""
    text = (ROOT / "README.md").read_text("utf-8")
    program = re.search(r"<!-- file: (\S+) -->\n```python\n(.*?)```", text, re.DOTALL)
    offline = re.search(r"^\$ (ALLOY_BACKEND=fake .*)\n(.*)$", text, re.MULTILINE)
    assert program is not None
    assert offline is not None
    (tmp_path / program[1]).write_text(program[2], "utf-8")
    setting, python, *arguments = shlex.split(offline[1])
    assert python == "python"

    ran = run_python(*arguments, cwd=tmp_path, **dict([setting.split("=")]))

    assert (ran.returncode, ran.stdout.strip(), ran.stderr) == (0, offline[2], "")


def test_the_readme_fits_on_a_screen() -> None:
    """It has at most 90 lines, and names both commands."""
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) <= 90
    assert "`make demo`" in text
    assert "`make test`" in text


LINK = re.compile(r"(!?)\[[^\]]*\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", [*PAGES, ROOT / "ROADMAP.md", ROOT / "CHANGELOG.md"], ids=name)
def test_links_lead_to_files(page: Path) -> None:
    """The targets of relative links and pictures exist; the build of the site checks them again."""
    generated = {"roadmap.md", "changelog.md", "contributing.md"} if page.parent == DOCS else set()
    text = FENCED.sub("", page.read_text("utf-8"))
    wanted = [target for _, target in LINK.findall(text) if target not in generated]
    assert [target for target in wanted if not (page.parent / target).exists()] == []


ANCHOR = re.compile(r"\]\((?!https?:)([^)#]*)#([^)]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
TOP_PAGES = {"roadmap.md": "ROADMAP.md", "changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}


def _anchors(page: Path) -> set[str]:
    """The anchors of the headings of *page*, as GitHub and the site generate them."""
    headings = HEADING.findall(FENCED.sub("", page.read_text("utf-8")))
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "ROADMAP.md", ROOT / "CHANGELOG.md"], ids=name)
def test_links_lead_to_headings(page: Path) -> None:
    """The part of a link after `#` is a heading of the page that it leads to."""
    lost = []
    for target, anchor in ANCHOR.findall(FENCED.sub("", page.read_text("utf-8"))):
        other = page.parent / target if target else page
        if page.parent == DOCS and target in TOP_PAGES:
            other = ROOT / TOP_PAGES[target]
        if anchor not in _anchors(other):
            lost.append(f"{target}#{anchor}")
    assert lost == []


@pytest.mark.parametrize("page", [*PAGES, ROOT / "ROADMAP.md", ROOT / "CHANGELOG.md"], ids=name)
def test_rows_have_as_many_cells_as_their_head(page: Path) -> None:
    """A bar inside a cell ends the cell on GitHub, even in code (https://github.github.com/gfm/#example-200)."""
    text = FENCED.sub(_blank, page.read_text("utf-8"))
    wrong = []
    for table in re.finditer(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = table[0].splitlines()
        cells = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
        wrong += [row for row, count in zip(rows, cells, strict=True) if count != cells[0]]
    assert wrong == []


def test_generated_files_are_current() -> None:
    """`make generate` would change nothing: tables in the docs, outputs in the notebook."""
    ran = run_python(str(DOCS / "generate.py"), "--check")
    assert ran.returncode == 0, ran.stdout + ran.stderr


GENERIC_KEYS = re.compile(r"<!-- checked: test_docs\.py encodes every cell -->\n\n((?:\|.*\n)+)")
# A model of each backend that takes every setting which the backend has a counterpart for.
TAKES_ALL = {
    "openai": "gpt-5.6",
    "openai-chat": "any",
    "anthropic": "claude-sonnet-4-6",
    "gemini": "gemini-2.5-flash",
    "ollama": "qwen3",
}
SET: dict[str, Any] = {
    "max_tokens": 64,
    "temperature": 0.5,
    "top_p": 0.5,
    "seed": 7,
    "stop": "END",
    "reasoning_effort": "low",
    "tool_choice": "required",
    "allowed_tools": ["now"],
    "parallel_tools": False,
    "prompt_caching": True,
}


def _generic_keys() -> Iterator[tuple[str, str, str]]:
    """Each cell of the table: the setting, the backend, and the text of the cell."""
    table = GENERIC_KEYS.search((DOCS / "configuration.md").read_text("utf-8"))
    assert table is not None
    head, _, *rows = (
        [cell.strip(" `") for cell in line.strip("|\n").split("|")] for line in table[1].splitlines()
    )
    for setting, *cells in rows:
        yield from ((setting, backend, text) for backend, text in zip(head[1:], cells, strict=True))


def test_the_table_of_generic_keys_is_complete() -> None:
    """Every setting that is sent in a request has a row, with a cell for every backend."""
    cells = list(_generic_keys())
    assert {setting for setting, _, _ in cells} == set(SENT) == set(SET)
    assert {backend for _, backend, _ in cells} == set(TAKES_ALL)


def test_the_settings_of_one_model_are_listed() -> None:
    """A dict in a list of models takes those of the sentence, and the generic ones but one."""
    text = (DOCS / "failures.md").read_text("utf-8")
    sentence = r"^A dict takes (.*) and all \[generic settings\].* except `allowed_tools`\.$"
    (listed,) = re.findall(sentence, text, re.MULTILINE)
    generic = {setting for setting, _, _ in _generic_keys()} - {"allowed_tools"}
    assert {"model", *re.findall(r"`(\w+)`", listed)} | generic == PER_MODEL


@pytest.mark.parametrize(("setting", "backend", "cell"), list(_generic_keys()))
def test_generic_keys_are_sent_as_the_page_says(setting: str, backend: str, cell: str) -> None:
    """The setting changes the request at that place, is an error, or changes nothing."""

    def now() -> str:
        """The time."""
        return "noon"

    def later() -> str:
        """Another time."""
        return "one"

    def body(**settings: Any) -> dict[str, Any]:
        model = f"{backend}:{TAKES_ALL[backend]}"
        return ask.request("Hi.", model=model, backend=None, tools=[now, later], **settings)

    if cell == "refused":
        with pytest.raises(ConfigurationError, match=f"does not support {setting}"):
            body(**{setting: SET[setting]})
        return
    plain, fuller = body(), body(**{setting: SET[setting]})
    if cell == "automatic":
        assert fuller == plain
    else:
        path = cell.split(".")
        assert _at(fuller, path) not in (None, _at(plain, path))


def _fields(kinds: Iterable[Any]) -> dict[str, list[str]]:
    """The names of each dataclass among *kinds*, with the names of its fields."""
    classes = [get_origin(kind) or kind for kind in kinds]
    return {kind.__name__: [each.name for each in fields(kind)] for kind in classes if is_dataclass(kind)}


def test_the_table_of_events_is_complete() -> None:
    """Each event has a row with its fields; `call_id` is in all but deltas, and `value` a property."""
    known = _fields(get_args(events.Event))
    assert [kind for kind, names in known.items() if "call_id" not in names] == [
        "TextDelta",
        "ReasoningDelta",
    ]
    known = {kind: [name for name in names if name != "call_id"] for kind, names in known.items()}
    known["Final"].append("value")
    rows = re.findall(
        r"^\| `([A-Z]\w+)` \|.*\|(.*)\|$", (DOCS / "events.md").read_text("utf-8"), re.MULTILINE
    )
    named = {event: sorted(re.findall(r"`(\w+)`", cell)) for event, cell in rows if event in known}
    assert named == {event: sorted(names) for event, names in known.items()}


def test_the_table_of_effects_is_complete() -> None:
    """Each effect has a row, written as its constructor."""
    known = _fields(kind for kind in vars(effects).values() if kind is not effects.Route)
    rows = re.findall(r"^\| `(\w+)\(([\w, ]*)\)` \|", (DOCS / "handlers.md").read_text("utf-8"), re.MULTILINE)
    assert {effect: re.findall(r"\w+", names) for effect, names in rows} == known


def test_the_architecture_names_modules_that_exist() -> None:
    """Each module in the table of packages exists in its package."""
    text = (DOCS / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| ([\w/]+) \| (`.*?) \|", text, re.MULTILINE)
    assert {package for package, _ in rows} >= {"alloy", "_engine", "_engine/runtime", "backends"}
    missing = []
    for package, modules in rows:
        home = ROOT / "src" / "alloy" / ("" if package == "alloy" else package)
        names = re.findall(r"`(\w+)`", modules)
        missing += [
            name for name in names if not (home / f"{name}.py").exists() and not (home / name).is_dir()
        ]
    assert missing == []


PATH = re.compile(r"`((?:[\w-]+/)+[\w.-]*|[\w-]+\.py)`")


@pytest.mark.parametrize("guide", GUIDES, ids=name)
def test_guides_name_files_that_exist(guide: Path) -> None:
    """Paths are relative to the repository, to its packages or to the tests; `NAME` is a provider."""
    homes = [
        ROOT,
        ROOT / "tests",
        ROOT / "tests" / "suite",
        ROOT / "src" / "alloy" / "_typed" / "types",
        guide.parent,
    ]
    lost = [
        path
        for path in PATH.findall(guide.read_text("utf-8"))
        if not any((home / path.replace("NAME", "openai")).exists() for home in homes)
    ]
    assert lost == []


def test_the_guide_names_commands_that_exist() -> None:
    """Each `make` command in CONTRIBUTING.md is a target of the Makefile, and only `clean` is left out."""
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", GUIDES[0].read_text("utf-8"), re.MULTILINE))
    assert named - targets == set()
    assert targets - named == {"clean"}


def test_every_helper_is_in_the_list_of_helpers() -> None:
    """Each module of `tests/kit` has its line."""
    kit = ROOT / "tests" / "kit"
    modules = {str(path.relative_to(kit)) for path in kit.glob("**/*.py") if path.stem != "__init__"}
    listed = re.findall(r"^\| `([\w/]+\.py)` \|", (kit / "README.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(modules)


def _at(body: Any, path: list[str]) -> Any:
    for key in path:
        body = body.get(key) if isinstance(body, dict) else None
    return body


def test_prose_has_one_sentence_per_line() -> None:
    """So that a change of one sentence is a change of one line."""
    found = []
    for page in [*PAGES, ROOT / "CHANGELOG.md"]:
        text = FENCED.sub(_blank, page.read_text("utf-8"))
        for number, line in enumerate(text.split("\n"), 1):
            plain = re.sub(r"`[^`]*`", "x", line)
            if not line.startswith(("|", "<")) and re.search(r"[a-z)x][.?!] [A-Z][a-z]+ ", plain):
                found.append(f"{name(page)}:{number}")
    assert found == []


# Words for which the pages have a common one: fallback, emulate, request, remember, invalid, fix, again.
ODD_WORDS = re.compile(
    r"\b(st(and|ands|ood) in\b(?! the)|is none|is no [a-z]+|blames?|mend(s|ed)?|as whom|anew|learn(s|ed)? of"
    r"|told apart|by itself|doors?|of its own|meanwhile|all the same|foreign|spoken|heard|whose fault"
    r"|ways? out)\b",
    re.IGNORECASE,
)
GENERATED = re.compile(r"<!-- (?:generated|proven): .*?<!-- end -->", re.DOTALL)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name)
def test_pages_use_common_words(page: Path) -> None:
    """The prose has one word for each thing, the one that readers know from other documentation."""
    text = re.sub(r"`[^`]*`", "", FENCED.sub("", GENERATED.sub("", page.read_text("utf-8"))))
    assert [found[0] for found in ODD_WORDS.finditer(text)] == []


def _blank(found: re.Match[str]) -> str:
    return "\n" * found[0].count("\n")
