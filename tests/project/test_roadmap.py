"""ROADMAP.md holds every agreed line with its state, and what it calls done is proven."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AGREED = Path(__file__).parents[1] / "data" / "roadmap.txt"
ENTRY = re.compile(r"^- \*\*(.+?)\*\* (.+)\n((?:  .+\n)*)", re.MULTILINE)
STATE = re.compile(r"Done\.|In progress\.|Planned for \d+\.\d+\.|Always\.")
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


def name(entry: Entry) -> str:
    return entry.text[:40]


def test_every_agreed_line_is_there_in_its_section() -> None:
    """No line is lost, none is reworded, and none is added without being agreed."""
    assert [(entry.section, entry.text) for entry in ENTRIES] == agreed()


@pytest.mark.parametrize("entry", ENTRIES, ids=name)
def test_a_line_says_where_it_stands(entry: Entry) -> None:
    """A line is done, in progress, planned for a version, or a thing that never ends; done needs a proof."""
    assert STATE.fullmatch(entry.state), entry.state
    if entry.state in ("Done.", "Always."):
        assert "Proof: " in entry.notes


@pytest.mark.parametrize("entry", ENTRIES, ids=name)
def test_what_a_line_names_exists(entry: Entry) -> None:
    """Tests by file and function, pages and other files."""
    for file, function in TEST.findall(entry.notes):
        source = (ROOT / file).read_text("utf-8")
        assert not function or re.search(rf"^(async )?def {function}\(", source, re.MULTILINE), function
    for code, link in FILE.findall(entry.notes):
        assert (ROOT / (code or link)).exists(), code or link
