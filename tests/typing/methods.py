"""Commands and tools in classes: `self` is bound, everything else stays."""

from __future__ import annotations

from typing import Generic, TypeVar, assert_type

from alloy import AsyncStream, Result, Stream, command, tool

T = TypeVar("T")


class Desk:
    @command(output=int)
    def count(self, text: str, *, loud: bool = False) -> str:
        return f"{text} {loud}"

    @command
    async def describe(self, text: str) -> str:
        return text

    @tool
    def look_up(self, key: str) -> float:
        return float(key)

    @classmethod
    @command(output=bool)
    def check(cls, text: str) -> str:
        return text

    @command(output=bool)
    @classmethod
    def check_too(cls, text: str) -> str:
        return text

    @staticmethod
    @command(output=float)
    def weigh(text: str) -> str:
        return text

    @command(output=float)
    @staticmethod
    def weigh_too(text: str) -> str:
        return text

    @staticmethod
    @command(output=bytes)
    async def wait(seconds: float) -> str:
        return f"{seconds}"

    @staticmethod
    @tool
    def add(a: int, b: int) -> int:
        return a + b

    @classmethod
    @tool
    def name(cls, suffix: str) -> str:
        return suffix


class BigDesk(Desk):
    pass


class Shelf(Generic[T]):
    def __init__(self, item: T) -> None:
        self.item = item

    @command(output=int)
    def count(self, other: T) -> str:
        return f"{self.item} {other}"


desk = Desk()
assert_type(desk.count("x", loud=True), int)
assert_type(desk.count.run("x"), Result[int])
assert_type(desk.count.stream("x"), Stream[int])
assert_type(desk.count.with_options(retry=0)("x"), int)
assert_type(desk.count.with_options(output=str)("x", loud=True), str)
assert_type(Desk.count(desk, "x"), int)
assert_type(Desk.count.with_options(model="m")(desk, "x"), int)
assert_type(BigDesk().count("x"), int)
assert_type(desk.describe.stream("x"), AsyncStream[str])
assert_type(desk.look_up("1"), float)
assert_type(Desk.look_up(desk, "1"), float)
assert_type(Shelf(1).count(2), int)


async def awaited() -> None:
    assert_type(await desk.describe("x"), str)
    assert_type(await desk.describe.run("x"), Result[str])
    assert_type(await desk.count.async_("x"), int)
    assert_type(await Desk.describe(desk, "x"), str)
    assert_type(await Desk.wait(1.0), bytes)
    assert_type(await desk.wait.run(1.0), Result[bytes])


# --- class methods and static methods, with the decorators in either order
# From Python 3.13 on a `classmethod` binds a call only: for `.run`, `@command` stands above `@classmethod`.

assert_type(Desk.check("x"), bool)
assert_type(desk.check("x"), bool)
assert_type(Desk.check_too("x"), bool)
assert_type(desk.check_too("x"), bool)
assert_type(Desk.check_too.run("x"), Result[bool])
assert_type(BigDesk.check_too.stream("x"), Stream[bool])
assert_type(Desk.weigh("x"), float)
assert_type(desk.weigh("x"), float)
assert_type(desk.weigh.run("x"), Result[float])
assert_type(Desk.weigh_too.run("x"), Result[float])
assert_type(desk.weigh_too("x"), float)
assert_type(Desk.add(1, 2), int)
assert_type(desk.add(1, 2), int)
assert_type(Desk.name("x"), str)
assert_type(desk.name("x"), str)
