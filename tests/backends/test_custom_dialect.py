"""A backend of another package brings its own schema dialect, and Alloy needs no change for it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from pydantic import Field

from alloy import ask, command, register_backend, tool
from alloy.backends import BaseBackend, Dialect, StrictRules, SubsetRules
from alloy.errors import ConfigurationError
from alloy.testing import FakeBackend, call, replies


@dataclass
class Line:
    text: Annotated[str, Field(min_length=2, max_length=9)]
    amount: Annotated[float, Field(ge=0, multiple_of=0.5)]


@dataclass
class Invoice:
    vendor: str
    lines: list[Line]
    notes: dict[str, str] = field(default_factory=dict)
    paid: bool | None = None


INVOICE = Invoice("ACME", [Line("bolts", 1.5)], {"a": "b"})

STRICT = Dialect(
    strict=StrictRules(
        constraints=frozenset({"maxLength", "multipleOf"}), max_depth=3, max_optional=2, inline=True
    )
)
SUBSET = Dialect(subset=SubsetRules(constraints=frozenset({"minimum"})))


class Acme(BaseBackend, FakeBackend):
    """A codec like the offline one, in a class as another package would have it."""

    dialect = STRICT

    def __init__(self) -> None:
        super().__init__("strict-acme", STRICT)


@pytest.fixture(autouse=True)
def _registered() -> None:
    register_backend("strict-acme", Acme)
    register_backend("subset-acme", FakeBackend("subset", SUBSET))


@tool
def book(invoice: Invoice, day: str = "today") -> str:
    """Book an invoice."""
    return f"{invoice.vendor} {day}"


@command(output=Invoice, tools=[book])
def extract() -> str:
    return "x"


def test_schemas_are_sent_in_its_strict_form() -> None:
    """Its constraints are kept, others are described; definitions and limits are as it says."""
    schema = extract.with_options(model="strict-acme:large").request()["output"]

    assert schema["strict"] is True
    assert "$defs" not in schema["schema"]
    line = schema["schema"]["properties"]["lines"]["items"]["properties"]
    assert line["text"] == {"type": "string", "maxLength": 9, "description": "(at least 2 characters)"}
    assert line["amount"] == {"type": "number", "multipleOf": 0.5, "description": "(at least 0)"}


def test_a_schema_beyond_its_limits_is_sent_plainly() -> None:
    """Three properties may be left out there, and one is the limit."""
    (sent,) = ask.request("x", tools=[book], model="strict-acme:large")["tools"]

    assert not sent.get("strict")
    assert sent["parameters"]["properties"]["day"] == {"type": "string", "default": "today"}


def test_its_values_are_restored() -> None:
    """What the model writes in the strict form is read as the value; so are a tool's arguments."""
    answer: dict[str, Any] = {"vendor": "ACME", "lines": [{"text": "bolts", "amount": 1.5}]}
    answer["notes"] = [{"key": "a", "value": "b"}]
    arguments = {"invoice": {**answer, "notes": {"a": "b"}}}
    with replies(call("book", **arguments), json.dumps(answer), backend="strict-acme") as seen:
        value = extract()

    assert value == INVOICE
    assert seen.requests[1]["messages"][-1]["content"] == "ACME today"


def test_schemas_are_sent_as_the_subset_that_it_reads() -> None:
    """What it does not read is described, and values keep their shape."""
    schema = extract.with_options(model="subset-acme:large").request()["output"]["schema"]

    assert schema["$defs"]["Line"]["properties"]["amount"] == {
        "minimum": 0,
        "type": "number",
        "description": "(a multiple of 0.5)",
    }
    with replies(INVOICE, backend="subset-acme"):
        assert extract() == INVOICE


def test_without_a_dialect_schemas_are_sent_plainly() -> None:
    """`BaseBackend` accepts every JSON Schema."""

    class Plain(BaseBackend, FakeBackend):
        pass

    assert BaseBackend.dialect == Dialect()
    register_backend("subset-acme", Plain("subset"))
    text = extract.with_options(model="subset-acme:large").request()["output"]["schema"]["$defs"]["Line"][
        "properties"
    ]["text"]
    assert text == {"type": "string", "minLength": 2, "maxLength": 9}


def test_a_dialect_that_is_only_a_name_is_named() -> None:
    """As it was before a dialect was an object."""
    wrong: Any = "strict-acme"
    register_backend("subset-acme", FakeBackend("subset", wrong))

    with pytest.raises(ConfigurationError, match=r"must be an alloy\.backends\.Dialect, not str"):
        extract.with_options(model="subset-acme:large").request()


def test_the_names_are_loaded_when_they_are_used() -> None:
    """Importing `alloy.backends` imports none of what it offers."""
    code = (
        "import sys, alloy.backends;"
        "print([name for name in sys.modules if name.startswith('alloy._typed')]);"
        "from alloy.backends import Dialect, StrictRules, SubsetRules;"
        "print('pydantic' in sys.modules, Dialect(strict=StrictRules()).subset)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )

    assert done.stdout.splitlines() == ["[]", "False None"]
