"""A project's own types: read by its own parser, at any depth, sync and async."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, NamedTuple, TypedDict

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.dialects import every_dialect, written
from pydantic import BaseModel, ConfigDict, Field

from alloy import parse
from alloy._engine.runtime.await_parsers import finished, gathered
from alloy._typed.answers.parse import read
from alloy._typed.schemas.dialects import Dialect, to_wire
from alloy._typed.types.async_parsers import Outcome, parse_text, resolving
from alloy._typed.types.compile import compile_type
from alloy._typed.types.parsers import register_parser
from alloy._typed.types.signature import ArgumentsError, compile_signature
from alloy.errors import AuthenticationError, ConfigurationError, EmptyAnswerError, ParseError


class Money:
    """A type that pydantic knows nothing of."""

    def __init__(self, cents: int, currency: str) -> None:
        self.cents, self.currency = cents, currency

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.cents, self.currency))

    def __repr__(self) -> str:
        return f"{self.cents / 100:.2f} {self.currency}"


class Amount(TypedDict):
    cents: int
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]


def money(amount: Amount) -> Money:
    return Money(amount["cents"], amount["currency"])


def euros(text: str) -> Money:
    found = re.fullmatch(r"(\d+)\.(\d\d) EUR", text)
    if found is None:
        raise ValueError("write it as in '9.99 EUR'")
    return Money(int(found[1]) * 100 + int(found[2]), "EUR")


async def euros_later(text: str) -> Money:
    await asyncio.sleep(0)
    return euros(text)


@dataclass
class Line:
    sku: str
    price: Money


@dataclass(frozen=True)
class Order:
    lines: list[Line]
    total: Money | None = None
    fees: dict[str, Money] | int = 0


class Pair(NamedTuple):
    low: Money
    high: Money


class Quote(TypedDict):
    price: Money


class Offer(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    price: Money
    orders: list[Order] = []


@attrs.define
class Wallet:
    holds: list[Money]


amounts = st.builds(Money, st.integers(0, 10**6), st.sampled_from(["EUR", "USD"]))


def on_the_wire(value: Any) -> Any:
    """*value* as a model writes it, with an Amount for Money."""
    if isinstance(value, Money):
        return {"cents": value.cents, "currency": value.currency}
    if isinstance(value, list | tuple):
        return [on_the_wire(item) for item in value]
    if isinstance(value, dict):
        return {key: on_the_wire(item) for key, item in value.items()}
    if isinstance(value, BaseModel):
        return {name: on_the_wire(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Line | Order | Wallet):
        names = [field.name for field in (attrs.fields(Wallet) if isinstance(value, Wallet) else ())]
        names = names or list(value.__dataclass_fields__)  # type: ignore[union-attr]
        return {name: on_the_wire(getattr(value, name)) for name in names}
    return value


lines = st.builds(Line, st.text(max_size=5), amounts)
orders = st.builds(
    Order,
    st.lists(lines, max_size=2),
    st.none() | amounts,
    st.just(0) | st.dictionaries(st.text(max_size=3), amounts, max_size=2),
)
PLACES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (Money, amounts),
    (list[Money], st.lists(amounts, max_size=3)),
    (Money | int | None, amounts | st.integers() | st.none()),
    (Order, orders),
    (Pair, st.builds(Pair, amounts, amounts)),
    (list[Quote], st.lists(st.fixed_dictionaries({"price": amounts}), max_size=2)),
    (Offer, st.builds(Offer, price=amounts, orders=st.lists(orders, max_size=1))),
    (Wallet, st.builds(Wallet, st.lists(amounts, max_size=2))),
]


@every_dialect
@pytest.mark.parametrize(("annotation", "values"), PLACES, ids=str)
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_a_registered_type_is_read_wherever_it_stands(
    annotation: Any, values: st.SearchStrategy[Any], dialect: Dialect, data: st.DataObject
) -> None:
    """In containers, unions, dataclasses, typed dicts, models and attrs classes, on every wire."""
    value = data.draw(values)
    with register_parser(Money, wire=Amount, parse=money):
        spec = compile_type(annotation)
        assert spec.schema is not None
        plain = {"value": on_the_wire(value)} if spec.wrapped else on_the_wire(value)
        text = written(plain, spec.schema, dialect)

        assert read(spec, text, to_wire(spec.schema, dialect)) == value


def test_a_registered_type_is_read_as_an_argument() -> None:
    """A tool's parameters too; the wire type is what the model is shown."""

    def pay(price: Money, tips: list[Money] | None = None) -> None: ...

    with register_parser(Money, wire=str, parse=euros):
        signature = compile_signature(pay)

        assert signature.schema["properties"]["price"] == {"type": "string"}
        assert signature.read('{"price": "9.99 EUR", "tips": ["1.00 EUR"]}') == {
            "price": Money(999, "EUR"),
            "tips": [Money(100, "EUR")],
        }
        with pytest.raises(ArgumentsError) as caught:
            signature.read('{"price": "9.99 EUR", "tips": ["1 EUR"]}')
    assert caught.value.problems == ("""$.tips[0]: write it as in '9.99 EUR', got "1 EUR\"""",)


