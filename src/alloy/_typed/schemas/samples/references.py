"""Where the references of a JSON Schema lead, and which of them have a finite value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from alloy._typed.schemas.refs import Schema, references
from alloy._typed.schemas.samples.checks import resolve_ref

__all__ = ["References"]

ENDLESS = float("inf")


class References:
    """The references of one document, *root*."""

    def __init__(self, root: Schema) -> None:
        self.root = root
        self._reach: dict[str, frozenset[str]] = {}
        self._ranks: dict[str, float] | None = None

    def target(self, ref: str) -> Any:
        """The schema that *ref* leads to. Raises `ConfigurationError` when there is none."""
        return resolve_ref(ref, self.root)

    def reach(self, ref: str) -> frozenset[str]:
        """All references that a value for *ref* may need, *ref* included."""
        if ref not in self._reach:
            self._reach[ref] = self._closure({ref})
        return self._reach[ref]

    def rank(self, ref: str) -> float:
        """A number such that a value for *ref* can be built from references of lower ranks only.

        It is infinite when no value for *ref* is finite.
        """
        if self._ranks is None:
            self._ranks = self._ranked(self._closure(set(references(self.root))))
        return self._ranks.get(ref, ENDLESS)

    def _closure(self, refs: set[str]) -> frozenset[str]:
        found, ahead = set(refs), list(refs)
        while ahead:
            new = set(references(self.target(ahead.pop()))) - found
            found |= new
            ahead += new
        return frozenset(found)

    def _ranked(self, refs: frozenset[str]) -> dict[str, float]:
        ranks: dict[str, float] = {}
        while ended := [ref for ref in refs - ranks.keys() if _ends(self.target(ref), ranks)]:
            ranks.update(dict.fromkeys(ended, len(ranks)))
        return ranks


def _ends(schema: Any, known: Mapping[str, float]) -> bool:
    """Whether *schema* has a finite value, if of all references only the *known* ones have one."""
    if isinstance(schema, bool) or schema.keys() & {"const", "enum", "examples"}:
        return True
    chosen = schema.get("anyOf") or schema.get("oneOf") or [True]
    return (
        schema.get("$ref") in (None, *known)
        and any(_ends(branch, known) for branch in chosen)
        and all(_ends(part, known) for part in [*schema.get("allOf", ()), *_must_have(schema)])
    )


def _must_have(schema: Schema) -> Iterator[Any]:
    """The schemas of the parts that every value has."""
    properties = schema.get("properties", {})
    yield from (properties[name] for name in schema.get("required", ()) if name in properties)
    least, fixed = schema.get("minItems", 0), schema.get("prefixItems", [])
    yield from fixed[:least]
    if least > len(fixed):
        yield schema.get("items", True)
    if schema.get("minProperties", 0) > len(properties):
        yield schema.get("additionalProperties", True)
