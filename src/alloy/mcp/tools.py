"""The tools of an MCP server as tools of Alloy: schemas unchanged, arguments checked, results as parts."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from jsonschema import SchemaError
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from alloy._typed.json.text import Unreadable, decode
from alloy._typed.schemas.coercion import coerce
from alloy._typed.schemas.dialects import Wire
from alloy._typed.types.signature import Signature
from alloy.errors import CommandError, ConfigurationError
from alloy.jsontypes import Json, JsonObject
from alloy.media import Media
from alloy.parts import Document, Image, Part
from alloy.tools import Tool

__all__ = ["McpTool", "Returned", "mcp_tools", "returned", "text_of"]

Returned = str | list[Part]
Call = Callable[[str, dict[str, Any]], Awaitable[Returned]]

_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")
LONGEST_NAME = 64


class McpTool(Tool[..., Any]):
    """A tool of an MCP server. From Python it is an async function of its arguments by name."""

    _how_to_rename = "connect(…, prefix=…)"

    def __init__(self, name: str, listed: Any, call: Call) -> None:
        """The tool *listed* by the server, under *name*; *call* has the server run it."""

        async def run(**arguments: Any) -> Returned:
            return await call(listed.name, arguments)

        run.__name__ = run.__qualname__ = name
        run.__doc__ = listed.description
        super().__init__(run, name=name, description=listed.description or listed.title or "")
        schema = listed.input_schema
        self._signature = Signature(schema, self._description or "", _Arguments(schema, name), {})  # type: ignore[arg-type]

    def _check(self, *, named: bool) -> None:
        """The schema comes from the server, so the function's parameters say nothing."""

    @property
    def signature(self) -> Signature:
        """The arguments, as the server describes them."""
        return self._signature

    def _changed(self, **changes: Any) -> Any:
        raise ConfigurationError(
            f"{self.name} is a tool of an MCP server, and takes no options of @tool and no contracts: "
            "wrap it in a function of your own"
        )

    def __reduce__(self) -> Any:
        raise ConfigurationError(
            f"{self.name} is a tool of an MCP server, and its connection cannot be pickled"
        )

    def __repr__(self) -> str:
        return f"<MCP tool {self.name}>"


class _Arguments:
    """Checks arguments against a JSON Schema, as pydantic does those of Python functions."""

    def __init__(self, schema: JsonObject, name: str) -> None:
        self._schema = schema
        kind = validator_for(schema)
        try:
            kind.check_schema(schema)
        except SchemaError as error:
            raise ConfigurationError(f"the MCP tool {name} has an invalid schema: {error.message}") from error
        # Without a registry jsonschema loads what `$ref` names, from servers and from files of this machine.
        self._checker: Validator = kind(schema, registry=Registry())

    def read(self, text: str, wire: Wire | None = None) -> Json:
        return self.take(decode(text or "{}"), wire)

    def take(self, value: Json, wire: Wire | None = None) -> Json:
        if wire is not None and wire.restore is not None:
            value = wire.restore(value)
        problems = self._problems(value)
        if problems:
            # Models write "3" for 3; what then fits was meant so.
            again = coerce(value, self._schema)
            if self._problems(again):
                raise Unreadable(*problems)
            value = again
        return value

    def _problems(self, value: Json) -> list[str]:
        try:
            return [f"{error.json_path}: {error.message}" for error in self._checker.iter_errors(value)]
        except Unresolvable as error:
            return [f"the tool's schema refers to {error.ref!r:.200}, which is not in it"]


def mcp_tools(listed: Iterable[Any], prefix: str, call: Call) -> tuple[McpTool, ...]:
    """The *listed* tools, under names that every provider accepts."""
    made: dict[str, McpTool] = {}
    for each in listed:
        name = _name(prefix + each.name, made)
        made[name] = McpTool(name, each, call)
    return tuple(made.values())


def _name(given: str, taken: Iterable[str]) -> str:
    legal = _ILLEGAL.sub("_", given)
    if not legal[:1].isalpha() and not legal.startswith("_"):
        legal = f"_{legal}"
    name, number = legal[:LONGEST_NAME], 1
    while name in taken:
        number += 1
        name = f"{legal[: LONGEST_NAME - len(str(number)) - 1]}_{number}"
    return name


# --- results ------------------------------------------------------------------------------------------


def returned(result: Any) -> Returned:
    """What a tool returned: text, or a list when there are images or documents that models take."""
    parts = list(map(_part, result.content))
    if any(isinstance(part, Media) for part in parts):
        return parts
    return _text(result, parts)


def text_of(result: Any) -> str:
    """The text of a result, with what its other parts are."""
    return _text(result, list(map(_part, result.content)))


def _text(result: Any, parts: Sequence[Part]) -> str:
    texts = [part if isinstance(part, str) else f"[{part.described}]" for part in parts]
    if not any(text.strip() for text in texts) and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    return "\n".join(texts)


def _part(part: Any) -> Part:
    match part.type:
        case "text":
            return str(part.text)
        case "image" | "audio":
            return _file(part.type, part.data, part.mime_type, "")
        case "resource_link":
            described = f", {part.description}" if part.description else ""
            return f"[{part.name}: {part.uri}{described}]"
        case "resource":
            inner = part.resource
            if (text := getattr(inner, "text", None)) is not None:
                return str(text)
            return _file("resource", inner.blob, inner.mime_type, str(inner.uri))
    return f"[{part.type}]"


def _file(kind: str, encoded: str, media_type: str | None, uri: str) -> Part:
    """Data that a server sent, as an image or a document, or in words where no model takes its type."""
    what = f"{kind} {uri}" if uri else kind
    try:
        data, name = b64decode(encoded, validate=True), uri.rpartition("/")[2]
    except ValueError:
        return f"[{what}: {media_type or 'data'}, which the server did not encode in base64]"
    for accepting in (Image, Document):
        with suppress(CommandError):
            return accepting.from_bytes(data, media_type, name=name)
    return f"[{what}: {media_type or 'data'}, {len(data):,} bytes]"