@pytest.mark.parametrize(
    ("raised", "problem"),
    [
        (ValueError("no"), "no"),
        (ValueError(), "ValueError"),
        (KeyError("x"), "KeyError: 'x'"),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
        (TypeError("{odd}"), "TypeError: {odd}"),
    ],
)
def test_what_a_parser_raises_is_a_problem_with_its_path(raised: Exception, problem: str) -> None:
    """So it is asked again like any other."""

    def refuse(_: str) -> Money:
        raise raised

    with register_parser(Money, wire=str, parse=refuse), pytest.raises(ParseError) as caught:
        read(compile_type(Order), '{"lines": [{"sku": "a", "price": "1"}]}')

    assert caught.value.problems == (f'$.lines[0].price: {problem}, got "1"',)


def test_a_failing_provider_is_no_problem_of_the_answer() -> None:
    """A parser may ask a model itself; its error is raised unchanged."""

    def ask(_: str) -> Money:
        raise AuthenticationError("no key", provider="fake")

    with register_parser(Money, wire=str, parse=ask), pytest.raises(AuthenticationError):
        read(compile_type(list[Money]), '["1"]')


def test_types_that_pydantic_knows_can_be_read_otherwise() -> None:
    """The parser wins, and its wire type may be the type itself."""

    def in_utc(moment: datetime) -> datetime:
        return moment.replace(year=2000)

    with register_parser(datetime, wire=datetime, parse=in_utc):
        found = read(compile_type(dict[str, datetime]), '{"a": "2026-01-02T03:04:05"}')

    assert found["a"].year == 2000
    assert read(compile_type(datetime), '"2026-01-02T03:04:05"').year == 2026


def test_parsers_stand_for_one_another() -> None:
    """A wire type may hold types with parsers of their own."""

    class Price:
        def __init__(self, money: Money) -> None:
            self.money = money

    with (
        register_parser(Price, wire=list[Money], parse=lambda found: Price(found[0])),
        register_parser(Money, wire=str, parse=euros),
    ):
        found = read(compile_type(list[Price]), '[["1.00 EUR"]]')

    assert found[0].money == Money(100, "EUR")


def test_a_registration_ends() -> None:
    """With its block or `remove`; the one before is back, and nothing compiled with it is kept."""
    with pytest.raises(ConfigurationError, match=r"register_parser\(Money"):
        compile_type(list[Money])

    outer = register_parser(Money, wire=str, parse=euros)
    with register_parser(Money, wire=int, parse=lambda cents: Money(cents, "EUR")):
        assert read(compile_type(list[Money]), "[5]") == [Money(5, "EUR")]
    assert read(compile_type(list[Money]), '["0.05 EUR"]') == [Money(5, "EUR")]
    outer.remove()
    outer.remove()

    with pytest.raises(ConfigurationError, match=r"register_parser\(Money"):
        compile_type(list[Money])


def test_an_old_registration_does_not_end_a_newer_one() -> None:
    """`remove` takes back its own and nothing else."""
    old = register_parser(Money, wire=str, parse=euros)
    with register_parser(Money, wire=int, parse=lambda cents: Money(cents, "EUR")):
        old.remove()

        assert read(compile_type(list[Money]), "[5]") == [Money(5, "EUR")]
    old.remove()


@pytest.mark.parametrize("subject", [None, "Money", []])
def test_what_is_no_type_cannot_be_registered(subject: Any) -> None:
    """The error shows how it is done."""
    with pytest.raises(ConfigurationError, match="needs a type"):
        register_parser(subject, parse=euros)
    with pytest.raises(ConfigurationError, match="must be a function"):
        register_parser(Money, parse="euros")  # type: ignore[arg-type]


def test_users_classes_are_left_as_they_were() -> None:
    """A model, a dataclass and a typed dict show no trace of the compilation."""

    def state() -> list[Any]:
        price = Offer.model_fields["price"].annotation, Line.__dataclass_fields__["price"].type
        return [Offer.__pydantic_core_schema__, *price, dict(Quote.__annotations__)]

    before = state()
    with register_parser(Money, wire=Amount, parse=money):
        for annotation, _ in PLACES:
            compile_type(annotation)

    assert before == state()
    assert Offer.__pydantic_complete__
    assert isinstance(Offer(price=Money(1, "EUR")).price, Money)


