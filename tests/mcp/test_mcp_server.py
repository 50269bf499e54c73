"""Commands and tools as an MCP server, asked by the official SDK's own client, over stdio and HTTP."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from base64 import b64decode
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

import alloy.mcp
from alloy import ConfigurationError
from alloy.testing import call, replies

mcp = pytest.importorskip("mcp")
uvicorn = pytest.importorskip("uvicorn")
pytestmark = pytest.mark.slow

OURS = str(Path(__file__).with_name("our_server.py"))
sys.path.append(str(Path(__file__).parent))

import our_server  # noqa: E402

Use = Callable[[Any], Coroutine[Any, Any, None]]


def over_stdio(use: Use) -> None:
    async def main() -> None:
        process = mcp.StdioServerParameters(command=sys.executable, args=[OURS, "shop"])
        async with mcp.Client(mcp.stdio_client(process)) as client:
            await use(client)

    asyncio.run(main())


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Our tools over HTTP, in a thread of this process."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(alloy.mcp.app(*our_server.TOOLS, name="shop"), log_level="error")
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None
        started = threading.Thread(target=server.run, args=([listening],), daemon=True)
        listening.listen()
        started.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
        server.should_exit = True
        started.join()


@pytest.fixture(params=["stdio", "http"])
def connected(request: pytest.FixtureRequest) -> Callable[[Use], None]:
    """Runs a coroutine with a client."""
    if request.param == "stdio":
        return over_stdio
    target = request.getfixturevalue("address")

    def over_http(use: Use) -> None:
        async def main() -> None:
            async with mcp.Client(target) as client:
                await use(client)

        asyncio.run(main())

    return over_http


def text(result: Any) -> str:
    return "\n".join(part.text for part in result.content)


def test_tools_and_their_schemas(connected: Callable[[Use], None]) -> None:
    async def use(client: Any) -> None:
        assert client.server_info.name == "shop"
        tools = {each.name: each for each in (await client.list_tools()).tools}
        assert list(tools) == ["describe", "add", "hang", "broken", "check", "draw", "sketch"]
        assert tools["describe"].description == "Describe a city."
        assert tools["add"].input_schema["required"] == ["a"]
        assert tools["describe"].output_schema["properties"]["people"] == {"type": "integer"}
        assert tools["hang"].output_schema is None

    connected(use)


def test_results_are_text_and_structured(connected: Callable[[Use], None]) -> None:
    """A command gives an object, a tool a number in an object; the client checks both against the schema."""

    async def use(client: Any) -> None:
        city = await client.call_tool("describe", {"name": "Oslo"})
        assert set(city.structured_content) == {"name", "people"}
        assert not city.is_error
        number = await client.call_tool("add", {"a": 2})
        assert (text(number), number.structured_content) == ("3", {"value": 3})

    connected(use)


def test_images_and_documents_are_results(connected: Callable[[Use], None]) -> None:
    """As content of MCP, without a schema of what is returned."""

    async def use(client: Any) -> None:
        drawn = await client.call_tool("draw", {"kind": "cat"})
        words, image, document, link = drawn.content
        assert (words.text, image.type, image.mime_type) == ("cat", "image", "image/png")
        assert b64decode(image.data) == b"\x89PNG\r\n\x1a\n"
        assert b64decode(document.resource.blob) == b"%PDF-1.7"
        assert (str(document.resource.uri), link.uri) == ("file:///b%20c.pdf", "https://example.com/d.png")
        assert not drawn.is_error
        sketched = await client.call_tool("sketch", {})
        assert sketched.is_error
        assert "which its annotation does not say" in text(sketched)

    connected(use)


def test_what_goes_wrong_is_a_result(connected: Callable[[Use], None]) -> None:
    async def use(client: Any) -> None:
        bad = await client.call_tool("add", {"a": "x"})
        broken = await client.call_tool("broken", {"a": 7})
        missing = await client.call_tool("nothing", {})
        assert bad.is_error
        assert "bad arguments" in text(bad)
        assert broken.is_error
        assert text(broken) == "LookupError: no 7"
        assert missing.is_error
        assert "the tools are describe, add" in text(missing)

    connected(use)


def test_a_cancelled_call_leaves_the_server_usable(connected: Callable[[Use], None]) -> None:
    async def use(client: Any) -> None:
        with pytest.raises(Exception, match=r"(?i)time"):
            await client.call_tool("hang", {}, read_timeout_seconds=0.3)
        assert text(await client.call_tool("add", {"a": 1, "b": 1})) == "2"

    connected(use)


def test_progress_of_a_command(address: str) -> None:
    """A step for each reply of the model and each tool."""
    seen: list[str] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append(f"{progress:g} {message}")

    async def main() -> None:
        async with mcp.Client(address) as client:
            await client.call_tool("describe", {"name": "Oslo"}, progress_callback=note)

    asyncio.run(main())
    assert seen == ["1 fake:fake has replied"]


def test_our_client_uses_our_server(address: str) -> None:
    with alloy.mcp.connect(address, headers={"x-team": "shop"}) as server:
        with replies(call("add", a=2, b=3), "five"):
            result = alloy.ask.run("Hi", tools=server.tools)
        assert result.tool_calls[0].content == "5"
        assert len(server.tools) == len(our_server.TOOLS)


def test_another_host_is_refused(address: str) -> None:
    """Against DNS rebinding: a page in a browser cannot reach it under a name of its own."""
    import httpx

    def status(**headers: str) -> int:
        accept = {"accept": "application/json, text/event-stream"}
        message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        return httpx.post(address, headers={**accept, **headers}, json=message).status_code

    assert status(host="evil.example") == 421
    assert status(origin="https://evil.example") == 403
    assert status() not in (403, 421)


def test_wrong_things_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least one"):
        alloy.mcp.serve()
    with pytest.raises(ConfigurationError, match="neither a function nor a tool"):
        alloy.mcp.app(7)
    with pytest.raises(ConfigurationError, match="'stdio' or 'http'"):
        alloy.mcp.serve(our_server.add, transport="pigeon")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"port": "80"}, r"^serve\(\): port must be an int from 0 to 65535, not '80'$"),
        ({"port": True}, "port must be an int"),
        ({"port": 70_000}, "port must be an int"),
        ({"host": 1}, r"^serve\(\): host must be a non-empty str, not 1$"),
        ({"name": ""}, "name must be a non-empty str"),
        ({"nam": "shop"}, r"^serve\(\) has no 'nam' \(did you mean 'name'\?\)"),
    ],
    ids=str,
)
def test_wrong_arguments_of_a_server_are_named(wrong: Any, problem: str) -> None:
    """Before anything is served."""
    with pytest.raises(ConfigurationError, match=problem):
        alloy.mcp.serve(our_server.add, **wrong)


@pytest.mark.parametrize("wrong", [{"path": "mcp"}, {"path": 1}, {"host": ""}, {"port": 1}], ids=str)
def test_wrong_arguments_of_an_application_are_named(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^app\(\)"):
        alloy.mcp.app(our_server.add, **wrong)


def test_what_a_program_prints_does_not_reach_the_client(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Before and while it serves, flushed or not: it is on stderr, and the client's log is empty."""
    program = tmp_path / "program.py"
    program.write_text(PRINTING, "utf-8")

    async def main(written: Any) -> None:
        process = mcp.StdioServerParameters(command=sys.executable, args=[str(program)])
        async with mcp.Client(mcp.stdio_client(process, errlog=written)) as client:
            assert text(await client.call_tool("talk", {})) == "done"

    with (tmp_path / "stderr.txt").open("w+", encoding="utf-8") as written:
        asyncio.run(main(written))
        written.seek(0)
        lines = written.read().split()
    assert [each.getMessage() for each in caplog.records if each.levelname in ("WARNING", "ERROR")] == []
    assert {"before", "print", "flushed", "child", "kept"} <= set(lines)


PRINTING = """
import subprocess, sys
import alloy.mcp

out = sys.stdout
print("before")

def talk() -> str:
    print("print")
    print("flushed", flush=True)
    out.write("kept\\n")
    subprocess.run([sys.executable, "-c", "print('child')"])
    return "done"

alloy.mcp.serve(talk)
"""
