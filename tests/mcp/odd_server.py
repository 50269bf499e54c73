"""An MCP server by the official SDK alone, whose tools do odd things; the argument may be junk or silent."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import mcp_types as types
from mcp.server import Server
from mcp.server.stdio import stdio_server

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
ANY: dict[str, Any] = {"type": "object", "properties": {}}
ODD: dict[str, Any] = {
    "type": "object",
    "properties": {
        "who": {"$ref": "#/$defs/Person"},
        "size": {"enum": ["S", "M", None]},
        "either": {
            "anyOf": [{"type": "integer", "minimum": 3}, {"type": "array", "items": {"type": "string"}}]
        },
        "free": {"type": "object", "additionalProperties": {"type": "number"}},
    },
    "required": ["who"],
    "$defs": {
        "Person": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "friends": {"type": "array", "items": {"$ref": "#/$defs/Person"}},
            },
            "required": ["name"],
        }
    },
}
NAMES = (
    "text",
    "image",
    "link",
    "structured",
    "error",
    "echo",
    "slow",
    "leave",
    "env",
    "files",
    "dotted.name/x",
    "2nd",
)
cancelled: list[str] = []


async def list_tools(context: Any, params: Any) -> types.ListToolsResult:
    """Two pages."""
    cursor = params.cursor if params is not None else None
    page = NAMES[:6] if cursor is None else NAMES[6:]
    tools = [
        types.Tool(name=name, description=f"The tool {name}.", input_schema=ODD if name == "echo" else ANY)
        for name in page
    ]
    return types.ListToolsResult(tools=tools, next_cursor="more" if cursor is None else None)


async def call_tool(  # noqa: C901 - a case for each tool
    context: Any, params: types.CallToolRequestParams
) -> types.CallToolResult:
    text = types.TextContent(text=f"called {params.name}")
    match params.name:
        case "image":
            image = types.ImageContent(data=PIXEL, mime_type="image/png")
            return types.CallToolResult(content=[text, image])
        case "files":
            sound = types.AudioContent(data="AAAA", mime_type="audio/wav")
            drawing = types.ImageContent(data="PHN2Zy8+", mime_type="image/svg+xml")
            wrong = types.ImageContent(data="no base64!", mime_type="image/png")
            inner = types.BlobResourceContents(uri="file:///a/b.pdf", blob="JVBERi0xLjc=")
            return types.CallToolResult(
                content=[sound, drawing, wrong, types.EmbeddedResource(resource=inner)]
            )
        case "link":
            link = types.ResourceLink(name="report", uri="file:///report.txt", description="of today")
            inner = types.TextResourceContents(uri="file:///a.txt", text="the text of a file")
            return types.CallToolResult(content=[link, types.EmbeddedResource(resource=inner)])
        case "structured":
            return types.CallToolResult(content=[], structured_content={"a": [1, "ü"]})
        case "error":
            return types.CallToolResult(content=[types.TextContent(text="no such item")], is_error=True)
        case "echo":
            return types.CallToolResult(content=[types.TextContent(text=repr(params.arguments))])
        case "slow":
            try:
                for step in range(3):
                    await context.session.report_progress(step, 3, f"step {step}")
                if (params.arguments or {}).get("hang"):
                    await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append("slow")
                raise
        case "leave":
            sys.stderr.write("out of memory\n")
            sys.stderr.flush()
            os._exit(3)
        case "env":
            return types.CallToolResult(content=[types.TextContent(text=" ".join(sorted(os.environ)))])
    return types.CallToolResult(content=[text, types.TextContent(text=f"cancelled {cancelled}")])


async def main() -> None:
    server = Server("odd", on_list_tools=list_tools, on_call_tool=call_tool)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["junk"]:
            for line in range(1000):
                print("this is no JSON", line, flush=True)  # noqa: T201
        case ["silent"]:
            sys.stdin.read()
        case _:
            asyncio.run(main())
