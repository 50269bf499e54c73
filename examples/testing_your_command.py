"""How to test code that asks a model: no key, no network, no mocks.

Expected outcome: `pytest examples/testing_your_command.py` passes, offline and always alike:

    2 passed
"""

import pytest

from alloy import ParseError, command, require, tool
from alloy.testing import call, replies

STOCK = {"anvil": 3}


@tool
@require(lambda item: item in STOCK, "no such item; there are: anvil")
def in_stock(item: str) -> int:
    """How many pieces of *item* are in stock."""
    return STOCK[item]


@command(output=bool, tools=[in_stock])
def can_deliver(order: str) -> str:
    return f"Can we deliver this order from stock?\n{order}"


def test_a_wrong_item_is_corrected_by_the_contract() -> None:
    """The model is told what is in stock, and asks again."""
    with replies(call("in_stock", item="anvils"), call("in_stock", item="anvil"), True) as seen:
        assert can_deliver("2 anvils") is True

    told = seen.requests[1]["messages"][-1]
    assert "there are: anvil" in told["content"]


def test_an_answer_that_never_fits_is_an_error() -> None:
    """One re-ask, then the caller hears of it."""
    with replies("perhaps", "well, perhaps"), pytest.raises(ParseError, match="perhaps"):
        can_deliver("2 anvils")


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-q", "-p", "no:cacheprovider"]))
