"""JSON Schema -> the part of it that a provider reads; the description has the rest.

Values keep their shape, so nothing has to be restored. Constraints that the provider does not know are
checked when the value is read, as all others are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from alloy._typed.json.values import json_type
from alloy._typed.schemas.refs import Schema, reachable
from alloy._typed.schemas.rules import STRUCTURE, described, sentence
from alloy.jsontypes import Json, JsonObject

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


def subset_form(schema: Schema, rules: SubsetRules) -> JsonObject:
    """*schema* under *rules*: references have no other keywords, and recursive properties are optional."""
    definitions = schema.get("$defs", {})
    root = _form({key: value for key, value in schema.items() if key != "$defs"}, rules)
    if not definitions:
        return root
    forms = {name: _form(part, rules) for name, part in definitions.items()}
    return {
        **root,
        "$defs": {name: _with_optional_recursion(form, name, forms) for name, form in forms.items()},
    }


def _form(node: Json, rules: SubsetRules) -> JsonObject:
    if not isinstance(node, Mapping):
        return {}  # everything is valid
    if "$ref" in node:
        text = _with_notes({}, node, [])
        return {"anyOf": [{"$ref": node["$ref"]}], **text} if text else {"$ref": node["$ref"]}
    for part in node.get("allOf", ()):
        rest = {key: value for key, value in node.items() if key != "allOf"}
        return _form({**part, **rest}, rules) if len(node["allOf"]) == 1 else _form(rest, rules)
    if "enum" in node or "const" in node:
        return _choice(node, rules)
    if isinstance(kinds := node.get("type"), list):
        return _with_notes({"anyOf": [_form({**node, "type": kind}, rules) for kind in kinds]}, node, [])
    return _plain(node, rules)


def _plain(node: Schema, rules: SubsetRules) -> JsonObject:
    """*node* with the supported keywords; its description has the other constraints."""
    kept: JsonObject = {}
    notes: list[str] = []
    for key, value in node.items():
        if (inner := _converted(key, value, rules)) is not None:
            kept["anyOf" if key == "oneOf" else key] = inner
        elif key == "patternProperties":
            notes.append(f"keys match {', '.join(value)}")
            kept["additionalProperties"] = (
                _form(next(iter(value.values())), rules) if len(value) == 1 else True
            )
        elif key == "propertyNames" and "enum" in value:
            notes.append(f"keys are of {', '.join(map(str, value['enum']))}")
        elif value in rules.formats if key == "format" else key in STRUCTURE or key in rules.constraints:
            kept[key] = value
        elif note := described(key, value):
            notes.append(note)
    if kept.get("items") in (True, False):
        del kept["items"]  # `prefixItems` and `maxItems` have the same meaning
    return _with_notes(kept, node, notes)


def _converted(key: str, value: Json, rules: SubsetRules) -> Json:
    """The value of a keyword that has schemas, with these converted; `None` for any other keyword."""
    match key:
        case "properties":
            return {name: _form(part, rules) for name, part in value.items()}
        case "anyOf" | "oneOf" | "prefixItems":
            return [_form(part, rules) for part in value]
        case "items" | "additionalProperties" if isinstance(value, Mapping):
            return _form(value, rules)
    return None


def _choice(node: Schema, rules: SubsetRules) -> JsonObject:
    by_type: dict[str, list[Json]] = {}
    for value in node["enum"] if "enum" in node else [node["const"]]:
        by_type.setdefault(json_type(value), []).append(value)
    forms: list[JsonObject] = []
    notes: list[str] = []
    for kind, values in by_type.items():
        listed = kind in rules.choices
        forms.append({"type": kind, "enum": values} if listed else {"type": kind})
        if not listed and kind != "null":
            notes.append(f"one of {', '.join(json.dumps(value, ensure_ascii=False) for value in values)}")
    return _with_notes(forms[0] if len(forms) == 1 else {"anyOf": forms}, node, notes)


def _with_notes(kept: JsonObject, node: Schema, notes: list[str]) -> JsonObject:
    """*kept* with a description: that of *node*, the *notes*, and the default."""
    parts = [node.get("description", ""), f"({', '.join(notes)})" if notes else ""]
    text = " ".join(filter(None, parts))
    if node.get("default") is not None:
        text = f"{sentence(text)} Default: {json.dumps(node['default'], ensure_ascii=False)}.".lstrip()
    return {**kept, "description": text} if text else kept


# --- recursion ----------------------------------------------------------------------------------------


def _with_optional_recursion(form: JsonObject, name: str, forms: Mapping[str, Json]) -> JsonObject:
    """*form*, the definition *name*, without its recursive properties among the required ones."""
    if name not in reachable(form, forms):
        return form
    names = form.get("required", ())
    properties = form.get("properties", {})
    kept = [key for key in names if name not in reachable(properties.get(key), forms)]
    return {**form, "required": kept}
