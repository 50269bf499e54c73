"""Models with an `__init__` of their own: what it takes.

`alloy._typed.types.init_arguments` reads its arguments. Here a class is refused whose `__init__` cannot
take the fields that a model is shown, before a model is asked.
"""

from __future__ import annotations

import enum
import inspect
from collections import abc
from collections.abc import Mapping
from types import NoneType
from typing import Any, Literal, TypeVar, get_args

from pydantic import AliasPath, BaseModel

from alloy._typed.types.annotations import UNIONS, class_of, resolved, type_name
from alloy._typed.types.constraints import Unsuited
from alloy._typed.types.core_nodes import input_names

__all__ = [
    "BY_NAME",
    "check_arguments",
    "check_parameters",
    "check_type",
    "hint_of",
    "is_json",
    "parameters_of",
    "signature_of",
]


def check_parameters(subject: type[BaseModel]) -> None:
    """Raise `Unsuited` if the `__init__` of *subject* cannot take the fields that the model is shown."""
    parameters = parameters_of(subject)
    if parameters is None:
        return
    names = {name for name, kind in parameters.items() if kind.kind in BY_NAME}
    shown = [_shown_name(subject, name) for name in subject.__pydantic_fields__]
    if not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        for name in shown:
            if name not in names:
                raise _unsuited(subject, f"has no parameter for the field {name!r}: add it, or **kwargs")
    for name, each in parameters.items():
        needed = each.default is each.empty and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
        if needed and (name not in shown or name not in names):
            raise _unsuited(subject, f"requires {name!r}, which is not a field: give it a default")


BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def parameters_of(subject: type[BaseModel]) -> dict[str, inspect.Parameter] | None:
    """The parameters of the class's own `__init__`, without `self`; `None` if it has none of its own."""
    if not subject.__pydantic_custom_init__ or subject.__pydantic_root_model__:
        return None
    found = signature_of(subject)
    return None if found is None else dict(found[1:])


def signature_of(subject: type[BaseModel]) -> list[tuple[str, inspect.Parameter]] | None:
    try:
        return [*inspect.signature(subject.__init__).parameters.items()]
    except (TypeError, ValueError):  # written in C
        return None


def _shown_name(subject: type[BaseModel], field: str) -> str:
    info = subject.__pydantic_fields__[field]
    by_alias = subject.model_config.get("validate_by_alias", True)
    alias = info.validation_alias if by_alias else None
    return next(input_names(getattr(alias, "convert_to_aliases", lambda: alias)()), field)


def check_arguments(subject: type[BaseModel], hints: Mapping[str, Any]) -> None:
    """Raise `Unsuited` if `__init__` takes another type for a field than its hint in *hints*.

    What it does with a text or a number is its own affair, because the value is then as it is in JSON.
    """
    for field in subject.__pydantic_fields__:
        if not is_json(hints[field]):
            _check_parameter(subject, field, hints[field])


def check_type(subject: type[BaseModel], field: str, hint: Any) -> None:
    """Raise `Unsuited` if `__init__` cannot get *field*, whose type is *hint* and which Alloy converts."""
    alias = subject.__pydantic_fields__[field].validation_alias
    if parameters_of(subject) is not None and AliasPath in map(type, getattr(alias, "choices", [alias])):
        raise _unsuited(subject, f"cannot get {field!r}, whose alias is an AliasPath: give it a plain alias")
    _check_parameter(subject, field, hint)


def _check_parameter(subject: type[BaseModel], field: str, hint: Any) -> None:
    name = _shown_name(subject, field)
    parameters = parameters_of(subject)
    if parameters is None or name not in parameters:
        return
    found = hint_of(subject, parameters[name])
    if found is not inspect.Parameter.empty and not _accepts(found, hint):
        raise _unsuited(
            subject,
            f"takes {name!r} as {type_name(found)}, and the field is {type_name(hint)}: give both one type",
        )


def hint_of(subject: type[BaseModel], parameter: inspect.Parameter) -> Any:
    return resolved(parameter.annotation, subject.__init__.__module__)


_JSON = (str, int, float, bool, NoneType)
_COLLECTIONS = (list, dict, abc.Mapping, abc.Sequence, abc.Collection, abc.Iterable)


def is_json(hint: Any) -> bool:
    """Whether values of the type *hint* are the same in Python and in JSON, or not known to differ."""
    kind = class_of(hint)
    if hasattr(hint, "__metadata__"):
        return is_json(hint.__origin__)
    if kind is Literal:
        return not any(isinstance(value, enum.Enum | bytes) for value in get_args(hint))
    if kind in UNIONS or kind in _COLLECTIONS:
        return all(map(is_json, get_args(hint)))
    return kind in _JSON or not isinstance(kind, type)


def _accepts(taken: Any, given: Any) -> bool:
    """Whether a parameter of the type *taken* takes values of the type *given*, as far as classes show."""
    if isinstance(taken, TypeVar) or taken in (Any, object, ...) or type_name(taken) == type_name(given):
        return True
    if hasattr(given, "__metadata__"):
        return _accepts(taken, given.__origin__)
    if hasattr(taken, "__metadata__"):
        return _accepts(taken.__origin__, given)
    kind, other = class_of(taken), class_of(given)
    if other in UNIONS:
        members = (member for member in get_args(given) if member is not NoneType)
        return all(_accepts(taken, member) for member in members)
    if kind in UNIONS:
        return any(_accepts(member, given) for member in get_args(taken))
    if not isinstance(kind, type) or not isinstance(other, type) or not _is_subclass(other, kind):
        return False
    return all(map(_accepts, get_args(taken), get_args(given)))


def _is_subclass(kind: type, other: type) -> bool:
    try:
        return issubclass(kind, other) or (kind is int and other in (float, complex))
    except TypeError:  # some protocols and all TypedDicts cannot be asked
        return True


def _unsuited(subject: type, problem: str) -> Unsuited:
    name = subject.__name__
    return Unsuited(
        f"{name}.__init__ {problem}, or register a parser with register_parser({name}, wire=…, parse=…)"
    )
