"""JSON bodies: how a request's body is written, and how a response's body is parsed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from alloy.errors import ConfigurationError
from alloy.jsontypes import Json

__all__ = ["TooDeepError", "json_or_text", "json_problem", "parse_body", "parse_json", "unparsed", "written"]

SHOWN = 100  # characters of a path that a message shows
DEEPEST = 200  # levels; a value that is nested deeper contains itself

_ARGUMENTS = re.compile(r'"(?:input|args|arguments)"\s*:\s*(?=[{\[])')  # of a call, by the names of all APIs
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[{\[]|[}\]]', re.DOTALL)  # a string may be cut off
_NO_NUMBERS = re.compile(rb"NaN|Infinity")  # written although they are not JSON; texts may contain them, too


class TooDeepError(ValueError):
    """JSON that is nested too deeply to be parsed; another try would give the same."""


def written(provider: str, body: Mapping[str, Any]) -> bytes:
    """*body* as JSON. Raises `ConfigurationError` that names the place of what JSON cannot represent."""
    from pydantic_core import to_json

    try:
        content, problem = to_json(body), None
    except ValueError as error:
        content, problem = b"", str(error)
    if problem or _NO_NUMBERS.search(content):
        problem = json_problem(dict(body)) or problem
    if problem:
        raise ConfigurationError(f"{provider}: the request cannot be sent: {problem}")
    return content


def parse_json(data: bytes | str) -> Json:
    """*data* as Python values. Raises `ValueError`."""
    from pydantic_core import from_json

    try:
        return from_json(data)  # two to five times as fast as json
    except (ValueError, TypeError) as error:  # a TypeError: a str with half of a surrogate pair
        problem = str(error)
    if problem.startswith("recursion limit"):
        raise TooDeepError(f"nested more than {DEEPEST} levels deep")
    with suppress(ValueError, RecursionError):
        return json.loads(data)  # accepts lone surrogates, which servers send when they split an emoji
    raise ValueError(problem)  # not json's error, which keeps the text: it may contain the key


def parse_body(data: bytes) -> Json:
    """*data*, a body or an event, as Python values. Raises `ValueError`.

    The arguments of a call that no parser reads, because of their depth or their numbers, become text.
    """
    try:
        return parse_json(data)
    except ValueError:
        with suppress(ValueError):
            return parse_json(_with_readable_arguments(data.decode()))
        raise


def _with_readable_arguments(body: str) -> str:
    pieces, place = [], 0
    for found in _ARGUMENTS.finditer(body):
        if (start := found.end()) < place:  # inside of other arguments
            continue
        pieces.append(body[place:start])
        place = _end(body, start)
        arguments = body[start:place]
        try:
            parse_json(arguments)
        except ValueError:
            arguments = json.dumps(arguments)
        pieces.append(arguments)
    return "".join([*pieces, body[place:]])


def _end(body: str, start: int) -> int:
    """Where the object or the array ends that begins at *start*."""
    depth = 0
    for token in _TOKEN.finditer(body, start):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    return len(body)


def unparsed(error: ValueError, transient: bool | None) -> tuple[bool | None, str]:
    """Whether another try may help after *error* of `parse_json`, *transient* by default, and its text."""
    if isinstance(error, TooDeepError):
        return False, str(error)
    return transient, "not JSON, or not complete"


def json_or_text(content: bytes) -> Json:
    """*content* as Python values, or as text when it is not JSON."""
    try:
        return parse_json(content)
    except ValueError:
        return content.decode("utf-8", "replace")


def json_problem(value: Any, path: str = "$", depth: int = 0) -> str | None:
    """Why *value* cannot be sent as JSON, and where, or `None` when it can."""
    if depth > DEEPEST:
        return f"{path[:SHOWN]}… is nested without an end"
    if isinstance(value, dict):
        wrong = next((key for key in value if not isinstance(key, str)), None)
        if wrong is not None:
            return f"{path} has the key {wrong!r}, which is not a str"
        parts = [(item, f"{path}.{key}") for key, item in value.items()]
    elif isinstance(value, list | tuple):
        parts = [(item, f"{path}[{index}]") for index, item in enumerate(value)]
    else:
        return _scalar_problem(value, path)
    return next((found for item, at in parts if (found := json_problem(item, at, depth + 1))), None)


def _scalar_problem(value: Any, path: str) -> str | None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            bad = value[error.start]
            what = f"{bad!r} at character {error.start}, a lone surrogate, which is not Unicode text"
            return f"{path} holds {what}"
        return None
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return f"{path} is {value!r}, which JSON cannot represent"
    if value is None or isinstance(value, bool | int | float):
        return None
    return f"{path} is a {type(value).__name__}, which JSON cannot represent"
