"""`@command`: how it resembles its function, every way to call it, and what is refused at decoration."""

import asyncio
import inspect
import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

import pytest
from kit.patience import PATIENCE

from alloy import (
    AsyncCommand,
    AsyncStream,
    Command,
    ConfigurationError,
    RateLimitError,
    Result,
    ServerError,
    Stream,
    command,
    require,
    tool,
    use_config,
)
from alloy.testing import call, calls, replies


@dataclass
class Item:
    """A thing with a price."""

    name: str
    price: float = 0


class Options(TypedDict):
    """Some options."""

    depth: int


@command
def bare(text: str, times: int = 2, *, shout: bool = False) -> str:
    """Say it several times."""
    return ("!" if shout else ".").join([text] * times)


@command(output=list[Item], temperature=0.5)
def items(text: str) -> str:
    """List the items."""
    return f"Items: {text}"


@command(output=int)
async def later(text: str) -> str:
    """Count, later."""
    await asyncio.sleep(0)
    return f"Count: {text}"


# --- like a function ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bare", "options", "async"])
def test_a_command_looks_like_its_function(kind: str):
    """Name, docstring, module, qualified name, signature, `__wrapped__`, annotations and attributes."""
    if kind == "async":

        async def work(x: int, y: str = "a", *, z: bool = False) -> str:
            """Work."""
            return f"{x}{y}{z}"

    else:

        def work(x: int, y: str = "a", *, z: bool = False) -> str:
            """Work."""
            return f"{x}{y}{z}"

    work.mark = "kept"  # type: ignore[attr-defined]
    made = command(work) if kind == "bare" else command(output=int)(work)
    assert type(made) is (AsyncCommand if kind == "async" else Command) and callable(made)
    output = str if kind == "bare" else int
    for name in ("__name__", "__doc__", "__module__", "__qualname__", "mark"):
        assert getattr(made, name) == getattr(work, name)
    assert made.__annotations__ == {**work.__annotations__, "return": output}
    assert made.__wrapped__ is work and inspect.unwrap(made) is work
    assert inspect.signature(made) == inspect.signature(work).replace(return_annotation=output)
    assert inspect.getdoc(made) == "Work."
    assert repr(made) == f"<command work(x: int, y: str = 'a', *, z: bool = False) -> {output.__name__}>"
    assert work.__annotations__["return"] is str


def test_an_attribute_of_the_function_hides_nothing_of_the_command():
    """A function may carry attributes that are called as a command's methods are."""

    def work() -> str:
        return "hello"

    work.__dict__.update(run=1, stream=2, with_options=3, mark=4)
    made = command(work)
    with replies("a", "b"):
        assert (made.run().value, made.with_options(retry=0)(), made.mark) == ("a", "b", 4)


def test_the_body_writes_the_prompt():
    """With positional, default and keyword-only arguments."""
    with replies("a", "b", "c") as seen:
        assert [bare("x"), bare("x", 3, shout=True), bare(text="y", times=1)] == ["a", "b", "c"]
    assert [request["messages"][0]["content"] for request in seen.requests] == ["x.x", "x!x!x", "y"]


def test_a_wrong_call_is_a_type_error():
    """As of any function; nothing is sent."""
    with replies():
        for call_it in (bare, bare.run, bare.stream, bare.request):
            with pytest.raises(TypeError, match="text"):
                call_it()
        with pytest.raises(TypeError, match="loud"):
            bare("x", loud=True)  # type: ignore[call-arg]


# --- every way to call it -------------------------------------------------------------------------


def test_every_way_to_call_a_sync_command():
    """The same value by each of them."""
    with replies(*[[Item("a", 1)]] * 7):
        assert items("x") == [Item("a", 1)]
        assert items.run("x").value == [Item("a", 1)]
        assert asyncio.run(items.async_("x")) == [Item("a", 1)]
        assert asyncio.run(items.run_async("x")).value == [Item("a", 1)]
        assert items.stream("x").result() == [Item("a", 1)]
        assert asyncio.run(items.stream_async("x").result()) == [Item("a", 1)]
        assert items.with_options(model="other")("x") == [Item("a", 1)]


def test_every_way_to_call_an_async_command():
    """The same value by each of them."""

    async def main() -> list[Any]:
        return [
            await later("x"),
            (await later.run("x")).value,
            await later.async_("x"),
            (await later.run_async("x")).value,
            await later.stream("x").result(),
            await later.stream_async("x").result(),
            await later.with_options(model="other")("x"),
        ]

    with replies(*[5] * 7):
        assert asyncio.run(main()) == [5] * 7


