"""Docstrings in Google, NumPy and Sphinx style: the text and the parameters for a tool's description.

The sections on parameters, results and errors are taken out of the text, and each parameter's description
is kept. A docstring in another style stays as it is.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field

__all__ = ["Docstring", "read_docstring"]

_PARAMETERS = {"args", "arguments", "parameters", "params", "keyword args", "keyword arguments"}
_PARAMETERS |= {"other parameters"}
_OTHERS = {"returns", "return", "yields", "yield", "raises", "raise", "warns", "receives", "see also"}
_OTHERS |= {"attributes", "references", "exceptions"}
_GOOGLE_HEADER = re.compile(r"([A-Za-z][A-Za-z ]*):\s*\Z")
_NUMPY_RULE = re.compile(r"\s*-{3,}\s*\Z")
_GOOGLE_ENTRY = re.compile(
    r"\*{0,2}(\w++)\s*+(?:\((?:[^()]++|\([^()]*+\))*+\)\s*+)?+:(?:\s+(.*)|)\Z", re.DOTALL
)
_NUMPY_ENTRY = re.compile(r"(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?\Z")
_SPHINX_FIELD = re.compile(r":(\w++)(?:\s([^:]*+))?+:(?:\s+|\Z)(.*)", re.DOTALL)
_SPHINX_PARAMETERS = {"param", "parameter", "arg", "argument", "key", "keyword"}
_SPHINX_OTHERS = {"type", "return", "returns", "rtype", "raise", "raises", "except", "exception", "yield"}
_SPHINX_OTHERS |= {"yields", "ytype", "var", "ivar", "cvar", "vartype", "meta"}


@dataclass(slots=True)
class Docstring:
    """*text* is the docstring without its sections; *parameters* maps names to descriptions."""

    text: str = ""
    parameters: dict[str, str] = field(default_factory=dict)


def read_docstring(doc: str | None) -> Docstring:
    """The text and the parameters of *doc*."""
    found = Docstring()
    kept: list[str] = []
    lines = inspect.cleandoc(doc or "").splitlines()
    position = 0
    while position < len(lines):
        step = _numpy_section(lines, position, found) or _google_section(lines, position, found)
        step = step or _sphinx_field(lines, position, found)
        if not step:
            kept.append(lines[position])
            step = 1
        position += step
    found.text = re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in kept)).strip()
    return found


def _numpy_section(lines: list[str], start: int, found: Docstring) -> int:
    """The number of lines of the NumPy section at *start*; 0 if there is no section."""
    if start + 1 >= len(lines) or not _NUMPY_RULE.match(lines[start + 1]):
        return 0
    title = lines[start].strip().lower()
    if title not in _PARAMETERS | _OTHERS:
        return 0
    end = start + 2
    while end < len(lines) and not (end + 1 < len(lines) and _NUMPY_RULE.match(lines[end + 1])):
        end += 1
    if title in _PARAMETERS:
        for head, body in _entries(lines[start + 2 : end]):
            if entry := _NUMPY_ENTRY.match(head):
                for name in entry.group(1).split(","):
                    _describe(found, name, body)
    return end - start


def _google_section(lines: list[str], start: int, found: Docstring) -> int:
    header = _GOOGLE_HEADER.match(lines[start])
    if header is None or header.group(1).lower() not in _PARAMETERS | _OTHERS:
        return 0
    end = start + 1
    while end < len(lines) and (not lines[end].strip() or lines[end][0].isspace()):
        end += 1
    body = lines[start + 1 : end]
    if not any(line.strip() for line in body):
        return 0  # a sentence that ends with a colon
    if header.group(1).lower() in _PARAMETERS:
        for head, rest in _entries(inspect.cleandoc("\n" + "\n".join(body)).splitlines()):
            if entry := _GOOGLE_ENTRY.match(head):
                _describe(found, entry.group(1), " ".join(filter(None, (entry.group(2), rest))))
    return end - start


def _sphinx_field(lines: list[str], start: int, found: Docstring) -> int:
    entry = _SPHINX_FIELD.match(lines[start])
    if entry is None or entry.group(1) not in _SPHINX_PARAMETERS | _SPHINX_OTHERS:
        return 0
    end = start + 1
    while end < len(lines) and lines[end][:1].isspace():
        end += 1
    if entry.group(1) in _SPHINX_PARAMETERS and (words := (entry.group(2) or "").split()):
        # `:param int size: …` names the type before the parameter.
        body = [entry.group(3), *(line.strip() for line in lines[start + 1 : end])]
        _describe(found, words[-1], " ".join(body))
    return end - start


def _entries(lines: list[str]) -> list[tuple[str, str]]:
    """The lines without indentation, each with the indented lines below it as one paragraph."""
    made: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.strip() and not line[0].isspace():
            made.append((line.rstrip(), []))
        elif made:
            made[-1][1].append(line.strip())
    return [(head, " ".join(filter(None, body))) for head, body in made]


def _describe(found: Docstring, name: str, text: str) -> None:
    if text.strip():
        found.parameters[name.strip().lstrip("*")] = text.strip()
