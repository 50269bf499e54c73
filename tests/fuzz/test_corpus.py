"""Everything in the corpus gives a value or an `AlloyError`, in a number of steps that its length bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.readers import READERS, TooManySteps, counted, read

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(CORPUS.glob("*/*"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_an_input_is_read_or_refused(path: Path) -> None:
    """Also what `make fuzz` has found: an exception of another kind fails here."""
    read(path.parent.name, path.read_bytes())


def test_each_reader_has_inputs() -> None:
    """And no folder is that of a reader which is gone."""
    assert {path.parent.name for path in FILES} == set(READERS)


def test_steps_are_counted() -> None:
    """Something that never ends is stopped."""

    def endless() -> None:
        while True:
            len("")

    with pytest.raises(TooManySteps, match="5 bytes"), counted(5):
        endless()
