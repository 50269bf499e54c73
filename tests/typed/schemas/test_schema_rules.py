"""What samples are judged and built by: JSON Schema's keywords, its formats, and regular expressions."""

import pytest

from alloy._typed.schemas.samples.checks import fits
from alloy._typed.schemas.samples.formats import FORMATS, has_format
from alloy._typed.schemas.samples.patterns import matching


@pytest.mark.parametrize(
    ("rules", "good", "bad"),
    [
        ({"type": "integer"}, [1, 1.0, -3], [1.5, True, "1", None, float("nan")]),
        ({"type": "number"}, [1, 0.5], [False, float("inf")]),
        ({"type": ["string", "null"]}, ["", None], [0, [], {}]),
        ({"const": 1}, [1, 1.0], [True, "1"]),
        ({"const": {"a": [1]}}, [{"a": [1]}, {"a": [1.0]}], [{"a": [True]}, {"b": [1]}, {"a": [1, 1]}, []]),
        ({"enum": ["a", None]}, ["a", None], ["b", False]),
        ({"minimum": 1, "exclusiveMaximum": 3}, [1, 2.9, "text"], [0, 3]),
        ({"maximum": 1, "exclusiveMinimum": 0}, [1, 0.1], [0, 1.1]),
        ({"multipleOf": 0.1}, [0.3, 7, "text"], [0.35]),
        ({"minLength": 2, "maxLength": 3}, ["ab", "äöü", 1], ["a", "abcd"]),
        ({"pattern": "b"}, ["abc", 1], ["ac"]),
        ({"pattern": "("}, [1], ["("]),
        ({"format": "date"}, ["2025-01-31", 1], ["2025-02-31"]),
        ({"minItems": 1, "maxItems": 2}, [[1], [1, 2], "text"], [[], [1, 2, 3]]),
        ({"uniqueItems": True}, [[1, True, "1"], "aa"], [[1, 1.0], [{"a": 1}, {"a": 1}]]),
        ({"uniqueItems": False}, [[1, 1]], []),
        ({"prefixItems": [{"type": "null"}], "items": {"const": 1}}, [[], [None, 1], 2], [[1], [None, 2]]),
        ({"minProperties": 1, "maxProperties": 1}, [{"a": 1}, []], [{}, {"a": 1, "b": 2}]),
        ({"required": ["a"]}, [{"a": 1}, 1], [{"b": 1}]),
        ({"properties": {"a": {"const": 1}}}, [{"a": 1}, {"b": 2}, 1], [{"a": 2}]),
        ({"properties": {"a": True}, "additionalProperties": False}, [{"a": 2}, 1], [{"b": 2}]),
        ({"patternProperties": {"^a": {"const": 1}}}, [{"ab": 1}, {"b": 2}, 1], [{"a": 2}]),
        ({"patternProperties": {"^a": True}, "additionalProperties": False}, [{"a": 1}], [{"b": 1}]),
        ({"propertyNames": {"maxLength": 1}}, [{"a": 1}, "ab"], [{"ab": 1}]),
        ({"anyOf": [{"const": 1}, {"const": 2}]}, [1, 2], [3]),
        ({"oneOf": [{"minimum": 1}, {"maximum": 2}]}, [0, 3], [1, 2]),
        ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, [1, 2], [0, 3]),
        ({"not": {"const": 1}}, [2], [1]),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"const": 1}}}, [1], [2]),
        ({"items": {"$ref": "#"}, "maxItems": 1}, [[[]], [1]], [[[1, 2]]]),
        (True, [1, None], []),
        (False, [], [1, None]),
    ],
)  # fmt: skip
def test_what_fits_a_keyword(rules, good, bad):
    """The judge of samples and examples knows every keyword that pydantic writes."""
    assert [value for value in good if not fits(value, rules, rules)] == []
    assert [value for value in bad if fits(value, rules, rules)] == []


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_the_values_that_it_says(name):
    """The table's values pass the table's checks."""
    assert all(has_format(FORMATS[name](nth), name) for nth in (0, 1, 300))


@pytest.mark.parametrize(
    ("name", "text"),
    [("date", "tomorrow"), ("date-time", "2024"), ("time", "noon"), ("uuid", "1"), ("ipv4", "::g"),
     ("email", "me"), ("duration", "P"), ("uri", "here"), ("base64", "é"), ("base64", "abc"), ("regex", "(")],
)  # fmt: skip
def test_a_wrong_format_is_seen(name, text):
    """So that a wrong example is not taken for an answer."""
    assert not has_format(text, name)


@pytest.mark.parametrize(
    ("pattern", "first"),
    [
        (r"^[A-Z]{2}\d{2}$", "AB34"),
        (r"^(?:foo|bar)+$", "foo"),
        (r"^(?!a)\w$", "b"),
        (r"^[^a-zA-Z]{,2}x$", "x"),
        (r"(?<year>\d{4})-(\d\d)\z", "1234-67"),
        (r"^(?P<sign>[+-])?[1-9]\d{1,14}$", "12"),
        (r"^[äö]é\.\u0041\x41$", "äé.AA"),
        (r"^\[[]x-]{3,}?$", "[-]x"),
        (r"^a|b$", "a"),
        (r"(?i)^(?i:abc)$", "abc"),
        ("", ""),
    ],
)
def test_patterns_are_met(pattern, first):
    """The first string for a pattern is short and readable."""
    assert first == next(matching(pattern))


def test_patterns_are_met_at_a_length():
    """Repeats grow as far as the length asks for, and the strings differ."""
    strings = list(matching(r"^[a-z]+(-[a-z]+)*$", 10, 12))

    assert len(set(strings)) == len(strings) > 20
    assert {len(text) for text in strings} <= {10, 11, 12}
    assert len(next(matching(r"^([a-z]+;){2}$", 9, 9))) == 9
