"""JSON Schema -> the closed form that strict modes support, and the decoding of its values.

A form is a schema and, where its values differ from those of the plain schema, a function that restores
them: it removes nulls that stand for an absent property, and turns lists of entries into objects and named
positions into lists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from alloy._typed.json.values import json_type
from alloy._typed.schemas.refs import Schema, definition_name, reachable
from alloy._typed.schemas.restore import (
    Form,
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
    STRUCTURE,
    NoStrictForm,
    StrictRules,
    check_limits,
    described,
    sentence,
)
from alloy.jsontypes import Json, JsonObject

__all__ = ["strict_form"]

ENTRIES = "entries"


def strict_form(schema: Schema, rules: StrictRules) -> tuple[JsonObject, Restore | None]:
    """*schema* under *rules*, and what restores its values if they differ. Raises `NoStrictForm`."""
    compiler = _Compiler(schema, rules)
    form = compiler.root()
    check_limits(form.schema, rules)
    return form.schema, form.restore


class _Compiler:
    """Converts one schema, with the definitions that it uses.

    `_form` converts a node by its kind: a reference, a union, a choice, an object, an array or a scalar.
    Each returns a form whose restorer is built from those of its parts, or `None` if the values of all
    parts keep their shape. A reference is restored by its definition's form. With recursion, a form is
    needed before it is known, so `root` converts everything until the set of definitions that need a
    restorer, which is empty at first, does not grow any more. Then it checks that the members of each
    union can be distinguished when a value is restored, and leaves out definitions that were only inlined.
    """

    def __init__(self, schema: Schema, rules: StrictRules) -> None:
        self._schema, self._rules = schema, rules
        self._definitions: Mapping[str, Json] = schema.get("$defs", {})
        self._recursive: dict[str, bool] = {}
        self._forms: dict[str, Form] = {}
        self._changed: set[str] = set()  # definitions whose values differ in strict form
        self._unions: list[list[Form]] = []
        self._sent: JsonObject = {}  # the schemas of all forms, once they are final

    def root(self) -> Form:
        """The form of the whole schema."""
        while True:
            self._unions.clear()
            used = reachable(self._schema, self._definitions)
            self._forms = {name: self._form(self._definitions[name]) for name in used}
            changed = {name for name, form in self._forms.items() if form.restore is not None}
            root = self._form({key: value for key, value in self._schema.items() if key != "$defs"})
            # The form of a reference depends on `_changed` only, and a larger set never makes a restorer
            # disappear. So the set grows each time, until it is complete.
            if changed <= self._changed:
                break
            self._changed |= changed
        self._sent |= {name: form.schema for name, form in self._forms.items()}
        if any(overlapping(members, self._sent) for members in self._unions):
            raise NoStrictForm("a union whose members look the same in strict form")
        return self._with_definitions(_object_root(root))

    def _with_definitions(self, root: Form) -> Form:
        # A definition that was inlined everywhere is not sent.
        used = {name: self._sent[name] for name in reachable(root.schema, self._sent)}
        if not self._rules.recursion and any(name in reachable(part, used) for name, part in used.items()):
            raise NoStrictForm("a definition that refers to itself")
        return Form({**root.schema, "$defs": used}, root.restore) if used else root

    # --- one node ---------------------------------------------------------------------------------

    def _form(self, node: Json) -> Form:
        if not isinstance(node, Mapping):
            raise NoStrictForm("a schema that accepts everything or nothing")
        if "$ref" in node:
            return self._reference(node)
        if "allOf" in node:
            return self._form(_merged_all_of(node))
        branches = node.get("anyOf") or node.get("oneOf")
        if branches:
            return self._union(node, branches)
        if "enum" in node or "const" in node:
            return Form(self._choice(node))
        return self._typed(node)

    def _typed(self, node: Schema) -> Form:
        match node.get("type"):
            case list(kinds):
                return self._union({}, [{**node, "type": kind} for kind in kinds])
            case "object":
                return self._object(node)
            case "array":
                return self._array(node)
            case "null":
                return Form({**_description(node), "type": "null"})
            case "string" | "integer" | "number" | "boolean":
                return Form(self._kept(node))
        raise NoStrictForm("a schema without a type")

    def _reference(self, node: Schema) -> Form:
        name = definition_name(node["$ref"])
        definition = self._definition(name)
        more = {key: value for key, value in node.items() if key in ("description", "default")}
        if (more or self._rules.inline) and not self._is_recursive(name):
            # A reference may have no other keywords, so the definition replaces it.
            return self._form({**definition, **more})
        restore = (lambda value: self._restored(name, value)) if name in self._changed else None
        return Form({"$ref": node["$ref"]}, restore)

    def _is_recursive(self, name: str) -> bool:
        if name not in self._recursive:
            self._recursive[name] = name in reachable(self._definitions[name], self._definitions)
        return self._recursive[name]

    def _definition(self, name: str) -> Json:
        if name not in self._definitions:
            raise NoStrictForm("a reference that leads to no definition")
        return self._definitions[name]

    def _restored(self, name: str, value: Json) -> Json:
        restore = self._forms[name].restore
        return value if restore is None else restore(value)

    def _union(self, node: Schema, members: list[Json]) -> Form:
        forms = [self._form(member) for member in members]
        schema = {**_description(node), "anyOf": [form.schema for form in forms]}
        if all(form.restore is None for form in forms):
            return Form(schema)
        self._unions.append(forms)
        return Form(schema, choice_restorer(forms, self._sent))

    def _choice(self, node: Schema) -> JsonObject:
        by_type: dict[str, list[Json]] = {}
        for value in node["enum"] if "enum" in node else [node["const"]]:
            by_type.setdefault(_scalar_type(value), []).append(value)
        schemas = [
            {"type": kind} if kind == "null" else {"type": kind, "enum": values}
            for kind, values in by_type.items()
        ]
        return {**_description(node), **(schemas[0] if len(schemas) == 1 else {"anyOf": schemas})}

    # --- objects ----------------------------------------------------------------------------------

    def _object(self, node: Schema) -> Form:
        """An object with named properties, or one with free keys as a list of entries."""
        more = node.get("additionalProperties")
        if "patternProperties" in node or ("properties" not in node and more is not False):
            return self._entries(node)
        if more:
            raise NoStrictForm("an object with both named and free keys")
        properties: JsonObject = {}
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
        return Form(schema, record_restorer(frozenset(droppable), restorers))

    def _optional(self, part: Schema) -> Form:
        """The form of a property that may be absent, where null says so."""
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
        return Form({**schema, "description": text} if text else schema, form.restore)

    def _left_out(self, part: Schema) -> Form:
        """The form of a property that may be absent, where it may be left out."""
        bare = {key: value for key, value in part.items() if key != "default"}
        default = part.get("default")
        if default is not None:
            shown = json.dumps(default, ensure_ascii=False)
            bare["description"] = f"{sentence(part.get('description', ''))} Default: {shown}.".lstrip()
        elif "default" in part:
            bare = _without_null(bare)  # leaving it out has the same meaning, without a union
        return self._form(bare)

    def _nullable(self, node: Json, seen: frozenset[str] = frozenset()) -> bool:
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

    def _entries(self, node: Schema) -> Form:
        """An object with free keys: a list of objects with a key and a value."""
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
        schema: JsonObject = {**_description(node), "type": "array", "items": entry}
        for bound, array_bound in (("minProperties", "minItems"), ("maxProperties", "maxItems")):
            if bound in node:
                schema[array_bound] = node[bound]
        return Form(self._kept(schema), entries_restorer(value.restore))

    # --- arrays -----------------------------------------------------------------------------------

    def _array(self, node: Schema) -> Form:
        if "prefixItems" in node or node.get("maxItems") == 0:
            return self._positions(node)
        items = self._form(node.get("items", True))
        schema = {**self._kept(node), "items": items.schema}
        return Form(schema, None if items.restore is None else items_restorer(items.restore))

    def _positions(self, node: Schema) -> Form:
        """A tuple: an object with a property for each position."""
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
        return Form(schema, positions_restorer(names, [form.restore for form in forms], droppable))

    # --- keywords ---------------------------------------------------------------------------------

    def _kept(self, node: Schema) -> JsonObject:
        """*node* with the supported keywords; its description has the other constraints."""
        kept: JsonObject = {}
        notes: list[str] = []
        for key, value in node.items():
            if self._supports(key, value):
                kept[key] = value
            elif note := described(key, value):
                notes.append(note)
        if notes:
            kept["description"] = " ".join(filter(None, (kept.get("description"), f"({', '.join(notes)})")))
        return kept

    def _supports(self, key: str, value: Json) -> bool:
        if key == "format":
            return value in self._rules.formats
        if key not in self._rules.constraints:
            return key in STRUCTURE
        if key == "pattern":
            return re.search(self._rules.unsupported_pattern, value) is None
        return key not in self._rules.at_most or value <= self._rules.at_most[key]


def _closed(properties: JsonObject) -> JsonObject:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _object_root(root: Form) -> Form:
    if root.schema.get("type") == "object":
        return root
    if root.schema.get("type") != "array" or root.restore is None:
        raise NoStrictForm("a root that is not an object")
    schema = _closed({ENTRIES: root.schema})
    return Form(schema, root_entries_restorer(ENTRIES, root.restore))


def _without_null(node: JsonObject) -> JsonObject:
    branches = [part for part in node.get("anyOf", ()) if part != {"type": "null"}]
    if not branches:
        return node
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    return {**branches[0], **rest} if len(branches) == 1 else {**rest, "anyOf": branches}


def _merged_all_of(node: Schema) -> JsonObject:
    if len(node["allOf"]) != 1 or not isinstance(node["allOf"][0], Mapping):
        raise NoStrictForm("an intersection of schemas")
    return {**node["allOf"][0], **{key: value for key, value in node.items() if key != "allOf"}}


def _description(node: Schema) -> JsonObject:
    return {"description": node["description"]} if "description" in node else {}


def _scalar_type(value: Json) -> str:
    kind = json_type(value)
    if kind in ("array", "object"):
        raise NoStrictForm("a choice that is not a scalar")
    return kind