def test_what_each_way_gives():
    """Results are `Result`s, streams are streams, and coroutines are what `asyncio` calls one."""
    with replies("a"):
        assert isinstance(bare.run("x"), Result)
    with replies():
        with bare.stream("x") as stream:
            assert isinstance(stream, Stream)
        assert isinstance(bare.stream_async("x"), AsyncStream)
        assert isinstance(later.stream("x"), AsyncStream)
        for made in (bare.async_("x"), bare.run_async("x"), later("x"), later.run("x"), later.async_("x")):
            assert inspect.iscoroutine(made)
            made.close()


def test_the_request_is_shown_and_not_sent():
    """`request` gives the very body that a call sends."""
    with replies([]) as seen:
        shown = items.request("x")
        assert seen.requests == []
        items("x")
    assert seen.requests == [shown]
    assert shown["temperature"] == 0.5 and shown["messages"][0]["content"] == "Items: x"
    with replies(3) as seen:
        shown = asyncio.run(later.request("x"))
        asyncio.run(later("x"))
    assert seen.requests == [shown]


def test_with_options_makes_a_copy():
    """The original keeps its own settings, a copy can be copied, and output and tools can change."""

    @tool
    def look() -> str:
        """Look."""
        return "seen"

    first = items.with_options(temperature=1, max_tokens=9)
    second = first.with_options(temperature=2, output=int, tools=[look])
    with replies([], [], call("look"), 7) as seen:
        assert (items("x"), first("x"), second("x")) == ([], [], 7)
    found = [(request["temperature"], request.get("max_tokens")) for request in seen.requests]
    assert found == [(0.5, None), (1, 9), (2, 9), (2, 9)]
    assert ["tools" in request for request in seen.requests] == [False, False, True, True]
    assert type(second) is Command and second.__name__ == "items"
    assert inspect.signature(second) == inspect.signature(items).replace(return_annotation=int)
    assert inspect.signature(first) == inspect.signature(items)


def test_with_options_refuses_what_the_decorator_refuses():
    """Unknown names, wrong values and values that are not tools, with the name of the command."""
    for wrong in ({"temprature": 1}, {"retry": -1}, {"tools": [5]}, {"tools": None}):
        with pytest.raises(ConfigurationError, match=r"^items\.with_options\(\): "):
            items.with_options(**wrong)


def test_a_result_holds_all_that_a_call_did():
    """Value, text, usage, turns, attempts, tool calls, model and transcript."""

    @tool
    def look(where: str) -> str:
        """Look."""
        return f"seen in {where}"

    counted = command(output=int, tools=[look], model="fake:m1")(bare.__wrapped__)
    with replies(call("look", where="x"), RateLimitError("slow", provider="fake", retry_after=0), 3):
        done = counted.run("x")
    assert (done.value, done.turns, done.attempts, done.model) == (3, 2, 3, "fake:m1")
    assert done.text.replace(" ", "") == '{"value":3}'
    assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens > 0
    (made,) = done.tool_calls
    assert (made.name, dict(made.arguments), made.value, made.error) == (
        "look",
        {"where": "x"},
        "seen in x",
        None,
    )
    assert len(done.transcript) == 4
    assert pickle.loads(pickle.dumps(done)) == done


# --- outputs --------------------------------------------------------------------------------------

OUTPUTS: list[tuple[Any, Any]] = [
    (str, "text as it is"),
    (int, 3),
    (float, 2.5),
    (bool, True),
    (Item, Item("a", 1.5)),
    (Options, {"depth": 3}),
    (list[int], [1, 2]),
    (dict[str, float], {"a": 1.0}),
    (tuple[int, str], (1, "a")),
    (int | None, None),
    (Item | int, 4),
    (Literal["a", "b"], "b"),
    (list["Item"], [Item("a", 1)]),
    ("Item", Item("a", 1)),
    ("list[Item] | None", [Item("a", 1)]),
    (Annotated[int, "a number"], 3),
]


@pytest.mark.parametrize(("output", "value"), OUTPUTS, ids=[str(output) for output, _ in OUTPUTS])
def test_the_answer_has_the_declared_type(output: Any, value: Any):
    """Names that stand as text are those of the command's module."""
    made = command(output=output)(bare.__wrapped__)
    script = f'{{"value": "{value}"}}' if output == Literal["a", "b"] else value
    with replies(script):
        found = made("x")
    assert found == value and type(found) is type(value)


def test_a_command_without_a_value_gives_none():
    """`output=None`: the text of the model is not parsed, and an empty answer is valid, too."""
    made = command(output=None)(bare.__wrapped__)
    with replies("whatever", ""):
        assert made("x") is None
        assert made.run("y").value is None


