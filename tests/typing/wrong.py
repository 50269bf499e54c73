"""Wrong uses: each marked line must be an error to every checker, and a mark without one is an error too.

`type: ignore` has mypy's code, and stands for any error of pyright and pyrefly on its line; ty has its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from alloy import Partial, ask, command, configure, doctor, require, tool, use_config


@command(output=int)
def count(text: str, *, loud: bool = False) -> str:
    return f"{text} {loud}"


@command
async def describe(text: str) -> str:
    return text


@tool
def add(a: int, b: int) -> int:
    return a + b


class Desk:
    @command
    def read(self, page: int) -> str:
        return f"{page}"


def returns_int() -> int:
    return 1


async def returns_int_async() -> int:
    return 1


def use(value: object) -> None:
    """Use a result: pyrefly reports an unused one on its line, which would hide that an error is missing."""


# --- arguments of a command and of a tool

use(count(1))  # type: ignore[arg-type]  # ty: ignore[invalid-argument-type]
use(count())  # type: ignore[call-arg]  # ty: ignore[missing-argument]
use(count("x", quiet=True))  # type: ignore[call-arg]  # ty: ignore[unknown-argument]
use(count.run(1))  # type: ignore[arg-type]  # ty: ignore[invalid-argument-type]
use(count.stream("x", loud="yes"))  # type: ignore[arg-type]  # ty: ignore[invalid-argument-type]
use(count.with_options(retry=0)(1))  # type: ignore[arg-type]  # ty: ignore[invalid-argument-type]
use(add("1", 2))  # type: ignore[arg-type]  # ty: ignore[invalid-argument-type]
use(add(1))  # type: ignore[call-arg]  # ty: ignore[missing-argument]
use(Desk().read("one"))  # type: ignore[arg-type]  # ty: ignore[invalid-argument-type]
use(Desk().read.run())  # type: ignore[call-arg]  # ty: ignore[missing-argument]

# --- many inputs

use(count.map([1]))  # type: ignore[list-item]  # ty: ignore[invalid-argument-type]
use(count.map(["x"], concurency=2))  # type: ignore[call-overload]  # ty: ignore[no-matching-overload]
use(count.map(["x"], on_error="ignore"))  # type: ignore[call-overload]  # ty: ignore[no-matching-overload]
use(describe.map([b"x"]))  # type: ignore[list-item]  # ty: ignore[invalid-argument-type]

# --- what a command's body returns

use(command(returns_int))  # type: ignore[arg-type]  # ty: ignore[no-matching-overload]
use(command(output=int)(returns_int))  # type: ignore[arg-type]  # ty: ignore[no-matching-overload]
use(command(retry=1)(returns_int_async))  # type: ignore[arg-type]  # ty: ignore[no-matching-overload]
use(command("prompt"))  # type: ignore[call-overload]  # ty: ignore[no-matching-overload]

# --- options

use(command(temprature=0.5))  # type: ignore[call-overload]  # ty: ignore[no-matching-overload]
use(command(output=int, retries=3))  # type: ignore[call-overload]  # ty: ignore[no-matching-overload]
use(command(retry="twice"))  # type: ignore[call-overload]  # ty: ignore[invalid-argument-type]
use(command(model=3))  # type: ignore[call-overload]  # ty: ignore[invalid-argument-type]
use(command(model=[{"model": "m", "temprature": 0}]))  # type: ignore[list-item]  # ty: ignore[invalid-argument-type, unknown-typed-dict-constructor-key]
use(command(tool_errors="ignore"))  # type: ignore[call-overload]  # ty: ignore[invalid-argument-type]
use(command(tool_mode="reacting"))  # type: ignore[call-overload]  # ty: ignore[invalid-argument-type]
use(command(stop=3))  # type: ignore[call-overload]  # ty: ignore[invalid-argument-type]
use(command(tools=[1]))  # type: ignore[list-item]  # ty: ignore[invalid-argument-type]
use(command(tools="add"))  # type: ignore[arg-type]  # ty: ignore[invalid-argument-type]
use(command(retry_on=ValueError))  # type: ignore[arg-type]  # ty: ignore[invalid-argument-type]
use(command(extra={"openai": 1}))  # type: ignore[dict-item]  # ty: ignore[invalid-argument-type]
use(command(output=3))  # type: ignore[call-overload]  # ty: ignore[invalid-type-form]
use(command(context="no such option here"))  # type: ignore[call-overload]  # ty: ignore[no-matching-overload]
use(count.with_options(modell="m"))  # type: ignore[call-overload]  # ty: ignore[no-matching-overload]
use(count.with_options(timeout="10"))  # type: ignore[call-overload]  # ty: ignore[invalid-argument-type]
use(tool(title="x"))  # type: ignore[call-overload]  # ty: ignore[no-matching-overload]
use(tool(name=3))  # type: ignore[call-overload]  # ty: ignore[invalid-argument-type]
use(require("not callable"))  # type: ignore[arg-type]  # ty: ignore[invalid-argument-type]
configure(modle="m")  # type: ignore[call-arg]  # ty: ignore[unknown-argument]
configure(retry=None)  # type: ignore[arg-type]  # ty: ignore[invalid-argument-type]
configure(output=int)  # type: ignore[call-arg]  # ty: ignore[unknown-argument]
use(use_config(timeout="10"))  # type: ignore[arg-type]  # ty: ignore[invalid-argument-type]
use(use_config(tools=[]))  # type: ignore[call-arg]  # ty: ignore[unknown-argument]

# --- ask

use(ask())  # type: ignore[call-overload]  # ty: ignore[no-matching-overload]
use(ask(1))  # type: ignore[call-overload]  # ty: ignore[invalid-argument-type]
use(ask("x", modell="m"))  # type: ignore[call-overload]  # ty: ignore[no-matching-overload]
use(ask("x", output=3))  # type: ignore[call-overload]  # ty: ignore[invalid-type-form]
use(ask.run("x", tools=[1]))  # type: ignore[list-item]  # ty: ignore[invalid-argument-type]
use(ask.stream("x", retry="no"))  # type: ignore[call-overload]  # ty: ignore[invalid-argument-type]
use(ask.request("x", modell="m"))  # type: ignore[call-arg]  # ty: ignore[unknown-argument]

# --- what has arrived of an answer has its type


@dataclass
class Item:
    price: float


def arrived(item: Partial[Item], items: Partial[list[Item]]) -> None:
    use(item.get(lambda found: found.prize))  # type: ignore[attr-defined]  # ty: ignore[missing-attribute]
    use(item.get("price"))  # type: ignore[call-overload]  # ty: ignore[invalid-argument-type]
    use(item.elements())  # type: ignore[misc]  # ty: ignore[invalid-argument-type]
    use(items.entries())  # type: ignore[misc]  # ty: ignore[invalid-argument-type]
    price: float = item.get(lambda found: found.price)  # type: ignore[assignment]  # ty: ignore[invalid-assignment]
    use(price)


# --- the answer's type is not just anything

text: str = count("x")  # type: ignore[assignment]  # ty: ignore[invalid-assignment]
number: int = describe("x")  # type: ignore[assignment]  # ty: ignore[invalid-assignment]  # not awaited


async def awaited() -> None:
    use(await describe(1))  # type: ignore[arg-type]  # ty: ignore[invalid-argument-type]
    use(await describe.run())  # type: ignore[call-arg]  # ty: ignore[missing-argument]
    use(await count("x"))  # type: ignore[misc]  # ty: ignore[invalid-await]
    number: int = await describe("x")  # type: ignore[assignment]  # ty: ignore[invalid-assignment]
    value: int = await ask.async_("x", output=str)  # type: ignore[arg-type]  # ty: ignore[invalid-assignment]
    for _ in describe.stream("x"):  # type: ignore[attr-defined]  # ty: ignore[not-iterable]
        assert number == value


# --- what is checked without a call

use(doctor(modle="m"))  # type: ignore[call-arg]  # ty: ignore[unknown-argument]
use(doctor(connect="no"))  # type: ignore[arg-type]  # ty: ignore[invalid-argument-type]
found: str = doctor()  # type: ignore[assignment]  # ty: ignore[invalid-assignment]
