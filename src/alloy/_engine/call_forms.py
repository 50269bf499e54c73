"""Calls in the form in which providers take them back.

Models and servers write control tokens, prefixes and suffixes around the name of a tool, and arguments as
JSON inside of JSON, in a fence or with small errors. Providers refuse a history with such a call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace

from alloy._typed.json.calls import object_in, tool_name
from alloy._typed.json.text import Unreadable, encode, is_json, with_whole_escapes
from alloy.jsontypes import Json
from alloy.messages import Reply, ToolCall, ToolSchema

__all__ = ["in_plain_form"]

_EMPTY_LIST = re.compile(r'\s*(?:\[\s*\]|"\[\]")\s*')  # PHP writes an empty object so
_ARGUMENTS = ("arguments", "args", "input")  # the keys of an echo that hold them


def in_plain_form(reply: Reply, tools: Sequence[ToolSchema]) -> Reply:
    """*reply* with the names of *tools*, where one fits, and objects as arguments, in its calls and its echo.

    Any other name gets the characters that every provider accepts, and arguments that cannot be read stay
    as they are.
    """
    if not reply.calls:
        return reply
    names = {tool.name for tool in tools}
    calls = tuple(_plain(call, names) for call in reply.calls)
    changed = [(old, new) for old, new in zip(reply.calls, calls, strict=True) if old is not new]
    if not changed:
        return reply
    echo = reply.echo
    for old, new in changed if echo is not None else ():
        echo = echo and echo._replace(data=_walked(echo.data, _replacing(old, new)))
    return replace(reply, calls=calls, echo=echo)


def _plain(call: ToolCall, names: Collection[str]) -> ToolCall:
    name, arguments = tool_name(call.name, names), with_whole_escapes(call.arguments)
    if _EMPTY_LIST.fullmatch(arguments):
        arguments = "{}"
    elif arguments and not (arguments.lstrip().startswith("{") and is_json(arguments)):
        with suppress(Unreadable, RecursionError):
            arguments = encode(object_in(arguments, Unreadable("")))
    same = (name, arguments) == (call.name, call.arguments)
    return call if same else replace(call, name=name, arguments=arguments)


def _replacing(old: ToolCall, new: ToolCall) -> Callable[[str, Json], Json]:
    def replaced(key: str, value: Json) -> Json:
        if key == "name" and value == old.name:
            return new.name
        if key not in _ARGUMENTS or old.arguments == new.arguments:
            return value
        if isinstance(value, dict):  # a codec puts text that is not an object into one
            return json.loads(new.arguments) if list(value.values()) == [old.arguments] else value
        if value == old.arguments:
            return new.arguments
        is_encoded = json.dumps(value, ensure_ascii=False) == old.arguments
        return json.loads(new.arguments) if is_encoded else value

    return replaced


def _walked(part: Json, replaced: Callable[[str, Json], Json]) -> Json:
    """*part* with the values that *replaced* returns for those of its objects."""
    if isinstance(part, list):
        return [_walked(item, replaced) for item in part]
    if not isinstance(part, dict):
        return part
    made = {key: replaced(key, value) for key, value in part.items()}
    return {key: _walked(value, replaced) if value is part[key] else value for key, value in made.items()}
