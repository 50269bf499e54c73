"""Functions that turn values of a strict form back into values of the plain schema.

Each takes a decoded JSON value and returns another; the input is not changed. A value that does not have
the shape of the form is returned as it is: a server that does not enforce strict mode may have answered in
the plain shape, and the validator reports better what is wrong with a value.

An unfinished value (`alloy._typed.json.unfinished`) becomes one of the plain schema's shape that is
unfinished too, without the parts that cannot be restored yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile

from alloy._typed.json.text import Unreadable
from alloy._typed.json.unfinished import OpenArray, OpenObject, is_open, like
from alloy._typed.json.values import same
from alloy._typed.schemas.refs import Schema, alternatives
from alloy.jsontypes import Json, JsonObject

__all__ = [
    "Form",
    "Restore",
    "choice_restorer",
    "entries_restorer",
    "items_restorer",
    "overlapping",
    "positions_restorer",
    "record_restorer",
    "root_entries_restorer",
]

Restore = Callable[[Json], Json]


@dataclass(frozen=True, slots=True)
class Form:
    """A schema in strict form, and what restores its values, if they differ."""

    schema: JsonObject
    restore: Restore | None = None


def _inside(step: str, restore: Restore, value: Json) -> Json:
    try:
        return restore(value)
    except Unreadable as error:
        raise Unreadable(*(f"${step}{problem[1:]}" for problem in error.problems)) from None


def record_restorer(droppable: frozenset[str], restorers: Mapping[str, Restore]) -> Restore | None:
    """For an object: removes the nulls that stand for an absent property."""
    if not droppable and not restorers:
        return None

    def restore(value: Json) -> Json:
        if not isinstance(value, dict):
            return value
        restored = like(value)
        for name, item in value.items():
            if item is None and name in droppable:
                continue
            inner = restorers.get(name)
            restored[name] = item if inner is None else _inside(f".{name}", inner, item)
        return restored

    return restore


def entries_restorer(value_restore: Restore | None) -> Restore:
    """For an object with free keys: builds it from its list of entries. A repeated key is an error."""

    def restore(value: Json) -> Json:
        restored = like(value)
        if isinstance(value, dict):  # in the plain shape
            for key, item in value.items():
                restored[key] = _entry_value(f".{key}", item)
            return restored
        if not _are_entries(value):
            return value
        if isinstance(value, OpenArray):
            value = list(filter(_is_entry, value))
        for index, entry in enumerate(value):
            if entry["key"] in restored:
                raise Unreadable(f"$[{index}].key: the key {entry['key']!r} appears twice")
            restored[entry["key"]] = _entry_value(f"[{index}].value", entry["value"])
        return restored

    def _entry_value(step: str, item: Json) -> Json:
        return item if value_restore is None else _inside(step, value_restore, item)

    return restore


def _are_entries(value: Json) -> bool:
    """Whether *value* is a list of entries; the last one of an unfinished list may be incomplete."""
    if isinstance(value, OpenArray) and value and isinstance(value[-1], OpenObject):
        value = value[:-1]
    return isinstance(value, list) and all(map(_is_entry, value))


def _is_entry(value: Json) -> bool:
    return isinstance(value, dict) and value.keys() == {"key", "value"} and isinstance(value["key"], str)


def root_entries_restorer(name: str, restore_entries: Restore) -> Restore:
    """For a root with free keys: its entries are in the property *name* of the root."""

    def restore(value: Json) -> Json:
        if isinstance(value, dict) and value.keys() == {name} and isinstance(value[name], list):
            entries = value[name]
            if _are_entries(entries):
                restored = _inside(f".{name}", restore_entries, entries)
                return OpenObject(restored) if is_open(value) else restored
        return restore_entries(value)

    return restore


def items_restorer(restore_item: Restore) -> Restore:
    """For an array."""

    def restore(value: Json) -> Json:
        if not isinstance(value, list):
            return value
        restored = [_inside(f"[{index}]", restore_item, item) for index, item in enumerate(value)]
        return OpenArray(restored) if is_open(value) else restored

    return restore


def positions_restorer(
    names: list[str], restorers: list[Restore | None], droppable: Mapping[str, Json]
) -> Restore:
    """For a tuple: the list of its named positions. Null in a *droppable* one stands for its default."""

    def restore(value: Json) -> Json:
        if not isinstance(value, dict) or not value.keys() <= set(names):
            return value
        given = list(takewhile(value.__contains__, names))
        if len(given) < (len(value) if is_open(value) else len(names)):
            return value
        while given and given[-1] in droppable and value[given[-1]] is None:
            given.pop()
        restored = []
        for name, inner in zip(given, restorers, strict=False):
            item = value[name]
            if item is None and name in droppable:
                item = droppable[name]
            elif inner is not None:
                item = _inside(f".{name}", inner, item)
            restored.append(item)
        return OpenArray(restored) if is_open(value) else restored

    return restore


# --- unions ---------------------------------------------------------------------------------------


def choice_restorer(branches: list[Form], definitions: Mapping[str, Json]) -> Restore:
    """For a union: restores the value by the only member that it fits, if there is one."""

    def restore(value: Json) -> Json:
        if not isinstance(value, dict | list):
            return value
        if is_open(value):
            return _restore_open(value, branches, definitions)
        fitting = [branch for branch in branches if _fits(value, branch.schema, definitions, exactly=True)]
        if not fitting:
            fitting = [
                branch for branch in branches if _fits(value, branch.schema, definitions, exactly=False)
            ]
        if len(fitting) != 1 or fitting[0].restore is None:
            return value
        return fitting[0].restore(value)

    return restore


def _restore_open(value: Json, branches: list[Form], definitions: Mapping[str, Json]) -> Json:
    """As `choice_restorer`; nothing of *value* is known while several members are possible."""
    fitting = [branch for branch in branches if _fits(value, branch.schema, definitions, exactly=False)]
    if not any(branch.restore for branch in fitting):
        return value
    if len(fitting) > 1 or fitting[0].restore is None:
        return type(value)()
    return fitting[0].restore(value)


def _fits(value: Json, schema: Schema, definitions: Mapping[str, Json], *, exactly: bool) -> bool:
    # Comparing the outermost level is enough: `overlapping` has checked that it differs in all members.
    for node in alternatives(schema, definitions):
        kind = node.get("type")
        if kind == "array" and isinstance(value, list):
            return True
        if kind == "object" and isinstance(value, dict):
            least = set(node["required"]) if exactly else set[str]()
            if least <= value.keys() <= node["properties"].keys() and all(
                _may_be(value[name], node["properties"][name]) for name in value
            ):
                return True
    return False


def _may_be(value: Json, schema: Schema) -> bool:
    choices = schema.get("enum")
    return choices is None or is_open(value) or any(same(value, choice) for choice in choices)


def overlapping(branches: list[Form], definitions: Mapping[str, Schema]) -> bool:
    """Whether the outermost level of a value may fit two of *branches*: restoring it would be a guess."""
    for index, one in enumerate(branches):
        for other in branches[index + 1 :]:
            if one.restore is None and other.restore is None:
                continue
            for a in alternatives(one.schema, definitions):
                for b in alternatives(other.schema, definitions):
                    if _look_alike(a, b):
                        return True
    return False


def _look_alike(a: Schema, b: Schema) -> bool:
    if a.get("type") != b.get("type") or a.get("type") not in ("array", "object"):
        return False
    if a["type"] == "array":
        return True  # both may be empty
    ours, theirs = a["properties"], b["properties"]
    in_both = ours.keys() & theirs.keys()
    if not {*a["required"], *b["required"]} <= in_both:
        return False  # one always has a name that the other never has
    always = set(a["required"]) & set(b["required"])
    return not any(_disjoint(ours[name].get("enum"), theirs[name].get("enum")) for name in always)


def _disjoint(ours: list[Json] | None, theirs: list[Json] | None) -> bool:
    return ours is not None and theirs is not None and not any(same(a, b) for a in ours for b in theirs)
