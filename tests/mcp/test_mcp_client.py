"""Tools of MCP servers, in real processes and over HTTP, for sync and async commands."""

from __future__ import annotations

import ast
import asyncio
import copy
import pickle
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit.apis import Api, every_api
from kit.pages import blocks
from kit.patience import limits
from kit.ways import every_way
from kit.wire import WireServer, json_answer

import alloy
import alloy.mcp
from alloy import ConfigurationError, Document, Image, McpError, ToolError, ask, command, tool
from alloy.events import Event, ToolProgress
from alloy.mcp.client import McpServer
from alloy.testing import call, replies

pytest.importorskip("mcp")
pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "mcp.md"
ODD = [sys.executable, str(Path(__file__).with_name("odd_server.py"))]


@pytest.fixture
def clock() -> list[str]:
    """The command of a server that others wrote, if it works with the installed version of the SDK."""
    pytest.importorskip("mcp_server_time.server", exc_type=ImportError)
    return [sys.executable, "-m", "mcp_server_time"]


@pytest.fixture(scope="module")
def odd() -> Iterator[McpServer]:
    with alloy.mcp.connect(ODD) as server:
        yield server


def results(server: McpServer, *calls: Any, **options: Any) -> list[str]:
    """What the model reads of each call."""
    with replies(*calls, "done"):
        return [each.content for each in ask.run("Hi", tools=server.tools, **options).tool_calls]


# --- a server of others -------------------------------------------------------------------------------


@every_way
def test_a_server_of_others(clock: list[str], way: Any) -> None:
    """Sync and async, plain and streamed, by the server process that the package starts."""

    @command(output=str)
    def question() -> str:
        return "What time is it?"

    with alloy.mcp.connect(clock) as server:
        turns = call("get_current_time", timezone="Europe/Oslo"), call("get_current_time", timezone="X/Y")
        with replies(*turns, "noon"):
            result, _ = way(question.with_options(tools=server.tools))
    good, bad = result.tool_calls
    assert "Europe/Oslo" in good.content
    assert bad.error
    assert "X/Y" in bad.error


def test_in_an_async_block(clock: list[str]) -> None:
    async def main() -> list[Any]:
        async with alloy.mcp.connect(clock) as server:
            asking = [ask.run_async(str(n), tools=server.tools) for n in range(3)]
            with replies(*[call("get_current_time", timezone="UTC")] * 3, *["x"] * 3):
                return await asyncio.gather(*asking)

    assert all("UTC" in result.tool_calls[0].content for result in asyncio.run(main()))


# --- tools and schemas --------------------------------------------------------------------------------


def test_tools_have_legal_names_and_their_schemas(odd: McpServer) -> None:
    """From all pages; names that providers refuse are changed, and a prefix tells servers apart."""
    names = [each.name for each in odd.tools]
    assert names[:3] == ["text", "image", "link"]
    assert names[-2:] == ["dotted_name_x", "_2nd"]
    echo = next(each for each in odd.tools if each.name == "echo")
    assert echo.signature.schema["properties"]["size"] == {"enum": ["S", "M", None]}
    assert echo.description == "The tool echo."
    assert results(odd, call("dotted_name_x"))[0].startswith("called dotted.name/x")
    with alloy.mcp.connect(ODD) as other:
        problem = r"more than one tool is named .*; rename one with connect\(…, prefix=…\)$"
        with pytest.raises(ConfigurationError, match=problem):
            ask("Hi", tools=[*odd.tools, *other.tools])
    with alloy.mcp.connect(ODD, prefix="b_") as other:
        assert [each.name for each in other.tools][:2] == ["b_text", "b_image"]
        both = [*odd.tools, *other.tools]
        with replies(call("text"), call("b_text"), "done"):
            assert len(ask.run("Hi", tools=both).tool_calls) == 2


def test_arguments_are_checked_before_they_are_sent(odd: McpServer) -> None:
    """Against the whole schema; what a model wrote as text is converted where only that fits."""
    person = {"name": "Ann", "friends": [{"name": "Bob"}]}
    good, bad, converted = results(
        odd,
        call("echo", who=person, size=None, either=["a"], free={"x": 1.5}),
        call("echo", who={"friends": [{}]}, either=2),
        call("echo", who=person, either="7"),
    )
    sent = ast.literal_eval(good)
    assert sent == {"who": person, "size": None, "either": ["a"], "free": {"x": 1.5}}
    assert bad.startswith("Error: bad arguments: ")
    assert "$.who" in bad
    assert "$.either" in bad
    assert ast.literal_eval(converted)["either"] == 7


@every_api
def test_every_provider_gets_the_schema(odd: McpServer, server: WireServer, api: Api) -> None:
    """In its own dialect: recursive, with alternatives, with free keys."""
    body = ask.request("Hi", tools=odd.tools, **api.options(server))
    assert "echo" in str(body["tools"])
    assert "friends" in str(body)


# --- results ------------------------------------------------------------------------------------------


