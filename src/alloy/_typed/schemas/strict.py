"""JSON Schema -> the closed form that strict modes hold, and the way back.

A form is a schema and, where its values differ from the plain schema's, a function that restores
them: nulls that stand for "not given" go, lists of entries become objects again, named positions
lists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alloy._typed.json.values import json_type
from alloy._typed.schemas.refs import definition_name, reachable
from alloy._typed.schemas.restore import (
    Branch,
    Restore,
    choice_restorer,
    entries_restorer,
    items_restorer,
    overlapping,
    positions_restorer,
    record_restorer,
    root_entries_restorer,
)
from alloy._typed.schemas.rules import (
    DESCRIBED,
    STRUCTURE,
    NoStrictForm,
    StrictRules,
    check_limits,
    sentence,
)

__all__ = ["strict_form"]

ENTRIES = "entries"


@dataclass(frozen=True, slots=True)
class _Form:
    schema: dict[str, Any]
    restore: Restore | None = None


def strict_form(schema: Mapping[str, Any], rules: StrictRules) -> tuple[dict[str, Any], Restore | None]:
    """*schema* under *rules*, and what restores its values if they differ. Raises `NoStrictForm`."""
    compiler = _Compiler(schema, rules)
    form = compiler.root()
    check_limits(form.schema, rules)
    return form.schema, form.restore


class _Compiler:
    def __init__(self, schema: Mapping[str, Any], rules: StrictRules) -> None:
        self._schema, self._rules = schema, rules
        self._definitions: Mapping[str, Any] = schema.get("$defs", {})
        self._forms: dict[str, _Form] = {}
        self._sent: dict[str, Any] = {}  # the definitions' schemas, once all are made
        self._unions: list[list[Branch]] = []
        # Which definitions need restoring is known only when all are made, for they may be recursive:
        # assume none, and make them again until nothing new turns up.
        self._changed: set[str] = set()

    def root(self) -> _Form:
        while True:
            self._unions.clear()
            used = reachable(self._schema, self._definitions)
            self._forms = {name: self._form(self._definitions[name]) for name in used}
            changed = {name for name, form in self._forms.items() if form.restore is not None}
            root = self._form({key: value for key, value in self._schema.items() if key != "$defs"})
            if changed <= self._changed:
                break
            self._changed |= changed
        self._sent |= {name: form.schema for name, form in self._forms.items()}
        if any(overlapping(branches, self._sent) for branches in self._unions):
            raise NoStrictForm("a union whose members look the same in strict form")
        return self._with_definitions(_object_root(root))

    def _with_definitions(self, root: _Form) -> _Form:
        # A definition that was only ever inlined is not sent.
        used = {name: self._sent[name] for name in reachable(root.schema, self._sent)}
        if not self._rules.recursion and any(name in reachable(part, used) for name, part in used.items()):
            raise NoStrictForm("a definition that refers to itself")
        return _Form({**root.schema, "$defs": used}, root.restore) if used else root

    # --- one node ---------------------------------------------------------------------------------

    def _form(self, node: Any) -> _Form:
        if not isinstance(node, Mapping):
            raise NoStrictForm("a schema that takes anything, or nothing")
        if "$ref" in node:
            return self._reference(node)
        if "allOf" in node:
            return self._form(_merged_all_of(node))
        branches = node.get("anyOf") or node.get("oneOf")
        if branches:
            return self._union(node, branches)
        if "enum" in node or "const" in node:
            return _Form(self._choice(node))
        return self._typed(node)

    def _typed(self, node: Mapping[str, Any]) -> _Form:
        match node.get("type"):
            case list(kinds):
                return self._union({}, [{**node, "type": kind} for kind in kinds])
            case "object":
                return self._object(node)
            case "array":
                return self._array(node)
            case "null":
                return _Form({**_description(node), "type": "null"})
            case "string" | "integer" | "number" | "boolean":
                return _Form(self._kept(node))
        raise NoStrictForm("a schema without a type")

    def _reference(self, node: Mapping[str, Any]) -> _Form:
        name = definition_name(node["$ref"])
        definition = self._definition(name)
        beside = {key: value for key, value in node.items() if key in ("description", "default")}
        if (beside or self._rules.inline) and name not in reachable(definition, self._definitions):
            # Nothing may stand beside a reference, so what is meant goes in its place.
            return self._form({**definition, **beside})
        restore = (lambda value: self._restored(name, value)) if name in self._changed else None
        return _Form({"$ref": node["$ref"]}, restore)

    def _definition(self, name: str) -> Any:
        if name not in self._definitions:
            raise NoStrictForm("a reference that leads to no definition")
        return self._definitions[name]

    def _restored(self, name: str, value: Any) -> Any:
        restore = self._forms[name].restore
        return value if restore is None else restore(value)

    def _union(self, node: Mapping[str, Any], members: list[Any]) -> _Form:
        forms = [self._form(member) for member in members]
        branches = [Branch(form.schema, form.restore) for form in forms]
        schema = {**_description(node), "anyOf": [form.schema for form in forms]}
        if all(form.restore is None for form in forms):
            return _Form(schema)
        self._unions.append(branches)
        return _Form(schema, choice_restorer(branches, self._sent))

    def _choice(self, node: Mapping[str, Any]) -> dict[str, Any]:
        by_type: dict[str, list[Any]] = {}
        for value in node["enum"] if "enum" in node else [node["const"]]:
            by_type.setdefault(_scalar_type(value), []).append(value)
        schemas = [
            {"type": kind} if kind == "null" else {"type": kind, "enum": values}
            for kind, values in by_type.items()
        ]
        return {**_description(node), **(schemas[0] if len(schemas) == 1 else {"anyOf": schemas})}

    # --- objects ----------------------------------------------------------------------------------

    def _object(self, node: Mapping[str, Any]) -> _Form:
        more = node.get("additionalProperties")
        if "patternProperties" in node or ("properties" not in node and more is not False):
            return self._entries(node)
        if more:
            raise NoStrictForm("an object with both named and free keys")
        properties: dict[str, Any] = {}
        restorers: dict[str, Restore] = {}
        droppable: set[str] = set()
        required: list[str] = []
        for name, part in node.get("properties", {}).items():
            if name in node.get("required", ()):
                form = self._form(part)
                required.append(name)
            elif self._rules.allows_optional:
                form = self._left_out(part)
            else:
                required.append(name)
                form = self._optional(part)
                if not self._nullable(part):
                    droppable.add(name)
            properties[name] = form.schema
            if form.restore is not None:
                restorers[name] = form.restore
        schema = {**self._kept(node), **_closed(properties), "required": required}
        return _Form(schema, record_restorer(frozenset(droppable), restorers))

    def _optional(self, part: Mapping[str, Any]) -> _Form:
        """The form of a property that may be left out: null stands for that."""
        nullable = self._nullable(part)
        bare = {key: value for key, value in part.items() if key not in ("default", "description")}
        form = self._form(bare)
        schema = form.schema if nullable else {"anyOf": [form.schema, {"type": "null"}]}
        text = part.get("description", "")
        default = part.get("default")
        if default is not None:
            shown = json.dumps(default, ensure_ascii=False)
            note = f"Default: {shown}." if nullable else f"null means the default, {shown}."
            text = f"{sentence(text)} {note}".lstrip()
        if text and "$ref" in schema:  # a nullable definition
            schema = {"anyOf": [schema]}
        return _Form({**schema, "description": text} if text else schema, form.restore)

    def _left_out(self, part: Mapping[str, Any]) -> _Form:
        """The form of a property that may be left out where that is allowed."""
        bare = {key: value for key, value in part.items() if key != "default"}
        default = part.get("default")
        if default is not None:
            shown = json.dumps(default, ensure_ascii=False)
            bare["description"] = f"{sentence(part.get('description', ''))} Default: {shown}.".lstrip()
        elif "default" in part:
            bare = _without_null(bare)  # leaving it out says the same, and needs no union
        return self._form(bare)

    def _nullable(self, node: Any, seen: frozenset[str] = frozenset()) -> bool:
        if "$ref" in node:
            name = definition_name(node["$ref"])
            return name not in seen and self._nullable(self._definition(name), seen | {name})
        branches = node.get("anyOf") or node.get("oneOf") or node.get("allOf") or ()
        kinds = node.get("type")
        return (
            kinds == "null"
            or (isinstance(kinds, list) and "null" in kinds)
            or None in node.get("enum", ())
            or ("const" in node and node["const"] is None)
            or any(self._nullable(branch, seen) for branch in branches)
        )

    def _entries(self, node: Mapping[str, Any]) -> _Form:
        patterns = node.get("patternProperties", {})
        if node.get("properties") or len(patterns) > 1 or (patterns and node.get("additionalProperties")):
            raise NoStrictForm("an object with both named and free keys")
        names = node.get("propertyNames", {})
        if "$ref" in names:
            names = self._definition(definition_name(names["$ref"]))
        pattern = {"pattern": next(iter(patterns))} if patterns else {}
        key = self._form({"type": "string", **pattern, **names})
        if key.schema.get("type") != "string":
            raise NoStrictForm("keys that are not strings")
        value = self._form(
            next(iter(patterns.values())) if patterns else node.get("additionalProperties", True)
        )
        entry = _closed({"key": key.schema, "value": value.schema})
        schema: dict[str, Any] = {**_description(node), "type": "array", "items": entry}
        for bound, array_bound in (("minProperties", "minItems"), ("maxProperties", "maxItems")):
            if bound in node:
                schema[array_bound] = node[bound]
        return _Form(self._kept(schema), entries_restorer(value.restore))

    # --- arrays -----------------------------------------------------------------------------------

    def _array(self, node: Mapping[str, Any]) -> _Form:
        if "prefixItems" in node or node.get("maxItems") == 0:
            return self._positions(node)
        items = self._form(node.get("items", True))
        schema = {**self._kept(node), "items": items.schema}
        return _Form(schema, None if items.restore is None else items_restorer(items.restore))

    def _positions(self, node: Mapping[str, Any]) -> _Form:
        parts = node.get("prefixItems", [])
        if node.get("items") or node.get("maxItems", len(parts)) != len(parts):
            raise NoStrictForm("an array with both fixed and free positions")
        least = node.get("minItems", 0)
        forms = [
            self._form(part) if index < least else self._optional(part) for index, part in enumerate(parts)
        ]
        names = [f"item_{index}" for index in range(len(parts))]
        droppable = {
            names[index]: part.get("default")
            for index, part in enumerate(parts)
            if index >= least and not self._nullable(part)
        }
        properties = dict(zip(names, (form.schema for form in forms), strict=True))
        schema = {**_description(node), **_closed(properties)}
        return _Form(schema, positions_restorer(names, [form.restore for form in forms], droppable))

    # --- keywords ---------------------------------------------------------------------------------

    def _kept(self, node: Mapping[str, Any]) -> dict[str, Any]:
        """*node* with the keywords that strict mode holds; the other constraints are put in words."""
        kept: dict[str, Any] = {}
        words: list[str] = []
        for key, value in node.items():
            if self._holds(key, value):
                kept[key] = value
            elif key in DESCRIBED:
                words.append(DESCRIBED[key].format(value))
        if words:
            kept["description"] = " ".join(filter(None, (kept.get("description"), f"({', '.join(words)})")))
        return kept

    def _holds(self, key: str, value: Any) -> bool:
        if key == "format":
            return value in self._rules.formats
        if key not in self._rules.constraints:
            return key in STRUCTURE
        if key == "pattern":
            return re.search(self._rules.unsupported_pattern, value) is None
        return key not in self._rules.at_most or value <= self._rules.at_most[key]


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _object_root(root: _Form) -> _Form:
    if root.schema.get("type") == "object":
        return root
    if root.schema.get("type") != "array" or root.restore is None:
        raise NoStrictForm("a root that is no object")
    schema = _closed({ENTRIES: root.schema})
    return _Form(schema, root_entries_restorer(ENTRIES, root.restore))


def _without_null(node: dict[str, Any]) -> dict[str, Any]:
    branches = [part for part in node.get("anyOf", ()) if part != {"type": "null"}]
    if not branches:
        return node
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    return {**branches[0], **rest} if len(branches) == 1 else {**rest, "anyOf": branches}


def _merged_all_of(node: Mapping[str, Any]) -> dict[str, Any]:
    if len(node["allOf"]) != 1 or not isinstance(node["allOf"][0], Mapping):
        raise NoStrictForm("an intersection of schemas")
    return {**node["allOf"][0], **{key: value for key, value in node.items() if key != "allOf"}}


def _description(node: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": node["description"]} if "description" in node else {}


def _scalar_type(value: Any) -> str:
    kind = json_type(value)
    if kind in ("array", "object"):
        raise NoStrictForm("a choice that is not a scalar")
    return kind
