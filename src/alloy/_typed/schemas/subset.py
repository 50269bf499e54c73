"""JSON Schema -> the part of it that a provider reads; what it does not read goes into descriptions.

Values keep their shape, so there is no way back to find. What gets lost is checked when the value
is read, as everything is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alloy._typed.json.values import json_type
from alloy._typed.schemas.refs import reachable
from alloy._typed.schemas.rules import DESCRIBED, STRUCTURE, sentence

__all__ = ["SubsetRules", "subset_form"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsetRules:
    """Which part of JSON Schema a provider reads.

    *constraints* are the supported keywords that limit a value, such as `minItems`, *formats* the
    supported values of `format`, and *choices* the types of the values that an `enum` may have. The
    structure of schemas is always supported. What is not supported is put into the description.
    """

    constraints: frozenset[str] = frozenset()
    formats: frozenset[str] = frozenset()
    choices: frozenset[str] = frozenset(("string", "integer", "number", "boolean"))


def subset_form(schema: Mapping[str, Any], rules: SubsetRules) -> dict[str, Any]:
    """*schema* under *rules*: references stand alone, and recursion goes through optional properties."""
    definitions = schema.get("$defs", {})
    root = _form({key: value for key, value in schema.items() if key != "$defs"}, rules)
    if not definitions:
        return root
    forms = {name: _form(part, rules) for name, part in definitions.items()}
    return {**root, "$defs": {name: _ending(form, name, forms) for name, form in forms.items()}}


def _form(node: Any, rules: SubsetRules) -> dict[str, Any]:
    if not isinstance(node, Mapping):
        return {}  # anything
    if "$ref" in node:
        text = _described({}, node, [])
        return {"anyOf": [{"$ref": node["$ref"]}], **text} if text else {"$ref": node["$ref"]}
    for part in node.get("allOf", ()):
        rest = {key: value for key, value in node.items() if key != "allOf"}
        return _form({**part, **rest}, rules) if len(node["allOf"]) == 1 else _form(rest, rules)
    if "enum" in node or "const" in node:
        return _choice(node, rules)
    if isinstance(kinds := node.get("type"), list):
        return _described({"anyOf": [_form({**node, "type": kind}, rules) for kind in kinds]}, node, [])
    return _plain(node, rules)


def _plain(node: Mapping[str, Any], rules: SubsetRules) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    words: list[str] = []
    for key, value in node.items():
        if (inner := _inside(key, value, rules)) is not None:
            kept["anyOf" if key == "oneOf" else key] = inner
        elif key == "patternProperties":
            words.append(f"keys match {', '.join(value)}")
            kept["additionalProperties"] = (
                _form(next(iter(value.values())), rules) if len(value) == 1 else True
            )
        elif key == "propertyNames" and "enum" in value:
            words.append(f"keys are of {', '.join(map(str, value['enum']))}")
        elif value in rules.formats if key == "format" else key in STRUCTURE or key in rules.constraints:
            kept[key] = value
        elif key in DESCRIBED:
            words.append(DESCRIBED[key].format(value))
    if kept.get("items") in (True, False):
        del kept["items"]  # `prefixItems` and `maxItems` say the same
    return _described(kept, node, words)


def _inside(key: str, value: Any, rules: SubsetRules) -> Any:
    """What stands under a keyword that holds schemas, known too; `None` for any other."""
    match key:
        case "properties":
            return {name: _form(part, rules) for name, part in value.items()}
        case "anyOf" | "oneOf" | "prefixItems":
            return [_form(part, rules) for part in value]
        case "items" | "additionalProperties" if isinstance(value, Mapping):
            return _form(value, rules)
    return None


def _choice(node: Mapping[str, Any], rules: SubsetRules) -> dict[str, Any]:
    by_type: dict[str, list[Any]] = {}
    for value in node["enum"] if "enum" in node else [node["const"]]:
        by_type.setdefault(json_type(value), []).append(value)
    forms: list[dict[str, Any]] = []
    words: list[str] = []
    for kind, values in by_type.items():
        listed = kind in rules.choices
        forms.append({"type": kind, "enum": values} if listed else {"type": kind})
        if not listed and kind != "null":
            words.append(f"one of {', '.join(json.dumps(value, ensure_ascii=False) for value in values)}")
    return _described(forms[0] if len(forms) == 1 else {"anyOf": forms}, node, words)


def _described(kept: dict[str, Any], node: Mapping[str, Any], words: list[str]) -> dict[str, Any]:
    parts = [node.get("description", ""), f"({', '.join(words)})" if words else ""]
    text = " ".join(filter(None, parts))
    if node.get("default") is not None:
        text = f"{sentence(text)} Default: {json.dumps(node['default'], ensure_ascii=False)}.".lstrip()
    return {**kept, "description": text} if text else kept


# --- recursion ----------------------------------------------------------------------------------------


def _ending(form: dict[str, Any], name: str, forms: Mapping[str, Any]) -> dict[str, Any]:
    """*form*, the definition *name*, in which no property that leads back to it is required."""
    names = form.get("required", ())
    properties = form.get("properties", {})
    kept = [key for key in names if name not in reachable(properties.get(key), forms)]
    return {**form, "required": kept} if len(kept) < len(names) else form
