"""What each kind of class says about its fields, and how a copy of it is made with other types.

A copy has the names, the configuration, the validators and the defaults of the user's class, which is
only read. Validators of the copy are bound to the user's class, so that is the `cls` that they see.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import typing_extensions
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from alloy._typed.types.annotations import class_of, field_hints, resolved, substituted, type_name
from alloy._typed.types.constraints import check_constraints
from alloy._typed.types.descriptions import field_descriptions
from alloy._typed.types.own_init import check_arguments, check_parameters, check_type
from alloy._typed.types.replacements import Replacements, described

__all__ = ["Fields", "fields_of"]


def fields_of(annotation: Any, namespace: Mapping[str, Any] | None) -> Fields:
    """The fields of a class, with its arguments in place of type variables.

    Raises `NameError`, `TypeError` or `AttributeError` if a type hint does not resolve.
    """
    subject = class_of(annotation)
    if issubclass(subject, BaseModel):
        return _ModelFields.read(subject, namespace)
    variables = getattr(subject, "__parameters__", ())
    arguments = dict(zip(variables, typing_extensions.get_args(annotation), strict=False))
    hints = {**field_hints(subject, namespace), **_extra_items(subject, namespace)}
    hints = {name: substituted(hint, arguments) for name, hint in hints.items()}
    return _kind_of(subject)(subject, hints, field_descriptions(subject))


def _kind_of(subject: type) -> type[Fields]:
    if dataclasses.is_dataclass(subject):
        return _DataclassFields
    if typing_extensions.is_typeddict(subject):
        return _TypedDictFields
    if issubclass(subject, tuple):
        return _NamedTupleFields
    raise TypeError(f"{subject.__name__} has no fields that are known here")


@dataclass(frozen=True, slots=True)
class Fields:
    """The types of a class's fields, and the texts that describe them in its source."""

    subject: Any
    hints: Mapping[str, Any]
    texts: Mapping[str, str]

    def check(self) -> None:
        """Raise `Unsuited` for a constraint that a field's type cannot have."""

    def change(self, replace: Replacements) -> bool:
        """Whether pydantic has to see the fields otherwise."""
        shown = {name: self.shown(name, replace) for name in self.hints}  # all of them, to meet their classes
        return any(shown[name] is not hint for name, hint in self.hints.items())

    def shown(self, name: str, replace: Replacements) -> Any:
        """The type that pydantic is shown for a field."""
        return self._described(name, replace(self.hints[name]))

    def _described(self, name: str, shown: Any) -> Any:
        return described(shown, self.texts[name]) if name in self.texts else shown

    def empty_copy(self, annotation: Any) -> Any:
        """A copy of the class, without its fields."""
        body = {**_names(self.subject, annotation), **self._body()}
        return type(self.subject.__name__, self._bases(), body)

    def _bases(self) -> tuple[type, ...]:
        return ()

    def _body(self) -> dict[str, Any]:
        return {}

    def fill(self, made: Any, replace: Replacements) -> None:
        """Give the copy *made* its fields."""
        made.__annotations__ = {name: self.shown(name, replace) for name in self.hints}


def _names(subject: type, annotation: Any) -> dict[str, Any]:
    """What the copy of a class is called. Its arguments are part of that: two copies differ in it."""
    name = subject.__qualname__
    if annotation is not subject:
        name += type_name(annotation).removeprefix(subject.__name__)
    return {"__module__": subject.__module__, "__qualname__": name, "__doc__": subject.__doc__}


class _NamedTupleFields(Fields):
    __slots__ = ()

    def _bases(self) -> tuple[type, ...]:
        return (tuple,)

    def _body(self) -> dict[str, Any]:
        return {"_fields": self.subject._fields, "_field_defaults": self.subject._field_defaults}


class _TypedDictFields(Fields):
    __slots__ = ()

    def change(self, replace: Replacements) -> bool:
        # pydantic refuses these, because `typing` keeps less about their bases there:
        # https://docs.pydantic.dev/latest/errors/usage_errors/#typed-dict-version
        refused = sys.version_info < (3, 12) and type(self.subject).__module__ == "typing"
        return super().change(replace) or refused

    def empty_copy(self, annotation: Any) -> Any:
        make: Any = typing_extensions.TypedDict
        made = make(self.subject.__name__, {})
        for name, value in {**_names(self.subject, annotation), **self._body()}.items():
            setattr(made, name, value)
        return made

    def _body(self) -> dict[str, Any]:
        # https://peps.python.org/pep-0728/: `__closed__` refuses the keys that the class does not name
        kept = ("__closed__", "__pydantic_config__")
        body = {name: found[-1] for name in kept if (found := _stated(self.subject, name))}
        return {**body, "__required_keys__": self.subject.__required_keys__, **_validators(self.subject)}

    def fill(self, made: Any, replace: Replacements) -> None:
        super().fill(made, replace)
        if _EXTRA_ITEMS in self.hints:
            setattr(made, _EXTRA_ITEMS, made.__annotations__.pop(_EXTRA_ITEMS))