def test_many_threads_register_and_read() -> None:
    """Each thread has its own type; none gets in the way of another."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        kind = type(f"Kind{number}", (), {})
        try:
            for _ in range(20):
                with register_parser(kind, wire=int, parse=lambda value: (number, value)):
                    assert read(compile_type(list[kind]), "[1]") == [(number, 1)]  # type: ignore[valid-type]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


# --- a command's own parser ------------------------------------------------------------------------


def test_a_parser_of_text_gets_the_text() -> None:
    """Then the model is asked for no JSON at all."""
    spec = compile_type(Money, parser=euros)

    assert spec.schema is None
    assert spec.hook is not None
    assert parse_text(spec.hook, "1.00 EUR", spec.expected) == Money(100, "EUR")
    with pytest.raises(ParseError, match=r"expected Money: \$: write it as in"):
        parse_text(spec.hook, "one euro", spec.expected)
    assert compile_type(Money, parser=lambda text: text).schema is None


def test_a_parsers_parameter_says_what_the_model_gives() -> None:
    """Its type hint is the wire type."""
    spec = compile_type(Money, parser=money)

    assert spec.schema is not None
    assert list(spec.schema["properties"]) == ["cents", "currency"]
    assert read(spec, '{"cents": 5, "currency": "EUR"}') == Money(5, "EUR")
    with pytest.raises(ParseError, match=r"expected Money: \$\.currency"):
        read(spec, '{"cents": 5, "currency": "euro"}')


def test_a_parser_may_be_any_callable() -> None:
    """A class, an object with `__call__`, a function written in C."""

    class Reader:
        def __call__(self, cents: list[int]) -> Money:
            return Money(sum(cents), "EUR")

    assert read(compile_type(Money, parser=Reader()), "[1, 2]") == Money(3, "EUR")
    assert compile_type(float, parser=float).schema is None
    with pytest.raises(ConfigurationError, match="must be a function"):
        compile_type(Money, parser="euros")  # type: ignore[arg-type]


# --- async parsers ---------------------------------------------------------------------------------

TEXT = (
    '{"lines": [{"sku": "a", "price": "1.00 EUR"}, {"sku": "b", "price": "1.00 EUR"}], "total": "2.00 EUR"}'
)
ORDER = Order([Line("a", Money(100, "EUR")), Line("b", Money(100, "EUR"))], Money(200, "EUR"))


def asked(calls: Sequence[Any]) -> Generator[Any, Any, list[Outcome]]:
    outcomes: list[Outcome] = yield calls
    return outcomes


def drive(read_once: Callable[[], Any], rounds: list[int]) -> Any:
    """The value, with what is wanted awaited round by round; *rounds* gets how much that was."""
    script = resolving(read_once, asked)
    outcomes: Any = None
    while True:
        try:
            calls = script.send(outcomes)
        except StopIteration as done:
            return done.value
        rounds.append(len(calls))
        outcomes = asyncio.run(gathered(calls))


def test_async_parsers_are_awaited_side_by_side() -> None:
    """One round finds all that is wanted; equal values are parsed each for itself."""
    rounds: list[int] = []
    with register_parser(Money, wire=str, parse=euros_later):
        found = drive(lambda: read(compile_type(Order), TEXT), rounds)

    assert found == ORDER
    assert rounds == [3]
    assert found.lines[0].price is not found.lines[1].price


def test_async_parsers_inside_of_one_another_take_a_round_each() -> None:
    """The outer one needs what the inner one made."""

    class Total:
        def __init__(self, parts: list[Money]) -> None:
            self.cents = sum(part.cents for part in parts)

    async def total(parts: list[Money]) -> Total:
        return Total(parts)

    rounds: list[int] = []
    with (
        register_parser(Money, wire=str, parse=euros_later),
        register_parser(Total, wire=list[Money], parse=total),
    ):
        found = drive(lambda: read(compile_type(dict[str, Total]), '{"a": ["1.00 EUR", "2.00 EUR"]}'), rounds)

    assert found["a"].cents == 300
    assert rounds == [2, 1]


def test_what_an_async_parser_raises_is_a_problem_too() -> None:
    """With its path, as for any other."""
    with register_parser(Money, wire=str, parse=euros_later), pytest.raises(ParseError) as caught:
        drive(lambda: read(compile_type(Order), TEXT.replace("2.00 EUR", "two")), [])

    assert caught.value.problems[0].startswith("$.total: write it as in '9.99 EUR'")


def test_a_union_with_an_async_member_waits_for_it() -> None:
    """That another member fits in the meantime decides nothing."""

    async def number(text: str) -> complex:
        return complex(text)

    with register_parser(complex, wire=str, parse=number):
        found = drive(lambda: read(compile_type(list[complex | int]), '["1+2j", 3]'), [])

    assert found == [1 + 2j, 3]


@pytest.mark.parametrize("inside_a_loop", [False, True])
def test_sync_code_runs_async_parsers_to_their_end(inside_a_loop: bool) -> None:
    """Also where a loop is running already."""

    async def main() -> Any:
        return parse(Order, TEXT)

    with register_parser(Money, wire=str, parse=euros_later):
        found = asyncio.run(main()) if inside_a_loop else parse(Order, TEXT)

    assert found == ORDER


def test_without_async_parsers_nothing_is_asked() -> None:
    """What goes wrong is raised as it is."""
    assert drive(lambda: read(compile_type(int), "3"), []) == 3
    with pytest.raises(EmptyAnswerError):
        drive(lambda: read(compile_type(int), ""), [])
    with pytest.raises(ZeroDivisionError):
        drive(lambda: 1 // 0, [])
    assert finished([]) == []