def test_results_of_all_kinds(odd: McpServer) -> None:
    link, structured, error = results(odd, call("link"), call("structured"), call("error"))
    assert link == "[report: file:///report.txt, of today]\nthe text of a file"
    assert structured == '{"a": [1, "ü"]}'
    assert error == "Error: no such item"


def test_images_and_documents_reach_the_model(odd: McpServer) -> None:
    """As those of other tools do; what no model takes is described."""
    with replies(call("image"), call("files"), "done"):
        image, files = ask.run("go", tools=odd.tools).tool_calls
    text, picture = image.parts
    assert (text, type(picture), picture.media_type) == ("called image", Image, "image/png")
    assert len(picture.data) == 70
    assert files.parts == (
        "[audio: audio/wav, 3 bytes]",
        "[image: image/svg+xml, 6 bytes]",
        "[image: image/png, which the server did not encode in base64]",
        Document(data=b"%PDF-1.7", media_type="application/pdf", name="b.pdf"),
    )


def test_tools_can_be_called_from_python(odd: McpServer) -> None:
    echo = next(each for each in odd.tools if each.name == "echo")
    broken = next(each for each in odd.tools if each.name == "error")
    assert asyncio.run(echo(who={"name": "Ann"})) == "{'who': {'name': 'Ann'}}"
    with pytest.raises(ToolError, match="no such item"):
        asyncio.run(broken())


def test_long_results_are_cut(odd: McpServer) -> None:
    (found,) = results(odd, call("echo", who={"name": "a" * 5000}), tool_result_max_chars=100)
    assert len(found) < 300


@every_way
def test_progress_is_an_event(odd: McpServer, way: Any) -> None:
    seen: list[ToolProgress] = []

    def note(event: Event) -> None:
        if isinstance(event, ToolProgress):
            seen.append(event)

    @command(output=str, tools=odd.tools, on_event=note)
    def question() -> str:
        return "Hi"

    with replies(call("slow"), "done"):
        way(question)
    assert [(each.progress, each.total, each.message) for each in seen] == [
        (0, 3, "step 0"),
        (1, 3, "step 1"),
        (2, 3, "step 2"),
    ]
    assert {each.call.name for each in seen} == {"slow"}
    assert all(each.call_id for each in seen)


def test_a_cancelled_call_is_cancelled_there(odd: McpServer) -> None:
    """By the limit of a tool, and with its task; the connection stays."""
    told: list[str] = []
    for limit in limits(lambda: "cancelled ['slow'" in told[0]):  # else it was cancelled before it began
        (found,) = results(odd, call("slow", hang=True), tool_timeout=limit)
        assert "took longer than tool_timeout" in found
        told[:] = results(odd, call("text"))

    async def cancelled() -> None:
        begun, loop = asyncio.Event(), asyncio.get_running_loop()

        def note(event: Event) -> None:
            if isinstance(event, ToolProgress):  # in the thread of the connection
                loop.call_soon_threadsafe(begun.set)

        task = asyncio.create_task(ask.async_("Hi", tools=odd.tools, on_event=note))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with replies(call("slow", hang=True)):
        asyncio.run(cancelled())
    assert results(odd, call("text"))[0].count("'slow'") > told[0].count("'slow'")


def test_a_command_in_a_tool_uses_it_too(odd: McpServer) -> None:
    """A sync command in an async tool blocks the loop of that tool, and not the connection."""

    @tool
    async def outer() -> str:
        """Ask."""
        return ask("inner", tools=odd.tools)

    with replies(call("outer"), call("text"), "inner done", "done"):
        result = ask.run("Hi", tools=[outer, *odd.tools])
    assert result.tool_calls[0].content == "inner done"


def test_threads_share_a_connection(odd: McpServer) -> None:
    echo = next(each for each in odd.tools if each.name == "echo")
    found: dict[int, str] = {}

    def run(number: int) -> None:
        found[number] = asyncio.run(echo(who={"name": str(number)}))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: f"{{'who': {{'name': '{number}'}}}}" for number in range(8)}


def test_the_server_of_the_page_is_one(tmp_path: Path) -> None:
    """In a file of its own, as the page says."""
    (page,) = [each for each in blocks(PAGE) if "MCPServer" in each.code]
    program = tmp_path / "shop.py"
    program.write_text(page.code, "utf-8")
    with alloy.mcp.connect([sys.executable, str(program)]) as server:
        assert [each.description for each in server.tools] == ["How many pieces of an item are in stock."]
        assert results(server, call("stock", item="anvil")) == ["3"]


# --- what goes wrong ----------------------------------------------------------------------------------