def test_names_of_a_function_resolve_by_its_closure():
    """A local class that is written as text and used in the body is found."""

    @dataclass
    class Local:
        x: int

    @command(output="list[Local]")
    def read() -> str:
        return f"as {Local.__name__}"

    with replies([{"x": 1}]):
        assert read() == [Local(1)]


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ("Nowhere", "Nowhere"),
        (Callable[[], int], "no JSON schema"),
        (list["pytest.Nowhere"], "no attribute 'Nowhere'"),  # type: ignore[name-defined]
    ],
)
def test_an_output_without_a_schema_is_refused_before_anything_is_sent(output: Any, problem: str):
    """The error names the command and the type."""
    made = command(output=output)(bare.__wrapped__)
    with replies() as seen, pytest.raises(ConfigurationError, match=rf"^bare\(\): .*{problem}"):
        made("x")
    assert seen.requests == []


# --- threads, loops and commands in commands ------------------------------------------------------


def test_one_command_in_many_threads():
    """Each call has its own prompt, answer and settings."""
    meet, found = threading.Barrier(8), {}

    def work(number: int) -> None:
        with replies(lambda body: body["messages"][0]["content"]) as seen, use_config(max_tokens=number):
            meet.wait(PATIENCE)
            found[number] = (bare(str(number), 1), seen.requests[0]["max_tokens"])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: (str(number), number) for number in range(1, 9)}


def test_a_sync_command_in_a_running_loop():
    """It blocks the loop and works."""

    async def main() -> str:
        return bare("x")

    with replies("a"):
        assert asyncio.run(main()) == "a"


@command(output=int)
def inner(text: str) -> str:
    """How long a text is."""
    return f"inner {text}"


@command(output=int)
async def inner_async(text: str) -> str:
    """How long a text is."""
    return f"inner {text}"


@pytest.mark.parametrize("given", [inner, inner_async])
def test_a_command_can_be_a_tool(given: Any):
    """Of sync and async commands alike; the model sees its signature, the caller its typed value."""
    name = given.__name__
    outer = command(tools=[given])(bare.__wrapped__)
    outer_async = command(tools=[given])(later.__wrapped__)
    turns = (call(name, text="abc"), 3, "three")
    with replies(*turns) as seen:
        done = outer.run("go")
    assert (done.value, done.tool_calls[0].value) == ("three", 3)
    shown = seen.requests[0]["tools"][0]
    assert (shown["name"], shown["description"]) == (name, "How long a text is.")
    assert list(shown["parameters"]["properties"]) == ["text"]
    assert seen.requests[1]["messages"][0]["content"] == "inner abc"
    with replies(*turns):
        done = asyncio.run(outer_async.run("go"))
    assert (done.value, done.tool_calls[0].value) == ("three", 3)


def test_a_command_as_a_tool_can_have_another_name():
    """`tool(command, name=…)` runs the command, not its body."""
    asked = tool(inner, name="measure", description="Measure.")
    with replies(call("measure", text="abc"), 3, "three") as seen:
        done = command(tools=[asked])(bare.__wrapped__).run("go")
    assert done.tool_calls[0].value == 3
    assert seen.requests[0]["tools"][0]["description"] == "Measure."


@pytest.mark.parametrize("errors", ["return", "raise"])
def test_a_precondition_of_a_command_as_a_tool_speaks_to_the_model(errors: str):
    """As a tool's does: the message alone, whatever `tool_errors` is, and no request is made."""
    checked: list[str] = []
    demand = require(lambda text: checked.append(text) or len(text) > 2, "at least three letters")
    for given in (demand(inner), demand(inner_async), demand(tool(inner)), demand(tool(inner_async))):
        name, checked[:] = given.__name__, []
        turns = (call(name, text="ab"), call(name, text="abc"), 3, "three")
        with replies(*turns) as seen:
            done = command(tools=[given], tool_errors=errors)(bare.__wrapped__).run("go")
        assert [made.content for made in done.tool_calls] == ["Error: at least three letters", "3"]
        assert seen.requests[2]["messages"][0]["content"] == "inner abc"
        assert checked == ["ab", "abc"]


def test_what_fails_in_a_command_as_a_tool_is_told_to_the_model(caplog: pytest.LogCaptureFixture):
    """Bad arguments and the inner command's own errors go back, the outer one continues."""
    outer = command(tools=[inner])(bare.__wrapped__)
    failed = ServerError("down", provider="fake", transient=False)
    with replies(calls(call("inner", word=1)), call("inner", text="a"), failed, "gave up"):
        done = outer.run("go")
    assert done.value == "gave up"
    assert [made.error is not None for made in done.tool_calls] == [True, True]
    assert "ServerError" in done.tool_calls[1].content
