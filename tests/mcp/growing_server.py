"""An MCP server whose tool `grow` adds a tool; the argument `old` means an early version of the protocol."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import mcp_types as types
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged

ANY: dict[str, Any] = {"type": "object", "properties": {}}
names = ["grow"]


async def new() -> None:
    """By the SDK: a client that listens is told of changes."""
    bus = InMemorySubscriptionBus()

    async def list_tools(*_: Any) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[types.Tool(name=name, input_schema=ANY) for name in names],
            ttl_ms=3_600_000,  # the client may keep the list until it is told of a change
        )

    async def call_tool(*_: Any) -> types.CallToolResult:
        names.append(f"grown_{len(names)}")
        await bus.publish(ToolsListChanged())
        return types.CallToolResult(content=[])

    server = Server(
        "new",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_subscriptions_listen=ListenHandler(bus),
    )
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def old() -> None:
    """Without the SDK, and with a line on stdout that is not a message."""
    print("starting ...", flush=True)  # noqa: T201
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            answer = answer_of(message)
            send({"id": message["id"], **answer})


def answer_of(message: dict[str, Any]) -> dict[str, Any]:
    match message["method"]:
        case "initialize":
            info = {"name": "old", "version": "1"}
            capabilities = {"tools": {"listChanged": True}}
            version = message["params"]["protocolVersion"]
            return {"result": {"protocolVersion": version, "capabilities": capabilities, "serverInfo": info}}
        case "tools/list" if len(names) > 3:
            return {"error": {"code": -32000, "message": "too many tools"}}
        case "tools/list":
            return {"result": {"tools": [{"name": name, "inputSchema": ANY} for name in names]}}
        case "tools/call":
            names.append(f"grown_{len(names)}")
            send({"method": "notifications/tools/list_changed"})
            return {"result": {"content": []}}
    return {"error": {"code": -32601, "message": "no such method"}}


def send(message: dict[str, Any]) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)  # noqa: T201


if __name__ == "__main__":
    if sys.argv[1:] == ["old"]:
        old()
    else:
        asyncio.run(new())
