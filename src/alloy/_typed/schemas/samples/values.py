"""A JSON value for a JSON Schema: valid, the same in every process, and readable.

Each part of a schema has a stream of different valid values, the best first; an empty stream means that
there is none. The stream of a union is those of its branches, one after the other; an optional property
with an empty stream is left out; a set takes as many values as it needs. Every value is checked against
its schema before it is used.

- An example comes before a default, and a default before a generated value. A default of `null` only says
  that a value may be absent, so a value is generated anyway; a branch that is `null` comes last.
- All properties are filled and lists have one item, but recursion ends as early as the schema allows.
- Rules that a schema does not have cannot be obeyed: that a date is in the past, or that a file exists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain, count, cycle, islice
from math import ceil, floor
from typing import Any

from alloy._typed.schemas.refs import Schema
from alloy._typed.schemas.samples.checks import CHECKS_OF, exact, fits
from alloy._typed.schemas.samples.formats import FORMATS
from alloy._typed.schemas.samples.patterns import matching
from alloy._typed.schemas.samples.references import References
from alloy.errors import ConfigurationError
from alloy.jsontypes import JsonObject

__all__ = ["sample"]

TRIES = 1000  # the number of values of one stream that are tried


def sample(schema: Schema) -> Any:
    """A valid value for *schema*, a JSON Schema as pydantic writes it.

    Raises `ConfigurationError` with the path and the cause when none is found.
    """
    document = _Document(References(schema))
    for value in _needed(schema, _Spot(document)):
        return value
    problems = document.problems or [f"{path}: it refers to itself without end" for path in document.closed]
    causes = "; ".join(dict.fromkeys(problems))
    raise ConfigurationError(
        f"the fake backend cannot generate an answer for this output type: {causes}. Add examples=[…] to the "
        "field, or script the answer with alloy.testing.replies"
    )


@dataclass(frozen=True, slots=True)
class _Document:
    """The whole schema, the rules that no value was found for, and where recursion was ended."""

    references: References
    problems: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Spot:
    """A position in the value.

    *open* are the references that lead there, *rank* is the rank of the innermost one, and *avoid* are
    those that must not occur again, because the value does not need them here.
    """

    document: _Document
    path: str = "$"
    name: str = "text"
    open: frozenset[str] = frozenset()
    rank: float = float("inf")
    avoid: frozenset[str] = frozenset()

    def at(self, step: str, name: str) -> _Spot:
        return replace(self, path=self.path + step, name=name)

    def follow(self, ref: str) -> _Spot | None:
        """The position inside *ref*, or `None` when the value does not need it, or would not be finite."""
        references = self.document.references
        reach, rank = references.reach(ref), references.rank(ref)
        # With falling ranks there is no cycle, so no dead end has to be tried.
        if reach & self.avoid or (reach & self.open and rank >= self.rank):
            return None
        return replace(self, open=self.open | {ref}, rank=rank)


def _needed(schema: Any, spot: _Spot) -> Iterator[Any]:
    """Values for a part that may not be left out, without recursion if there are any."""
    found = False
    for value in _wanted(schema, spot):
        found = True
        yield value
    if not found and spot.avoid != spot.open:
        yield from _values(schema, spot)


def _wanted(schema: Any, spot: _Spot) -> Iterator[Any]:
    """Values for a part that may be left out: none that need recursion."""
    return _values(schema, replace(spot, avoid=spot.open))


def _values(schema: Any, spot: _Spot) -> Iterator[Any]:
    """Different valid values for *schema*, the best first."""
    flat = _flatten(schema, spot)
    if flat is None:
        spot.document.closed.append(spot.path)
        return
    rules, inside = flat
    seen: set[str] = set()
    document = spot.document
    causes = len(document.problems) + len(document.closed)
    for value in islice(chain(_provided(rules), _generated(rules, inside)), TRIES):
        key = json.dumps(value, sort_keys=True)
        if key not in seen and fits(value, schema, document.references.root):
            seen.add(key)
            yield value
    if not seen and len(document.problems) + len(document.closed) == causes:  # no cause further inside
        document.problems.append(f"{spot.path}: {_cause(rules)}")


def _cause(rules: Schema) -> str:
    """Why a stream is empty: the keyword that is the most likely cause, or all of them."""
    for keyword in ("pattern", "format", "uniqueItems", "multipleOf"):
        if keyword in rules:
            return f"no value was found for {keyword} {rules[keyword]!r}"
    return "no value was found for " + json.dumps(rules, sort_keys=True, default=str)[:200]


def _flatten(schema: Schema | bool, spot: _Spot) -> tuple[Schema, _Spot] | None:
    """*schema* with its `$ref` and `allOf` resolved, or `None` when a reference may not be followed."""
    if isinstance(schema, bool):
        return ({} if schema else {"enum": []}), spot
    parts = dict(schema)
    merged: JsonObject = {}
    if (ref := parts.pop("$ref", None)) is not None:
        inside = spot.follow(ref)
        if inside is None:
            return None
        spot = inside
        parts["allOf"] = [spot.document.references.target(ref), *parts.get("allOf", ())]
    for part in parts.pop("allOf", ()):
        flat = _flatten(part, spot)
        if flat is None:
            return None
        _merge(merged, flat[0])
        spot = flat[1]
    _merge(merged, parts)
    return merged, spot


def _merge(into: JsonObject, more: Schema) -> None:
    for keyword, rule in more.items():
        if keyword == "properties":
            into[keyword] = {**into.get(keyword, {}), **rule}
        elif keyword == "required":
            into[keyword] = [*into.get(keyword, ()), *rule]
        else:
            into[keyword] = rule


def _provided(rules: Schema) -> Iterator[Any]:
    """The values that are in the schema."""
    yield from rules.get("examples", ())
    if rules.get("default") is not None:
        yield rules["default"]


def _generated(rules: Schema, spot: _Spot) -> Iterator[Any]:
    if "const" in rules:
        return iter([rules["const"]])
    if "enum" in rules:
        return iter(rules["enum"])
    for keyword in ("anyOf", "oneOf"):
        if keyword in rules:
            return _branches(rules, keyword, spot)
    kinds = rules.get("type") or _kind(rules)
    kinds = [kinds] if isinstance(kinds, str) else sorted(kinds, key=lambda kind: kind == "null")
    return chain.from_iterable(MAKERS[kind](rules, spot) for kind in kinds)


def _branches(rules: Schema, keyword: str, spot: _Spot) -> Iterator[Any]:
    shared = {key: rule for key, rule in rules.items() if key not in (keyword, "default", "examples")}
    branches = sorted(rules[keyword], key=lambda branch: branch == {"type": "null"})
    values = (_values({"allOf": [shared, branch]}, spot) for branch in branches)
    # A branch with endless values must not keep the other branches from being tried.
    return chain.from_iterable(islice(stream, 1 + TRIES // len(branches)) for stream in values)


def _kind(rules: Schema) -> str:
    """The type that the keywords of a schema without `type` are for."""
    return next((kind for kind, checks in CHECKS_OF.items() if checks.keys() & rules.keys()), "string")


# --- strings --------------------------------------------------------------------------------------


def _strings(rules: Schema, spot: _Spot) -> Iterator[Any]:
    if (form := FORMATS.get(rules.get("format", ""))) is not None:
        return map(form, range(TRIES))
    if rules.get("contentMediaType") == "application/json":
        return map(json.dumps, _needed(rules.get("contentSchema", {}), spot))
    least, most = rules.get("minLength", 0), rules.get("maxLength")
    plain = _words(spot.name.replace("_", " "), least, most)
    if "pattern" not in rules:
        return plain
    try:
        return chain(islice(plain, 1), matching(rules["pattern"], least, most))
    except re.error:
        return iter(())


def _words(text: str, least: int, most: int | None) -> Iterator[str]:
    """*text* and numbered copies of it, extended or cut to length."""
    for nth in count(1):
        mark = "" if nth == 1 else f" {nth}"
        size = max(least, len(text) + len(mark))
        room = (size if most is None else min(size, most)) - len(mark)
        body = (f"{text} " * (size // (len(text) + 1) + 1))[:room]
        # A type that strips would remove a space at the end.
        yield body.rstrip().ljust(len(body), ".") + mark


# --- numbers --------------------------------------------------------------------------------------


def _integers(rules: Schema, _spot: _Spot) -> Iterator[Any]:
    # An integer that is a multiple of p/q in lowest terms is a multiple of p.
    step = exact(rules.get("multipleOf", 1)).numerator
    return map(int, _grid(*_bounds(rules), Fraction(step)))


def _numbers(rules: Schema, _spot: _Spot) -> Iterator[Any]:
    step = rules.get("multipleOf")
    steps = [Fraction(1, 10**digits) for digits in range(16)] if step is None else [exact(step)]
    points = chain.from_iterable(islice(_grid(*_bounds(rules), size), TRIES // len(steps)) for size in steps)
    return (int(point) if point.denominator == 1 else float(point) for point in points)


def _bounds(rules: Schema) -> tuple[Fraction | None, Fraction | None]:
    lows = [exact(rules[key]) for key in ("minimum", "exclusiveMinimum") if key in rules]
    highs = [exact(rules[key]) for key in ("maximum", "exclusiveMaximum") if key in rules]
    return max(lows, default=None), min(highs, default=None)


def _grid(low: Fraction | None, high: Fraction | None, step: Fraction) -> Iterator[Fraction]:
    """Multiples of *step* within the bounds: from 1 up, then from there down."""
    first = ceil(max(Fraction(1), low or Fraction(1)) / step)
    last = None if high is None else floor(high / step)
    for times in count(first) if last is None else range(first, last + 1):
        yield times * step
    top = first - 1 if last is None else min(first - 1, last)
    for times in count(top, -1) if low is None else range(top, ceil(low / step) - 1, -1):
        yield times * step


# --- arrays and objects ---------------------------------------------------------------------------


def _arrays(rules: Schema, spot: _Spot) -> Iterator[Any]:
    least = rules.get("minItems", 0)
    most = rules.get("maxItems", float("inf"))
    fixed = len(rules.get("prefixItems", ()))
    room = rules.get("items", True) is not False
    full = min(max(least, fixed, 1 if room else 0), most)
    for size in dict.fromkeys((full, least)):
        yield from _arrays_of(int(size), rules, spot)


def _arrays_of(size: int, rules: Schema, spot: _Spot) -> Iterator[Any]:
    stream = _needed if size == rules.get("minItems", 0) else _wanted
    fixed = rules.get("prefixItems", [])[:size]
    heads = [stream(part, spot.at(f"[{at}]", f"{spot.name} {at + 1}")) for at, part in enumerate(fixed)]
    rest = stream(rules.get("items", True), spot.at(f"[{len(fixed)}]", spot.name))
    tails = _chunks(rest, size - len(fixed), again=not rules.get("uniqueItems"))
    for *head, tail in _rows([*heads, tails]):
        yield [*head, *tail]


def _objects(rules: Schema, spot: _Spot) -> Iterator[Any]:
    required = set(rules.get("required", ()))
    streams: dict[str, Iterator[Any]] = {}
    for name, rule in rules.get("properties", {}).items():
        stream = _needed if name in required else _wanted
        values = stream(rule, spot.at(f".{name}", name))
        first = list(islice(values, 1))
        if first:
            streams[name] = chain(first, values)
        elif name in required:
            return
    lack = sorted(required - streams.keys())
    for keys, extras in _entries(rules, spot, len(streams), lack):
        for *known, others in _rows([*streams.values(), extras]):
            yield {**dict(zip(streams, known, strict=True)), **dict(zip(keys, others, strict=True))}


def _entries(
    rules: Schema, spot: _Spot, known: int, lack: list[str]
) -> Iterator[tuple[list[str], Iterator[list[Any]]]]:
    """Further keys, and the rows of their values: one entry if its type is known, or as few as allowed."""
    pattern, rule = next(iter(rules.get("patternProperties", {}).items()), (None, None))
    rule = rules.get("additionalProperties", True) if rule is None else rule
    typed = isinstance(rule, Mapping) and bool(rule)
    least = max(rules.get("minProperties", 0) - known, len(lack))
    wanted = 1 if typed and not known and rules.get("maxProperties", 1) else 0
    for size in dict.fromkeys((max(wanted, least), least)):
        stream = _needed if size == least else _wanted
        keys = [*lack, *islice(_keys(rules, pattern, spot), size - len(lack))]
        values = stream(rule, spot.at(f".{keys[0]}" if keys else "", spot.name))
        if len(keys) == size:
            yield keys, _chunks(values, size, again=True)


def _keys(rules: Schema, pattern: str | None, spot: _Spot) -> Iterator[str]:
    """Keys that no property has. A schema does not tell `dict[int, …]` from `dict[str, …]`: "1" fits both."""
    names = {"type": "string", **rules.get("propertyNames", {})}
    if pattern is not None:
        names["pattern"] = pattern
    rules_for_names = names.keys() - {"type", "title", "description"}
    keys = _needed(names, spot.at(".<key>", "key")) if rules_for_names else map(str, count(1))
    return (key for key in keys if key not in rules.get("properties", {}))


def _chunks(values: Iterator[Any], size: int, *, again: bool) -> Iterator[list[Any]]:
    """*values*, *size* at a time; with *again*, a value may be repeated."""
    if size == 0:
        yield []
        return
    source = cycle(values) if again else values
    while len(chunk := list(islice(source, size))) == size:
        yield chunk


def _rows(streams: list[Iterator[Any]]) -> Iterator[list[Any]]:
    """The streams in parallel, until the last one ends; one that ends earlier repeats its last value."""
    end = object()
    row = [next(stream, end) for stream in streams]
    if end in row:
        return
    while True:
        yield row
        ahead = [next(stream, end) for stream in streams]
        if all(value is end for value in ahead):
            return
        row = [old if new is end else new for old, new in zip(row, ahead, strict=True)]


MAKERS: dict[str, Callable[[Schema, _Spot], Iterable[Any]]] = {
    "string": _strings,
    "integer": _integers,
    "number": _numbers,
    "boolean": lambda *_: (True, False),
    "null": lambda *_: (None,),
    "array": _arrays,
    "object": _objects,
}
