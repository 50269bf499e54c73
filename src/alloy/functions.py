"""What can be read from a Python function, and what an object needs to behave like one.

Nothing here knows Alloy: the arguments are plain functions, or objects that wrap one and have its
name, as commands and tools do.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from functools import partial, update_wrapper
from types import MethodType, SimpleNamespace
from typing import Any, TypeVar, get_type_hints

__all__ = [
    "UNRESOLVED",
    "ClassMember",
    "ComparedAsMethods",
    "OnInstances",
    "adopt",
    "annotate_return",
    "bind",
    "copy_of",
    "evaluated",
    "generator_kind",
    "hints_of",
    "is_async",
    "mark_async",
    "method_of",
    "name_of",
    "namespace_of",
    "plain_function",
    "reduced",
    "resolved",
    "return_annotation",
    "signature_of",
    "signature_returning",
]

T = TypeVar("T")

# What the text of an annotation raises that does not resolve; IndexError is for the empty text.
UNRESOLVED = (NameError, TypeError, SyntaxError, AttributeError, IndexError)

# --- what can be read from a function -------------------------------------------------------------


def name_of(function: Any) -> str:
    """The name of *function*; for an object without a name, that of its class."""
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def is_async(function: Any) -> bool:
    """Whether a call of *function* returns a coroutine."""
    return inspect.iscoroutinefunction(function) or (
        callable(function) and inspect.iscoroutinefunction(type(function).__call__)
    )


def generator_kind(function: Any) -> str | None:
    """What a call of *function* returns if that is a generator: `"a generator"` or `"an async generator"`."""
    for candidate in (function, type(function).__call__):  # the second for an object that can be called
        if inspect.isgeneratorfunction(candidate):
            return "a generator"
        if inspect.isasyncgenfunction(candidate):
            return "an async generator"
    return None


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """As `inspect.signature`; annotations may name what is not defined yet."""
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        return inspect.signature(function, annotation_format=Format.FORWARDREF)
    return inspect.signature(function)


def plain_function(function: Any) -> Callable[..., Any]:
    """The function inside methods, partials, wrappers and callable objects: annotations use its names."""
    while True:
        if isinstance(function, MethodType):
            function = function.__func__
        elif isinstance(function, partial):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif not inspect.isroutine(function) and not isinstance(function, type):
            function = type(function).__call__
        else:
            found: Callable[..., Any] = function
            return found


# --- annotations that are text --------------------------------------------------------------------


def namespace_of(function: Callable[..., Any], namespace: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The names, besides those of its module, that annotations of *function* may use.

    They are the variables of its closure and *namespace*.
    """
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None) or ()
    names: dict[str, Any] = {}
    for name, cell in zip(code.co_freevars if code else (), cells, strict=False):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return {**(namespace or {}), **names}