def test_no_key_reaches_the_process(odd: McpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted")
    with alloy.mcp.connect(ODD, env={"CITY": "Oslo"}) as server:
        (names,) = results(server, call("env"))
    assert "CITY" in names.split()
    assert "OPENAI_API_KEY" not in names.split()


def test_a_server_that_leaves_is_an_error_for_the_model() -> None:
    """With the last line that it wrote; the next call says so too, and the block ends."""
    with alloy.mcp.connect(ODD) as server:
        first, second = results(server, call("leave"), call("text"))
        assert "McpError: the MCP server" in first
        assert "it wrote: out of memory" in first
        assert "McpError" in second
        with pytest.raises(ToolError), replies(call("text")):
            ask("Hi", tools=server.tools, tool_errors="raise")


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        (["no-such-command-here"], "cannot be reached"),
        ("shop.py", r"shop\.py.*: start a Python file with \[sys\.executable, 'shop\.py'\]"),
        ([sys.executable, "-c", "raise SystemExit('no config')"], "it wrote: no config"),
        ([*ODD, "junk"], "cannot be reached"),
    ],
)
def test_a_server_that_cannot_be_started(target: Any, problem: str) -> None:
    with pytest.raises(McpError, match=problem), alloy.mcp.connect(target, timeout=20):
        pass


def test_a_server_that_is_silent_is_left_after_a_while() -> None:
    before = set(threading.enumerate())
    with pytest.raises(McpError, match=r"did not answer within 0\.5 seconds"):
        alloy.mcp.connect([*ODD, "silent"], timeout=0.5).__enter__()
    assert {thread.name for thread in set(threading.enumerate()) - before} <= {"alloy-mcp"}


def test_an_address_without_a_server() -> None:
    """No password of it is shown."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://ann:hidden-word@127.0.0.1:{taken.getsockname()[1]}/mcp"
        with pytest.raises(McpError, match="cannot be reached") as caught, alloy.mcp.connect(address):
            pass
    assert "hidden-word" not in str(caught.value)


def test_an_address_with_another_server(server: WireServer) -> None:
    """It answers, but does not speak the protocol."""
    server.always = lambda _: json_answer({"error": "no such page"}, status=404)
    with pytest.raises(McpError, match="cannot be reached"), alloy.mcp.connect(f"{server.url}/mcp"):
        pass


@pytest.mark.parametrize("target", ["", [], 7, ["a", 1], "'", b"x", "http://[::1/mcp", "https://a..b/mcp"])
def test_a_wrong_target_is_refused(target: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"connect\(\)"):
        alloy.mcp.connect(target)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="env= is for a command"):
        alloy.mcp.connect("http://127.0.0.1:1/mcp", env={"a": "b"})
    with pytest.raises(ConfigurationError, match="headers= is for an address"):
        alloy.mcp.connect("a command", headers={"a": "b"})
    for timeout in (0, -1, float("nan"), "5", None, True):
        with pytest.raises(ConfigurationError, match="timeout must be"):
            alloy.mcp.connect("a command", timeout=timeout)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"prefix": 3}, r"^connect\(\): prefix must be a str, not 3$"),
        ({"env": {"A": 1}}, r"^connect\(\): env must be a dict of str, and the value of 'A' is of type int$"),
        ({"env": {1: "a"}}, "env must be a dict of str, and a name is of type int"),
        ({"env": ["A=1"]}, "env must be a dict of str, not list"),
        ({"env": {"KEY": b"hidden-word"}}, "the value of 'KEY' is of type bytes"),
        (
            {"headers": {"x-team": 7}},
            "headers must be a dict of str, and the value of 'x-team' is of type int",
        ),
        ({"headers": [("a", "b")]}, "headers must be a dict of str, not list"),
        (
            {"header": {}},
            r"^connect\(\) has no 'header' \(did you mean 'headers'\?\); it has target",
        ),
    ],
    ids=str,
)
def test_a_wrong_argument_is_named_and_not_the_server(wrong: Any, problem: str) -> None:
    """Where the connection is made; values may be secret."""
    target = "http://127.0.0.1:1/mcp" if "headers" in wrong else "a command"
    with pytest.raises(ConfigurationError, match=problem) as caught:
        alloy.mcp.connect(target, **wrong)
    assert "hidden-word" not in str(caught.value)


def test_outside_of_the_block() -> None:
    server = alloy.mcp.connect(ODD)
    with pytest.raises(McpError, match="not connected"):
        _ = server.tools
    with server:
        kept = server.tools
        with pytest.raises(ConfigurationError, match="connected already"):
            server.__enter__()
    assert "not connected" in repr(server)
    assert "McpError" in results_of_kept(kept)
    with server:  # again
        assert len(server.refresh()) == len(server.tools)


def results_of_kept(tools: list[Any]) -> str:
    with replies(call("text"), "done"):
        return ask.run("Hi", tools=tools).tool_calls[0].content


def test_a_tool_is_not_pickled_and_takes_no_options(odd: McpServer) -> None:
    first = odd.tools[0]
    with pytest.raises(ConfigurationError, match="cannot be pickled"):
        pickle.dumps(first)
    with pytest.raises(ConfigurationError, match="wrap it in a function"):
        tool(description="Other.")(first)
    with pytest.raises(ConfigurationError, match="cannot be pickled"):
        copy.copy(first)
