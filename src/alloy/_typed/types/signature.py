"""The parameters of a tool's function: checked when it is decorated, compiled on first use."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from alloy._typed.json.calls import object_in
from alloy._typed.json.text import Unreadable, is_json
from alloy._typed.types.defaults import NoJsonForm, json_default
from alloy._typed.types.descriptions import annotated_text
from alloy._typed.types.docstrings import read_docstring
from alloy._typed.types.expressions import check_is_type
from alloy.errors import ConfigurationError
from alloy.functions import hints_of, namespace_of, plain_function, signature_of
from alloy.jsontypes import JsonObject

if TYPE_CHECKING:
    from alloy._typed.schemas.dialects import Wire
    from alloy._typed.types.validation import Validator

__all__ = ["ArgumentsError", "Signature", "check_signature", "compile_signature"]

_KINDS = {
    inspect.Parameter.VAR_POSITIONAL: "takes *{}",
    inspect.Parameter.VAR_KEYWORD: "takes **{}",
    inspect.Parameter.POSITIONAL_ONLY: "takes {} by position only",
}
_FIRST = ("self", "cls")
# Anthropic refuses others: "Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'".
_LEGAL = re.compile(r"[A-Za-z0-9_]{1,64}\Z")


class ArgumentsError(ValueError):
    """The model's arguments are not valid. *problems* has one line for each, with its path, for the model."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems

    def __reduce__(self) -> tuple[type[ArgumentsError], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


@dataclass(frozen=True, slots=True, eq=False)
class Signature:
    """The compiled parameters of a tool's function.

    *schema* is a JSON Schema object that allows no other keys; *description* is the docstring without its
    sections on parameters and results. *_names* has the parameters that the model is shown by another name.
    """

    schema: JsonObject
    description: str
    _validator: Validator
    _names: Mapping[str, str]

    def read(self, arguments: str, wire: Wire | None = None) -> dict[str, Any]:
        """The arguments of a call by name, as Python values; missing ones have defaults in Python.

        *arguments* is JSON text in the form of *wire*, or `""` for none; other text is read as an answer
        is. Raises `ArgumentsError`.
        """
        try:
            found = self._read(arguments, wire)
        except Unreadable as error:
            raise ArgumentsError(tuple(map(self._with_names, error.problems))) from None
        return {self._names.get(name, name): value for name, value in found.items()} if self._names else found

    def _read(self, arguments: str, wire: Wire | None) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._validator.read(arguments, wire)
        except Unreadable as error:
            if is_json(arguments) and arguments.lstrip().startswith("{"):
                raise
            found = self._validator.take(object_in(arguments, error), wire)
        return found

    def _with_names(self, problem: str) -> str:
        path, _, rest = problem.partition(": ")
        if not rest.startswith("Extra inputs are not permitted"):
            return problem
        names = ", ".join(self.schema["properties"]) or "none"
        return f"{path}: unknown argument; the arguments are: {names}"


def check_signature(fn: Callable[..., Any], name: str) -> None:
    """Refuse a function that a model cannot call. No annotation is resolved and no schema is built.

    Raises `ConfigurationError` with the parameter of *name* and what is wrong with it.
    """
    for position, parameter in enumerate(_parameters(fn, name)):
        if position == 0 and parameter.name in _FIRST:
            continue  # a method before it is bound
        _check_parameter(parameter, name)


def _check_parameter(parameter: inspect.Parameter, name: str) -> None:
    if parameter.kind in _KINDS:
        raise ConfigurationError(
            f"the tool {name!r} {_KINDS[parameter.kind].format(parameter.name)}: a model gives arguments by "
            f"name, so declare each as an ordinary parameter with a type hint"
        )
    if parameter.annotation is parameter.empty:
        raise ConfigurationError(
            f"the tool {name!r} has no type hint for its parameter {parameter.name!r}: "
            f"write one, as in `{parameter.name}: str`"
        )
    _check_hint(parameter.annotation, parameter.name, name)


def _check_hint(hint: Any, parameter: str, name: str) -> None:
    check_is_type(hint, f"the tool {name!r}: the type hint of its parameter {parameter!r}")


def _parameters(fn: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    try:
        found = signature_of(fn)
    except (TypeError, ValueError) as error:  # some functions written in C
        raise ConfigurationError(
            f"the parameters of the tool {name!r} are not known ({error}): "
            f"wrap it in a function with type hints"
        ) from error
    return list(found.parameters.values())


def compile_signature(
    fn: Callable[..., Any],
    *,
    bound: bool = False,
    name: str | None = None,
    namespace: Mapping[str, Any] | None = None,
) -> Signature:
    """The `Signature` of *fn*.

    *bound* leaves out the first parameter, for a plain function that will be a method; bound methods need
    no *bound*. *name* is the name of the tool in errors. *namespace* holds names that annotations use and
    the module of *fn* does not define. Raises `ConfigurationError`.
    """
    name = name or str(getattr(fn, "__name__", type(fn).__name__))
    parameters = _parameters(fn, name)[1 if bound else 0 :]
    for parameter in parameters:
        _check_parameter(parameter, name)
    function = plain_function(fn)
    names = namespace_of(function, namespace)
    hints = _hints(function, name, names)
    documented = read_docstring(inspect.getdoc(inspect.unwrap(fn)))
    shown = _shown_names([parameter.name for parameter in parameters])
    validator = _validator(name, parameters, shown, hints, names)
    schema = dict(validator.schema)
    schema.pop("title", None)
    schema["properties"] = {
        shown[parameter.name]: _described(
            _property(schema, shown[parameter.name], name), parameter, hints, documented.parameters, shown
        )
        for parameter in parameters
    }
    renamed = {new: old for old, new in shown.items() if new != old}
    return Signature(schema, documented.text, validator, renamed)


def _shown_names(names: Sequence[str]) -> dict[str, str]:
    """The names that models are shown for the parameters *names*, in characters that all providers accept."""
    shown: dict[str, str] = {}
    taken = {name for name in names if _LEGAL.match(name)}
    for position, name in enumerate(names, 1):
        if name in taken:
            shown[name] = name
            continue
        plain = normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode()[:60]
        base = made = plain if plain.strip("_") else f"parameter_{position}"
        count = 1
        while made in taken:
            count += 1
            made = f"{base}_{count}"
        taken.add(made)
        shown[name] = made
    return shown


def _property(schema: JsonObject, key: str, name: str) -> JsonObject:
    try:
        found: JsonObject = schema["properties"][key]
    except KeyError:
        raise ConfigurationError(
            f"the tool {name!r} has an alias for its parameter {key!r}: name the parameter itself so"
        ) from None
    return found


def _hints(function: Callable[..., Any], name: str, names: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return hints_of(function, names)
    except (NameError, TypeError, SyntaxError) as error:
        raise ConfigurationError(
            f"the tool {name!r} has a type hint that does not resolve ({error}): "
            f"define or import that name in its module"
        ) from error


def _validator(
    name: str,
    parameters: list[inspect.Parameter],
    shown: Mapping[str, str],
    hints: Mapping[str, Any],
    names: Mapping[str, Any],
) -> Validator:
    from typing import NotRequired, Required

    from alloy._typed.types.compile import build_closed

    fields: dict[str, Any] = {}
    for parameter in parameters:
        _check_hint(hints.get(parameter.name), parameter.name, name)  # text was resolved since
        mark: Any = Required if parameter.default is parameter.empty else NotRequired
        fields[shown[parameter.name]] = mark[hints.get(parameter.name, Any)]
    try:
        return build_closed(name, fields, names)
    except ConfigurationError as error:
        raise ConfigurationError(f"a parameter of the tool {name!r} cannot be read: {error}") from error


def _described(
    schema: JsonObject,
    parameter: inspect.Parameter,
    hints: Mapping[str, Any],
    documented: Mapping[str, str],
    shown: Mapping[str, str],
) -> JsonObject:
    described = dict(schema)
    text = (
        annotated_text(hints.get(parameter.name))
        or described.get("description")
        or documented.get(parameter.name)
    )
    if shown[parameter.name] != parameter.name:
        text = f"{parameter.name}: {text}" if text else parameter.name
    if text:
        described["description"] = text
    if parameter.default is not parameter.empty:
        try:
            described["default"] = json_default(parameter.default)
        except NoJsonForm:
            described.pop("default", None)
    return described
