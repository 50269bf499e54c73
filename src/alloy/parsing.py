"""`parse`: what reads the models' answers, for text from anywhere else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from alloy._typed.types.parsers import register_parser
from alloy.errors import ConfigurationError

if TYPE_CHECKING:
    from typing_extensions import TypeForm

__all__ = ["Parsed", "parse", "register_parser"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T_co]):
    """A *value* that was read from text, and what had to be repaired for it.

    *repairs* is empty for exact JSON; else it names each kind of noise once: `"a code fence"`, `"text
    around the answer"`, `"thinking"`, `"a trailing comma"`, `"single quotes"`, `"a comment"`, ….
    """

    value: T_co
    repairs: tuple[str, ...]


@overload
def parse(output: TypeForm[T], text: str, *, report: Literal[True]) -> Parsed[T]: ...
@overload
def parse(output: TypeForm[T], text: str, *, report: Literal[False] = False) -> T: ...
@overload
def parse(output: TypeForm[T], text: str, *, report: bool) -> T | Parsed[T]: ...
def parse(output: TypeForm[T], text: str, *, report: bool = False) -> T | Parsed[T]:
    """Read *text* as *output*, any type that a command may return, as the answer of a model is read.

        parse(Invoice, 'Here it is: {"vendor": "ACME", "total": 12.5}')

    Exact JSON is read as it stands. Else noise is removed that does not touch the data: a byte-order mark,
    code fences, text before and after one value, trailing commas, single and typographic quotes as
    delimiters, keys without quotes, comments, Python's literals and tuples, raw line breaks inside strings,
    thoughts, tags, `Final Answer:` and `{"value": …}`. Nothing is invented, dropped or chosen:

    - Text that is cut off is an error. `12` of `123` and what follows after a whole value cannot be seen.
    - Two values that differ are an error, unless `Final Answer:` or `<answer>` says which is final. Thoughts,
      quotations and observations are never the answer.
    - A key that comes twice in one object must say the same. An object that shares no key with the type is
      an error also where all of the type's fields have defaults; `{}` says that they are meant. Of other
      keys that the type does not know it decides itself (pydantic's `extra`); by default they are left out.
    - 3.0 is an `int`, 3.7 is not; NaN and infinity are nothing; numbers from 1e309 are too large; a `Decimal`
      has the digits as written. `"12"` is a number where only a number fits, and a string where that does.
    - A lone surrogate, and more than 200 levels of nesting, are errors.
    - Of a union the member is taken that fits best, whatever their order; two that fit alike are an error.

    A `str` gets the whole text untouched, `None` ignores it. With *report* a `Parsed` comes back, which also
    says what was repaired. Raises `ParseError` with all problems, each with its path, and the text;
    `EmptyAnswerError` when there is nothing to read; `ConfigurationError` for a type without a schema.
    """
    from alloy._engine.runtime.await_parsers import resolved
    from alloy._typed.answers.parse import read
    from alloy._typed.types.compile import compile_type

    if not isinstance(text, str):
        raise ConfigurationError(f"parse() reads a str, not {type(text).__name__}: decode it first")
    repairs: dict[str, None] | None = {} if report else None
    value: Any = resolved(partial(read, compile_type(output), text, repairs=repairs))
    return value if repairs is None else Parsed(value, tuple(repairs))
