"""What holds whatever an MCP server does: no file is read for it, no key is shown, nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from kit.wire import WireServer, json_answer

import alloy.mcp
from alloy import McpError, ToolError

pytest.importorskip("mcp")
pytestmark = pytest.mark.slow

from alloy._typed.types.signature import ArgumentsError  # noqa: E402
from alloy.mcp.server import Served  # noqa: E402
from alloy.mcp.tools import McpTool  # noqa: E402

ODD = [sys.executable, str(Path(__file__).with_name("odd_server.py"))]


class Listed:
    """A tool as a server lists it."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.name, self.title, self.description, self.input_schema = "look", None, "Look.", schema


async def _never(name: str, arguments: dict[str, Any]) -> str:
    raise AssertionError("sent")


def problems_of(reference: str) -> str:
    schema = {"type": "object", "properties": {"a": {"$ref": reference}}}
    with pytest.raises(ArgumentsError) as caught:
        McpTool("look", Listed(schema), _never).signature.read('{"a": "z"}')
    return "; ".join(caught.value.problems)


def test_a_schema_makes_nobody_read_a_file(tmp_path: Path) -> None:
    """Its text would be in the problem that the model reads, and the model can send it to the server."""
    file = tmp_path / "secret.json"
    file.write_text(json.dumps({"enum": ["hidden-word"]}), "utf-8")
    found = problems_of(file.as_uri())
    assert "which is not in it" in found
    assert "hidden-word" not in found


def test_a_schema_makes_nobody_send_a_request(server: WireServer) -> None:
    server.always = lambda _: json_answer({"type": "integer"})
    assert "which is not in it" in problems_of(f"{server.url}/inner.json")
    assert server.requests == []


def test_no_secret_is_in_an_error() -> None:
    """Neither what the environment of the process nor what the headers and the address have."""
    quoting = "import os; raise SystemExit('bad token ' + os.environ['SHOP_TOKEN'])"
    with (
        pytest.raises(McpError, match=r"it wrote: bad token \[key\]") as caught,
        alloy.mcp.connect([sys.executable, "-c", quoting], env={"SHOP_TOKEN": "hidden-word-1"}),
    ):
        pass
    assert "hidden-word" not in str(caught.value)


def test_no_secret_is_in_an_error_of_a_tool_that_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_API_KEY", "hidden-word-2")

    @alloy.tool
    def pay() -> str:
        """Pay."""
        raise LookupError(f"no account for {os.environ['SHOP_API_KEY']}")

    assert served(pay) == (True, "LookupError: no account for [key]", None)


def test_a_result_that_is_not_of_its_type_is_an_error() -> None:
    """The client would refuse it, in words that its model cannot use; any other is sent as it is."""

    @alloy.tool
    def wrong() -> int:
        """Count."""
        return "many"  # type: ignore[return-value]

    @alloy.tool
    def maybe() -> str | None:
        """Look."""
        return None

    failed, text, structured = served(wrong)
    assert (failed, structured) == (True, None)
    assert text == "ToolError: it returned what is not of its type: $.value: 'many' is not of type 'integer'"
    assert served(maybe) == (False, "null", {"value": None})


def served(tool: Any) -> tuple[bool, str, Any]:
    """Whether the result of a call is an error, its text, and its structured content."""

    class Context:
        session = None

    result = asyncio.run(Served(tool).call({}, Context()))
    return bool(result.is_error), "".join(part.text for part in result.content), result.structured_content


@pytest.mark.parametrize(("target", "timeout"), [(["no-such-command-here"], 30), ([*ODD, "silent"], 0.5)])
def test_a_failed_connection_leaves_no_thread(target: list[str], timeout: float) -> None:
    def connect() -> None:
        with alloy.mcp.connect(target, timeout=timeout):
            pass

    async def connect_async() -> None:
        async with alloy.mcp.connect(target, timeout=timeout):
            pass

    for way in (connect, lambda: asyncio.run(connect_async())):
        with pytest.raises(McpError):
            way()
        assert "alloy-mcp" not in [thread.name for thread in threading.enumerate()]


def test_a_task_that_is_cancelled_while_it_connects_leaves_no_thread() -> None:
    async def main() -> None:
        begun = alloy.mcp.connect([*ODD, "silent"], timeout=600)
        task = asyncio.create_task(begun.__aenter__())
        while begun._loop is None:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert "alloy-mcp" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_the_connection_of_its_parent() -> None:
    """The thread of the connection does not run there: it says so, and connects anew."""
    reading, writing = os.pipe()
    with alloy.mcp.connect(ODD) as server:
        (text, *_) = server.tools
        child = os.fork()
        if child == 0:
            try:
                os.write(writing, _in_child(server, text).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answer:
            found = answer.read()
        os.waitpid(child, 0)
        assert asyncio.run(text()).startswith("called text")
    assert found == "the parent, the parent, 12 tools"


def _in_child(server: Any, text: Any) -> str:
    found = []
    for use in (lambda: server.refresh(), lambda: asyncio.run(text())):
        try:
            found.append(repr(use()))
        except (McpError, ToolError) as error:
            found.append("the parent" if "the parent of this process" in str(error) else repr(error))
    server.__exit__(None, None, None)
    with server:
        found.append(f"{len(server.tools)} tools")
    return ", ".join(found)


def test_a_list_of_tools_can_be_served() -> None:
    @alloy.tool
    def add(a: int) -> int:
        """Add."""
        return a

    assert alloy.mcp.app([add]).routes
    with pytest.raises(alloy.ConfigurationError, match="more than one tool"):
        alloy.mcp.app([add], add)


GROWING = [sys.executable, str(Path(__file__).with_name("growing_server.py"))]


@pytest.mark.parametrize("version", ["old", "new"])
def test_tools_follow_the_changes_that_a_server_reports(version: str) -> None:
    """In early versions of the protocol it reports them unasked; a line that is no message does no harm."""
    with alloy.mcp.connect([*GROWING, version]) as server:
        (grow,) = server.tools
        asyncio.run(grow())
        while [each.name for each in server.tools] != ["grow", "grown_1"]:
            time.sleep(0.01)
        asyncio.run(grow())
        assert [each.name for each in server.refresh()] == ["grow", "grown_1", "grown_2"]


def test_a_list_that_is_refused_is_an_error_and_the_tools_stay() -> None:
    with alloy.mcp.connect([*GROWING, "old"]) as server:
        for _ in range(3):
            asyncio.run(server.tools[0]())
        with pytest.raises(McpError, match="does not list its tools: too many tools"):
            server.refresh()
        with pytest.raises(McpError, match="does not list its tools: too many tools"):
            asyncio.run(server.refresh_async())
        assert server.tools[0].name == "grow"
