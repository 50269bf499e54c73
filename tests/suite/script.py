"""What a model answers and what a request contains, in terms that do not depend on the provider."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kit.wire import Answer

NOTHING: Any = object()

Call = tuple[str, Any] | tuple[str, Any, str]  # name, arguments (a dict, or JSON text), id
Ending = Literal["stop", "length", "refusal", "filter"]


@dataclass(frozen=True)
class ModelTurn:
    """A turn of the model. *value* is a typed answer, which is written by the schema of the request.

    *usage* counts input, output, cached and reasoning tokens. A call's id of `""` is left out if the
    provider's protocol allows it.
    """

    text: str = ""
    calls: tuple[Call, ...] = ()
    value: Any = NOTHING
    ending: Ending = "stop"
    why: str = ""
    usage: tuple[int, int, int, int] = (10, 5, 2, 1)

    def answer(self, schema: Mapping[str, Any] | None) -> str:
        """The text of the answer to a request with *schema*."""
        return self.text if self.value is NOTHING else written(self.value, schema)


@dataclass(frozen=True)
class ErrorAnswer:
    """An answer with an error status; *wait* is its `Retry-After`, *lacks* the unsupported feature."""

    status: int
    message: str = "out of luck"
    wait: str | None = None
    lacks: str = ""


@dataclass(frozen=True)
class RawAnswer:
    """Any HTTP answer."""

    answer: Answer


@dataclass(frozen=True)
class ChangedAnswer:
    """*turn* as the provider would send it, changed by *change*."""

    turn: ModelTurn
    change: Any  # a function from an Answer to an Answer


ScriptItem = ModelTurn | ErrorAnswer | RawAnswer | ChangedAnswer


@dataclass(frozen=True)
class SentResult:
    """The result that was sent for a call: its id, if the protocol has ids, and the text."""

    id: str | None
    name: str | None
    content: Any


@dataclass(frozen=True)
class HistoryTurn:
    """One turn of the history in a request."""

    role: Literal["user", "assistant", "results"]
    text: str = ""
    calls: tuple[tuple[str | None, str, Any], ...] = ()  # id, name, arguments
    results: tuple[SentResult, ...] = ()
    media: tuple[tuple[str, str], ...] = ()  # media type, and base64 data or an address


@dataclass(frozen=True)
class ReceivedRequest:
    """The content of a request."""

    turns: tuple[HistoryTurn, ...]
    system: str = ""
    tools: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    streamed: bool = False
    body: Mapping[str, Any] = field(default_factory=dict)


# --- typed answers ------------------------------------------------------------------------------------


def written(value: Any, schema: Mapping[str, Any] | None) -> str:
    """*value*, plain JSON data, as the text of a model that follows *schema*."""
    if schema is None:
        return json.dumps(value, ensure_ascii=False)
    defs = schema.get("$defs", {})
    if not _fits(value, schema, defs):
        (name,) = schema["properties"]  # a value that is not an object is under a single key
        value = {name: value}
    return json.dumps(_shaped(value, schema, defs), ensure_ascii=False)


def _followed(node: Mapping[str, Any], defs: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in node:
        node = defs[node["$ref"].rpartition("/")[2]]
    return node


def _shaped(value: Any, node: Mapping[str, Any], defs: Mapping[str, Any]) -> Any:
    node = _followed(node, defs)
    if branches := node.get("anyOf") or node.get("oneOf"):
        return _shaped(value, next(branch for branch in branches if _fits(value, branch, defs)), defs)
    named = node.get("properties", {})
    if isinstance(value, list):
        if node.get("type") == "object":  # a tuple, as an object
            return {key: _shaped(item, named[key], defs) for key, item in zip(named, value, strict=True)}
        places = node.get("prefixItems") or [node.get("items", {})] * len(value)
        return [_shaped(item, place, defs) for item, place in zip(value, places, strict=True)]
    if not isinstance(value, dict):
        return value
    if node.get("type") == "array":  # an open dict, as a list of its entries
        inner = _followed(node["items"], defs)
        return [_shaped({"key": key, "value": item}, inner, defs) for key, item in value.items()]
    other = node.get("additionalProperties")
    rest = other if isinstance(other, Mapping) else {}
    given = {key: item for key, item in value.items() if not _left_out(key, item, node, defs)}
    shaped = {key: _shaped(item, named.get(key, rest), defs) for key, item in given.items()}
    return {**{key: None for key in node.get("required", ()) if key not in value}, **shaped}


def _left_out(key: str, value: Any, node: Mapping[str, Any], defs: Mapping[str, Any]) -> bool:
    """Whether *value* is `None` and the schema requires the key to be left out."""
    named = node.get("properties", {})
    return (
        value is None
        and key in named
        and key not in node.get("required", ())
        and not _fits(None, named[key], defs)
    )


_KINDS = {"object": dict, "array": list, "string": str, "integer": int, "null": type(None), "boolean": bool}


def _fits(value: Any, node: Mapping[str, Any], defs: Mapping[str, Any]) -> bool:
    node = _followed(node, defs)
    if branches := node.get("anyOf") or node.get("oneOf"):
        return any(_fits(value, branch, defs) for branch in branches)
    if choices := node.get("enum") or ([node["const"]] if "const" in node else None):
        return any(value == choice and type(value) is type(choice) for choice in choices)
    kind, named = node.get("type"), node.get("properties", {})
    if isinstance(value, bool) or kind == "boolean":
        return isinstance(value, bool) and kind in ("boolean", None)
    if kind == "number":
        return isinstance(value, int | float)
    if isinstance(value, list) and kind == "object":
        return [*named] == [f"item_{number}" for number in range(len(value))]
    if isinstance(value, dict) and kind == "array":
        entry = _followed(node.get("items", {}), defs)
        return set(entry.get("properties", ())) == {"key", "value"}
    if isinstance(value, dict) and node.get("additionalProperties", True) is False:
        given = [key for key in value if not _left_out(key, value[key], node, defs)]
        return value.keys() <= named.keys() and all(_fits(value[key], named[key], defs) for key in given)
    return kind is None or isinstance(value, _KINDS[kind])
