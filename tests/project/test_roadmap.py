"""ROADMAP.md has every agreed line with its state, and a proof for each line that is done."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from alloy import __version__

ROOT = Path(__file__).parents[2]
AGREED = Path(__file__).parents[1] / "data" / "roadmap.txt"
ENTRY = re.compile(r"^- \*\*(.+?)\*\* (.+)\n((?:  .+\n)*)", re.MULTILINE)
STATE = re.compile(r"Done\.|In progress\.|Planned for \d+\.\d+\.|Always\.")
PLANNED = re.compile(r"[Pp]lanned for (\d+\.\d+)")
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
FILE = re.compile(r"`([\w./-]+/[\w./-]+|Makefile)`|\]\(([^)#:]+)")


@dataclass(frozen=True)
class Entry:
    """One line of the roadmap as the page has it."""

    section: str
    state: str
    text: str
    notes: str


def sections(text: str, mark: str) -> Iterator[tuple[str, str]]:
    parts = re.split(rf"^{mark} (.+)\n", text, flags=re.MULTILINE)
    return zip(parts[1::2], parts[2::2], strict=True)


def agreed() -> list[tuple[str, str]]:
    text = AGREED.read_text("utf-8")
    return [(name, line) for name, body in sections(text, "==") for line in body.splitlines()]


ENTRIES = [
    Entry(section, *found.groups())
    for section, body in sections((ROOT / "ROADMAP.md").read_text("utf-8"), "##")
    for found in ENTRY.finditer(body)
]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def name(entry: Entry) -> str:
    return entry.text[:40]


def test_every_agreed_line_is_there_in_its_section() -> None:
    """No line is missing, changed or added."""
    assert [(entry.section, entry.text) for entry in ENTRIES] == agreed()


@pytest.mark.parametrize("entry", ENTRIES, ids=name)
def test_a_line_says_where_it_stands(entry: Entry) -> None:
    """A line is done, in progress, planned for a version, or always open; what is done has a proof."""
    assert STATE.fullmatch(entry.state), entry.state
    if entry.state in ("Done.", "Always."):
        assert "Proof: " in entry.notes
    if entry.state == "In progress.":
        assert "Missing: " in entry.notes


@pytest.mark.parametrize("entry", ENTRIES, ids=name)
def test_plans_are_for_later_versions(entry: Entry) -> None:
    """Nothing is planned for this version or an older one, and nothing that is done is still planned."""
    planned = PLANNED.findall(entry.state + entry.notes)
    assert [version for version in planned if _numbers(version) <= _numbers(__version__)[:2]] == []
    assert not (planned and entry.state in ("Done.", "Always."))


@pytest.mark.parametrize("entry", ENTRIES, ids=name)
def test_what_a_line_names_exists(entry: Entry) -> None:
    """The tests, by file and function, the pages and the other files of a line exist."""
    for file, function in TEST.findall(entry.notes):
        source = (ROOT / file).read_text("utf-8")
        assert not function or re.search(rf"^(async )?def {function}\(", source, re.MULTILINE), function
    for code, link in FILE.findall(entry.notes):
        assert (ROOT / (code or link)).exists(), code or link
