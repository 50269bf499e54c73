"""What a prompt function may promise and give."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from alloy.errors import CommandError, ConfigurationError

__all__ = ["check_prompt", "check_returns_prompt"]


def check_prompt(prompt: object, where: str) -> str:
    """*prompt*, if it is one. Raises `CommandError`."""
    if isinstance(prompt, str):
        return prompt
    if inspect.iscoroutine(prompt):
        prompt.close()
        raise CommandError(
            f"{where} returned a coroutine as its prompt: make it `async def`, or do not await in it"
        )
    raise CommandError(
        f"{where} must return its prompt as str, but returned {type(prompt).__name__}: {prompt!r:.80}"
    )


def check_returns_prompt(function: Callable[..., Any], where: str) -> None:
    """Raise `ConfigurationError` unless *function* is annotated to return `str`."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(f"{where} yields; its body must return the prompt as one str")
    annotation = _return_annotation(function)
    if annotation is inspect.Signature.empty:
        raise ConfigurationError(
            f"{where} has no return annotation: write `-> str`, for its body returns the prompt; "
            "the answer's type goes into @command(output=…)"
        )
    if not _is_text(annotation):
        shown = (
            annotation if isinstance(annotation, str) else getattr(annotation, "__name__", repr(annotation))
        )
        raise ConfigurationError(
            f"{where} is annotated `-> {shown}`, but its body returns the prompt: write `-> str` and "
            f"@command(output={shown})"
        )


def _return_annotation(function: Callable[..., Any]) -> Any:
    try:
        annotations = getattr(function, "__annotations__", {})
    except NameError:  # Python 3.14 evaluates them here, and one of them names what is not there yet
        from typing_extensions import Format, get_annotations

        annotations = get_annotations(function, format=Format.FORWARDREF)
    annotation = annotations.get("return", inspect.Signature.empty)
    if isinstance(annotation, str) and annotation != "str":
        return _evaluated(annotation, function)
    return annotation


def _evaluated(annotation: str, function: Callable[..., Any]) -> Any:
    """A postponed annotation's value; its text when it names what is not there."""
    names = dict(getattr(function, "__globals__", {}))
    if (code := getattr(function, "__code__", None)) is not None:
        cells = zip(code.co_freevars, getattr(function, "__closure__", None) or (), strict=False)
        names.update({name: cell.cell_contents for name, cell in cells if _filled(cell)})
    try:
        return eval(annotation, names)  # noqa: S307 - the module's own annotation, as typing evaluates it
    except (NameError, AttributeError, TypeError, SyntaxError):
        return annotation


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # an empty cell
        return False


def _is_text(annotation: Any) -> bool:
    if annotation in (str, "str"):
        return True
    # Annotated[str, …] and NewType("Prompt", str) are str to the caller; LiteralString is by PEP 675.
    inner = getattr(annotation, "__origin__", None) or getattr(annotation, "__supertype__", None)
    return (inner is not None and inner is not annotation and _is_text(inner)) or (
        getattr(annotation, "_name", None) == "LiteralString"
    )