_EXTRA_ITEMS = "__extra_items__"


def _extra_items(subject: type, namespace: Mapping[str, Any] | None) -> dict[str, Any]:
    """The type of the keys that a TypedDict does not name, by the name of its attribute (PEP 728)."""
    stated = _stated(subject, _EXTRA_ITEMS) if typing_extensions.is_typeddict(subject) else []
    return {_EXTRA_ITEMS: resolved(stated[-1], subject.__module__, namespace)} if stated else {}


def _stated(subject: type, name: str) -> list[Any]:
    """The values of a TypedDict's attribute, the own one last."""
    values = [vars(base).get(name) for base in reversed(_bases(subject))]
    return [value for value in values if value is not None and value is not typing_extensions.NoExtraItems]


class _DataclassFields(Fields):
    __slots__ = ()

    def _bases(self) -> tuple[type, ...]:
        return _inherited_validators(self.subject)

    def check(self) -> None:
        for name, each in self.subject.__dataclass_fields__.items():
            if isinstance(each.default, FieldInfo) and name in self.hints:
                check_constraints(self.hints[name], [each.default], f"{name}: ")

    def shown(self, name: str, replace: Replacements) -> Any:
        hint = self.hints[name]
        if _is_class_variable(hint):
            return hint
        if not isinstance(hint, dataclasses.InitVar):
            return super().shown(name, replace)
        shown = self._described(name, replace(hint.type))
        return hint if shown is hint.type else dataclasses.InitVar(shown)

    def _body(self) -> dict[str, Any]:
        kept = ("__dataclass_params__", "__pydantic_config__", "__post_init__")
        body = {name: getattr(self.subject, name) for name in kept if hasattr(self.subject, name)}
        if hasattr(self.subject, "__slots__"):
            body["__slots__"] = ()
        return {**body, "__dataclass_fields__": {}, **_validators(self.subject)}

    def fill(self, made: Any, replace: Replacements) -> None:
        for name, each in self.subject.__dataclass_fields__.items():
            made.__dataclass_fields__[name] = own = copy.copy(each)
            if isinstance(own.default, FieldInfo):
                own.default = _copied(own.default)
            if name in self.hints:
                own.type = self.shown(name, replace)
        made.__annotations__ = {name: each.type for name, each in made.__dataclass_fields__.items()}


def _is_class_variable(hint: Any) -> bool:
    return typing_extensions.ClassVar in (hint, typing_extensions.get_origin(hint))


def _copied(info: FieldInfo) -> FieldInfo:
    made = copy.copy(info)
    made.metadata = list(info.metadata)  # some versions of pydantic add to it
    return made


def _validators(subject: type) -> dict[str, Any]:
    """What pydantic finds the validators of a dataclass or TypedDict by, bound to the user's class."""
    built = subject.__dict__.get("__pydantic_decorators__")
    if built is not None:
        return {"__pydantic_decorators__": built}
    found: dict[str, Any] = {}
    for base in reversed(_bases(subject)):
        for name, value in vars(base).items():
            if type(value).__name__ == "PydanticDescriptorProxy":
                found[name] = dataclasses.replace(value, wrapped=_bound(value.wrapped, subject))
    return found


def _inherited_validators(subject: type) -> tuple[type, ...]:
    """A base for each class above *subject* whose validators pydantic has already collected."""
    if "__pydantic_decorators__" in subject.__dict__:
        return ()
    found = (base.__dict__.get("__pydantic_decorators__") for base in _bases(subject))
    return tuple(_base_with(decorators, subject) for decorators in found if decorators is not None)


def _base_with(decorators: Any, subject: type) -> type:
    groups = ("validators", "field_validators", "root_validators", "model_validators")
    found = (each for group in groups for each in getattr(decorators, group).values())
    names = [each.cls_var_name for each in found]
    methods = {name: _bound(inspect.getattr_static(subject, name), subject) for name in names}
    return type("Base", (), {"__pydantic_decorators__": decorators, **methods})


def _bound(method: Any, subject: type) -> staticmethod[..., Any]:
    return staticmethod(method.__get__(None, subject))  # its `cls` is the user's class


