"""`items()` of lists that are written oddly: nothing is lost, and nothing costs more than its length."""

from __future__ import annotations

import pytest
from kit.dialects import PLAIN
from kit.steps import lines_run

from alloy import ParseError, ask
from alloy._typed.answers.partial import Shape
from alloy._typed.types.compile import compile_type
from alloy.testing import replies


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[1, 2, /* and so on */]", [1, 2]),
        ("[/* none */]", []),
        ("[1, \ufeff]", [1]),
        ("[1, // one\n2]", [1, 2]),
        ("[1, /* , */ 2]", [1, 2]),
        ("[# none\n]", []),
        ("[1, /* ], [ */ 2]", [1, 2]),
        ('{"value": [1, /* and so on */ 2]}', [1, 2]),
        ("  [ /* a */ 1 /* b */ , /* c */ ]", [1]),
    ],
)
def test_comments_in_a_list_are_no_elements(text: str, wanted: list[int]):
    """The items are those of the plain call."""
    with replies(text, text):
        assert ask("x", output=list[int]) == wanted
        assert list(ask.stream("x", output=list[int]).items()) == wanted


@pytest.mark.parametrize("before", ["{}", "{{{}", '{{"value"{}', '{{"value":{}'], ids=repr)
def test_leading_blanks_cost_their_number(before: str):
    """Counted in lines of Python, for n, 2n and 4n blanks that arrive in small pieces."""

    def cost(size: int) -> int:
        text = before.format(" " * size) + ("[1]" if ":" in before or before == "{}" else "?")
        reader = Shape(compile_type(list[int]), None, PLAIN).elements(lambda read: read())
        return lines_run(lambda: [list(reader.feed(text[at : at + 5])) for at in range(0, len(text), 5)])

    once = cost(200)
    assert cost(400) < 2.2 * once and cost(800) < 4.2 * once


def test_a_key_with_blanks_in_it_is_not_the_wrapper():
    """Blanks are skipped between tokens, and not inside of them."""
    with replies('{"va lue": [1]}'), pytest.raises(ParseError):
        next(ask.stream("x", output=list[int], reask=0).items())
