"""The schema of every type, made-up ones too, is legal for every provider and says what it can."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from kit.dialects import DIALECTS
from kit.kind_table import ROWS, Row
from kit.made_types import Made, made_types
from kit.provider_rules import RULES

from alloy._typed.schemas.dialects import to_wire
from alloy._typed.types.compile import compile_type
from alloy._typed.types.signature import compile_signature

every_provider = pytest.mark.parametrize("dialect", sorted(RULES))


def check(schema: dict[str, Any], dialect: str) -> None:
    before = copy.deepcopy(schema)
    wire = to_wire(schema, DIALECTS[dialect])

    assert schema == before
    if wire.strict or DIALECTS[dialect].subset is not None:
        RULES[dialect](wire.schema)
    else:  # no strict form: the plain schema, and the value is validated here
        assert wire.schema == schema
        assert wire.restore is None


@every_provider
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_kind_keeps_the_rules(row: Row, dialect: str) -> None:
    """As an answer and as a tool's parameter."""

    def tool(part: Any) -> None: ...

    tool.__annotations__["part"] = row.annotation
    spec = compile_type(row.annotation, row.namespace)
    assert spec.schema is not None

    check(spec.schema, dialect)
    check(compile_signature(tool, namespace=row.namespace).schema, dialect)


@every_provider
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(made=made_types())
def test_made_up_types_keep_the_rules(made: Made, dialect: str) -> None:
    """However kinds are put into one another."""
    schema = compile_type(made[0]).schema
    if schema is not None:
        check(schema, dialect)


OPEN = {"any", "object", "bare list", "bare dict", "open dict"}
ALIKE = {"type statement"}  # lists and dicts in one union: in strict form both are lists


@pytest.mark.parametrize("dialect", ["openai", "ollama"])
def test_what_can_be_strict_is(dialect: str) -> None:
    """Only what may hold anything, or be mistaken for something else, has no strict form here."""
    plain = set()
    for row in ROWS:
        schema = compile_type(row.annotation, row.namespace).schema
        assert schema is not None
        if not to_wire(schema, DIALECTS[dialect]).strict:
            plain.add(row.name)

    assert plain - ALIKE == OPEN


@every_provider
def test_no_constraint_is_lost(dialect: str) -> None:
    """What a provider cannot hold stands in words."""
    schema = {
        "type": "object",
        "properties": {
            "text": {"type": "string", "minLength": 31, "maxLength": 71, "pattern": "^(?!x)y"},
            "raw": {"type": "string", "format": "base64"},
            "number": {"type": "number", "exclusiveMinimum": 33, "maximum": 93, "multipleOf": 1.5},
            "items": {"type": "array", "items": {"type": "integer"}, "minItems": 23, "maxItems": 83},
            "keys": {
                "type": "object",
                "additionalProperties": {"type": "integer"},
                "propertyNames": {"enum": ["red", "green"]},
            },
        },
        "required": ["text", "raw", "number", "items", "keys"],
    }

    sent = str(to_wire(schema, DIALECTS[dialect]).schema)

    for said in ("31", "71", "^(?!x)y", "base64", "33", "93", "1.5", "23", "83", "red", "green"):
        assert said in sent, said