def hints_of(function: Callable[..., Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """The resolved annotations of the parameters of *function*, `Annotated` kept.

    Raises `NameError` for a name that is neither in *names* nor in the function's module. The return
    annotation is left out: it is often a name that only type checkers know.
    """
    found = _annotations(function)
    found.pop("return", None)
    return _type_hints(found, getattr(function, "__globals__", {}), names)


def evaluated(annotation: Any, function: Callable[..., Any]) -> Any:
    """*annotation* with the names that it holds as text resolved as those of *function* are.

    Raises an error of `UNRESOLVED` for text that does not resolve.
    """
    plain = plain_function(function)
    names = {**getattr(plain, "__globals__", {}), **namespace_of(plain)}
    return _type_hints({"it": annotation}, names, {})["it"]


def resolved(annotation: Any, function: Callable[..., Any]) -> Any:
    """As `evaluated`; *annotation* itself when it does not resolve."""
    if annotation is None or isinstance(annotation, type):
        return annotation
    try:
        return evaluated(annotation, function)
    except UNRESOLVED:
        return annotation


def return_annotation(function: Callable[..., Any]) -> Any:
    """What *function* is annotated to return, resolved if it can be; `Signature.empty` for nothing."""
    annotation = _annotations(function).get("return", inspect.Signature.empty)
    return resolved(annotation, function) if isinstance(annotation, str) else annotation


def signature_returning(function: Callable[..., Any], returned: Any) -> inspect.Signature:
    """The signature of *function* with *returned* as its return annotation.

    Annotations that are text are resolved if possible, because `inspect.signature(..., eval_str=True)`
    does not resolve those of a `__signature__`.
    """
    signature = signature_of(function)
    parameters = [
        parameter.replace(annotation=resolved(parameter.annotation, function))
        if isinstance(parameter.annotation, str)
        else parameter
        for parameter in signature.parameters.values()
    ]
    return signature.replace(parameters=parameters, return_annotation=resolved(returned, function))


def annotate_return(wrapper: Any, function: Callable[..., Any], returned: Any) -> None:
    """Give *wrapper* the annotations of *function*, with *returned* as the return annotation."""
    wrapper.__annotations__ = {**_annotations(function), "return": returned}
    if sys.version_info >= (3, 14):
        from annotationlib import get_annotations

        def annotate(format: Any, /) -> dict[str, Any]:
            return {**get_annotations(function, format=format), "return": returned}

        wrapper.__annotate__ = annotate


def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of *function*; a name that does not exist yet is a forward reference."""
    if sys.version_info >= (3, 14):
        from annotationlib import Format, get_annotations

        return get_annotations(function, format=Format.FORWARDREF)
    return dict(getattr(function, "__annotations__", None) or {})


def _type_hints(
    annotations: dict[str, Any], module: dict[str, Any], names: Mapping[str, Any]
) -> dict[str, Any]:
    holder = SimpleNamespace(__annotations__=annotations)
    return get_type_hints(holder, module, dict(names), include_extras=True)


# --- being like a function ------------------------------------------------------------------------


def adopt(wrapper: Any, function: Callable[..., Any]) -> None:
    """As `functools.update_wrapper`, but an attribute of *function* never hides one of *wrapper*'s class."""
    update_wrapper(wrapper, function)
    # From Python 3.14 on it leaves them to `__annotate__`, which only functions and classes evaluate.
    wrapper.__annotations__ = _annotations(function)
    for name in list(wrapper.__dict__):
        if not name.startswith("__") and hasattr(type(wrapper), name):
            del wrapper.__dict__[name]


class OnInstances:
    """A computed attribute of instances that their class does not have.

    `inspect.signature` looks for `__signature__` in classes, too, where a `property` would be an error.
    """

    def __init__(self, read: Callable[[Any], Any]) -> None:
        self._read = read

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            raise AttributeError
        return self._read(instance)


def mark_async(wrapper: Any) -> None:
    """Make `inspect.iscoroutinefunction(wrapper)` true; *wrapper* has adopted an async function."""
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(wrapper)
        return
    # Before 3.12 it has to look like a function: https://github.com/python/cpython/issues/94912
    code = plain_function(wrapper).__code__
    wrapper.__code__, wrapper.__defaults__, wrapper.__kwdefaults__ = code, None, None


class ClassMember(classmethod):  # type: ignore[type-arg]  # the class is not subscriptable when run
    """A `classmethod` that lets the object in it bind itself.

    Up to Python 3.12 `classmethod` did so too; from 3.13 on it binds every object as it binds a function,
    and an object that is more than a function loses the class.
    """

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self.__func__.__get__(type(instance) if owner is None else owner)


def method_of(function: Callable[..., Any], instance: object) -> MethodType | None:
    """*function* bound to *instance*; `None` if it is bound already, or if there is no instance."""
    if instance is None or isinstance(function, MethodType):
        return None
    return MethodType(function, instance)


class ComparedAsMethods:
    """Two objects are equal if the same object was bound to the same instance, as Python's methods are."""

    _origin: tuple[Callable[..., Any], Any] | None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ComparedAsMethods):
            return NotImplemented
        mine, others = _binding(self), _binding(other)
        if mine is None or others is None:
            return self is other
        return mine[0] == others[0] and mine[1] is others[1]

    def __hash__(self) -> int:
        binding = _binding(self)
        return object.__hash__(self) if binding is None else hash((binding[0], id(binding[1])))


def _binding(wrapper: object) -> tuple[object, object] | None:
    """The unbound form of *wrapper* and its instance."""
    kind, arguments = getattr(wrapper, "_origin", None) or (None, None)
    return arguments if kind is bind else None


def copy_of(wrapper: T) -> T:
    """A shallow copy. `copy.copy` returns the same object when it pickles by its name."""
    copy = object.__new__(type(wrapper))
    copy.__dict__.update(wrapper.__dict__)
    return copy


def reduced(wrapper: Any, origin: Any, arguments: dict[str, Any]) -> Any:
    """The value of *wrapper*'s `__reduce__`: its name where it has one, as for functions.

    Otherwise *origin*, the call that it came from, or else the *arguments* of its class.
    """
    return _by_reference(wrapper) or origin or (rebuilt, (type(wrapper), arguments))


def rebuilt(kind: Callable[..., T], arguments: dict[str, Any]) -> T:
    """An object of the class *kind*; for pickle."""
    return kind(**arguments)


def bind(unbound: Any, instance: object) -> Any:
    """*unbound* as a method of *instance*; for pickle."""
    return unbound.__get__(instance)


def _by_reference(target: Any) -> str | tuple[Callable[..., Any], Any] | None:
    home: Any = sys.modules.get(target.__module__)
    name: str = getattr(target, "__qualname__", "")
    *path, last = name.split(".")
    for part in path:
        home = getattr(home, part, None)
    if getattr(home, last, None) is target:
        return name
    # A command in a class method is there unbound only for those who do not ask the class for it.
    return (_held, (home, last)) if _held(home, last) is target else None


def _held(home: Any, name: str) -> Any:
    return getattr(inspect.getattr_static(home, name, None), "__func__", None)
