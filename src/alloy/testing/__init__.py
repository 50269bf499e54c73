"""Helpers for tests of programs that use Alloy: scripted answers, and the requests that were made.

from alloy.testing import call, replies

def test_invoice_is_read_in_euros():
    with replies(call("exchange_rate", currency="USD"), Invoice("ACME", 92.5, [])) as seen:
        assert read_invoice(SCAN).total == 92.5
    assert seen.requests[0]["messages"][0]["content"].startswith("Extract")
"""

from alloy.backends.fake.backend import FakeBackend
from alloy.testing.scripts import Seen, call, calls, replies

__all__ = ["FakeBackend", "Seen", "call", "calls", "replies"]