def _bases(subject: type) -> tuple[type, ...]:
    """The classes that *subject* is derived from, and itself; a TypedDict is derived from none but `dict`."""
    if not typing_extensions.is_typeddict(subject):
        return subject.__mro__
    found = [subject]
    for each in found:
        above = map(class_of, typing_extensions.get_original_bases(each))
        found += filter(typing_extensions.is_typeddict, above)
    return tuple(found)


class _ModelFields(Fields):
    __slots__ = ()

    @classmethod
    def read(cls, subject: type[BaseModel], namespace: Mapping[str, Any] | None) -> _ModelFields:
        infos = subject.__pydantic_fields__
        hints = {name: info.annotation for name, info in infos.items()}
        if not subject.__pydantic_fields_complete__:
            known = field_hints(subject, namespace)
            hints |= {name: known[name] for name, info in infos.items() if not info._complete}
        hints |= _extra_values(subject, namespace)
        texts = field_descriptions(subject)
        silent = [name for name, info in infos.items() if info.description is None]
        return cls(subject, hints, {name: texts[name] for name in silent if name in texts})

    def check(self) -> None:
        for name, info in self.subject.__pydantic_fields__.items():
            check_constraints(self.hints[name], info.metadata, f"{name}: ")
        check_parameters(self.subject)
        check_arguments(self.subject, self.hints)

    def change(self, replace: Replacements) -> bool:
        # The class that is referred back to may have a copy; a copy finds it, because it refers to it, too.
        return super().change(replace) or bool(self.texts) or replace.refers_back

    def shown(self, name: str, replace: Replacements) -> Any:
        info = self.subject.__pydantic_fields__.get(name)  # none for the extra values
        return replace.with_metadata(self.hints[name], info.metadata if info else ())

    def empty_copy(self, annotation: Any) -> Any:
        body = {**_names(self.subject, annotation), "model_config": {"defer_build": True}}
        meta: Any = type(BaseModel)
        made = meta(self.subject.__name__, (BaseModel,), body)
        for name in _OF_A_MODEL:
            if hasattr(self.subject, name):
                setattr(made, name, getattr(self.subject, name))
        return made

    def fill(self, made: Any, replace: Replacements) -> None:
        made.__pydantic_fields__ = fields = {}
        for name, info in self.subject.__pydantic_fields__.items():
            fields[name] = own = _copied(info)
            own.annotation = shown = self.shown(name, replace)
            if shown is not self.hints[name]:
                check_type(self.subject, name, self.hints[name])
            if not own._complete:
                own._original_annotation = shown  # pydantic reads this again
            elif beside := getattr(shown, "__metadata__", ()):
                own.annotation, own.metadata = shown.__origin__, [*beside, *own.metadata]
            if name in self.texts:
                own.description = self.texts[name]
        if _EXTRA_VALUES in self.hints:
            shown = self.shown(_EXTRA_VALUES, replace)
            made.__annotations__ = {_EXTRA_VALUES: shown}  # where pydantic before 2.13 looks for it
            if hasattr(self.subject, "__pydantic_extra_info__"):
                made.__pydantic_extra_info__ = copy.copy(self.subject.__pydantic_extra_info__)
                made.__pydantic_extra_info__.annotation = shown


_OF_A_MODEL = (
    "model_config",
    "__pydantic_custom_init__",
    "__pydantic_decorators__",
    "__pydantic_extra_info__",
    "__pydantic_generic_metadata__",
    "__pydantic_post_init__",
    "__pydantic_root_model__",
)


_EXTRA_VALUES = "__pydantic_extra__"


def _extra_values(subject: type[BaseModel], namespace: Mapping[str, Any] | None) -> dict[str, Any]:
    """The annotation of the fields that a model does not name, by the name of their attribute."""
    arguments: dict[Any, Any] = {}
    for base in subject.__mro__[: subject.__mro__.index(BaseModel)]:
        own = typing_extensions.get_annotations(base, format=typing_extensions.Format.FORWARDREF)
        if _EXTRA_VALUES in own:
            hint = resolved(own[_EXTRA_VALUES], base.__module__, namespace)
            return {_EXTRA_VALUES: substituted(hint, arguments)}
        arguments |= _model_arguments(base)
    return {}


def _model_arguments(subject: type) -> dict[Any, Any]:
    """The arguments of a generic model, by the type variables of the model that it was made from."""
    generic = getattr(subject, "__pydantic_generic_metadata__", {})
    if not generic.get("origin"):
        return {}
    return dict(
        zip(generic["origin"].__pydantic_generic_metadata__["parameters"], generic["args"], strict=False)
    )
