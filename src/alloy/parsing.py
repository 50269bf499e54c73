"""`parse`: reads any text as the answers of models are read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from alloy._engine.runtime.await_parsers import resolved
from alloy._typed.types.parsers import register_parser
from alloy.arguments import check_flag, names_checked
from alloy.errors import ConfigurationError

if TYPE_CHECKING:
    from typing_extensions import TypeForm

__all__ = ["Parsed", "parse", "register_parser"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T_co]):
    """A *value* that was read from text, and the repairs that the text needed.

    *repairs* is empty for exact JSON. Otherwise it names each kind once: `"a code fence"`, `"text around
    the answer"`, `"thinking"`, `"a trailing comma"`, `"single quotes"`, `"a comment"`, ….
    """

    value: T_co
    repairs: tuple[str, ...]


@overload
def parse(output: TypeForm[T], text: str, *, report: Literal[True]) -> Parsed[T]: ...
@overload
def parse(output: TypeForm[T], text: str, *, report: Literal[False] = False) -> T: ...
@overload
def parse(output: TypeForm[T], text: str, *, report: bool) -> T | Parsed[T]: ...
@names_checked
def parse(output: TypeForm[T], text: str, *, report: bool = False) -> T | Parsed[T]:
    """Read *text* as *output*, a type that a command may return, in the way that answers of models are read.

        parse(Invoice, 'Here it is: {"vendor": "ACME", "total": 12.5}')

    Exact JSON is read unchanged. Otherwise Alloy removes what does not belong to the data: a byte-order mark,
    code fences, text before and after one value, trailing commas, single and typographic quotes as
    delimiters, keys without quotes, comments, Python's literals and tuples, raw line breaks inside strings,
    reasoning, tags, `Final Answer:` and `{"value": …}`. It never invents, drops or guesses data:

    - Text that is cut off is an error. Not visible are a cut inside a number (`12` of `123`) and text that is
      missing after a complete value.
    - Two different values are an error, unless `Final Answer:` or `<answer>` marks one as final. Values in
      reasoning, quotations and observations are ignored.
    - A key that comes twice in one object must have the same value both times. An object that shares no key
      with the type is an error, even if all fields of the type have defaults; `{}` takes the defaults. Other
      keys that the type does not have are left out, unless the type decides otherwise (pydantic's `extra`).
    - 3.0 is an `int`, 3.7 is not. NaN, infinity and numbers from 1e309 are errors. A `Decimal` has the digits
      as written. `"12"` is read as a number where only a number is accepted, otherwise as a string.
    - A lone surrogate, and more than 200 levels of nesting, are errors.
    - For a union, the member that matches best is used, whatever the order; two equal matches are an error.

    A `str` gets the whole text unchanged, `None` ignores it. With *report* the result is a `Parsed`, which
    also lists the repairs. Raises `ParseError` with the text and all problems, each with its path;
    `EmptyAnswerError` when there is nothing to read; `ConfigurationError` for a type without a schema.
    """
    from alloy._typed.answers.parse import read
    from alloy._typed.types.compile import compile_type
    from alloy._typed.types.expressions import check_is_type

    check_is_type(output, "parse(): output")
    if not isinstance(text, str):
        raise ConfigurationError(f"parse() takes a str, not {type(text).__name__}: decode it first")
    check_flag(report, "parse(): report")
    repairs: dict[str, None] | None = {} if report else None
    value: Any = resolved(partial(read, compile_type(output), text, repairs=repairs))
    return value if repairs is None else Parsed(value, tuple(repairs))
