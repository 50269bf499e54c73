"""Tools of MCP servers for models, and commands as tools of an MCP server, with the extra `mcp`.

    with alloy.mcp.connect("uvx mcp-server-time") as server:
        ask("What time is it in Oslo?", tools=server.tools)

The protocol is spoken by its official SDK: https://modelcontextprotocol.io.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from alloy.arguments import names_checked
from alloy.extras import import_extra

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from alloy.mcp.client import McpServer

__all__ = ["app", "connect", "serve"]


@names_checked
def connect(
    target: str | Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 30.0,
    prefix: str = "",
) -> McpServer:
    """An MCP server, connected in a `with` or `async with` block.

    *target* is a command, as text or as a list of words, whose process speaks on its stdin and stdout; or the
    http(s) address of a server. No shell reads the command. The process gets the few variables that the SDK
    passes on, and *env*; none of your keys. *headers* are sent to an address. *timeout* is how many seconds
    the connecting may take. *prefix* begins the names of the tools.

    Raises `ConfigurationError` for a wrong argument and when the SDK is not installed; entering the block
    raises `McpError` when the server cannot be started or reached.
    """
    _check_sdk()
    from alloy.mcp.client import McpServer

    return McpServer(target, env=env, headers=headers, timeout=timeout, prefix=prefix)


@names_checked
def serve(
    *tools: Any,
    transport: Literal["stdio", "http"] = "stdio",
    host: str = "127.0.0.1",
    port: int = 8000,
    name: str = "alloy",
) -> None:
    """Serve *tools* until the client leaves or the process ends.

    Each is a command, a tool, a function, or a list of them.

    Over `"stdio"` the client starts this process. Over `"http"` the address is `http://{host}:{port}/mcp`;
    only this machine reaches it unless *host* says otherwise, and whoever reaches it can call the tools.

    Raises `ConfigurationError` for what is not a tool, and when the SDK is not installed.
    """
    _check_sdk()
    from alloy.mcp.server import serve

    serve(tools, transport, host, port, name)


@names_checked
def app(*tools: Any, host: str = "127.0.0.1", path: str = "/mcp", name: str = "alloy") -> Starlette:
    """*tools* as an ASGI application, to run or mount in a web server of your own.

    A *host* on this machine refuses requests for other hosts, against DNS rebinding. Raises as `serve` does.
    """
    _check_sdk()
    from alloy.mcp.server import make_app

    return make_app(tools, host, path, name)


def _check_sdk() -> None:
    import_extra("mcp", "mcp", "alloy.mcp needs the package 'mcp'")
