"""How to test code that calls a model, without a key, a network or mocks.

Expected outcome: `pytest examples/testing_your_command.py` passes, offline and always the same way:

    2 passed
"""

import pytest

from alloy import ParseError, command, require, tool
from alloy.testing import call, replies

STOCK = {"anvil": 3}


@tool
@require(lambda item: item in STOCK, "unknown item; the items are: anvil")
def in_stock(item: str) -> int:
    """How many pieces of *item* are in stock."""
    return STOCK[item]


@command(output=bool, tools=[in_stock])
def can_deliver(order: str) -> str:
    return f"Can we deliver this order from stock?\n{order}"


def test_a_wrong_item_is_corrected_by_the_contract() -> None:
    """The model gets the contract's message and calls the tool again."""
    with replies(call("in_stock", item="anvils"), call("in_stock", item="anvil"), True) as seen:
        assert can_deliver("2 anvils") is True

    message = seen.requests[1]["messages"][-1]
    assert "the items are: anvil" in message["content"]


def test_an_answer_that_never_fits_is_an_error() -> None:
    """After one re-ask the caller gets the error."""
    with replies("perhaps", "well, perhaps"), pytest.raises(ParseError, match="perhaps"):
        can_deliver("2 anvils")


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-q", "-p", "no:cacheprovider"]))
