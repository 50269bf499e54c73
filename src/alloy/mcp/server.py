"""Commands and tools as an MCP server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, redirect_stdout
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, get_args, get_type_hints
from urllib.parse import quote

import mcp_types as types
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from mcp.server import Server
from mcp.server.stdio import stdio_server
from referencing import Registry

from alloy import __version__
from alloy._engine.handlers import listen
from alloy._engine.result_media import media_parts
from alloy._engine.runtime.stopping import Stop, stop_with
from alloy._typed.answers.parse import dump
from alloy._typed.types.compile import TypeSpec, compile_type
from alloy._typed.types.signature import ArgumentsError
from alloy.backends.http.redaction import Redactor
from alloy.endpoints import secrets_in
from alloy.errors import ConfigurationError, ToolError
from alloy.events import Event, ReplyReceived, ToolFinished
from alloy.jsontypes import JsonObject
from alloy.logger import log
from alloy.media import Media
from alloy.threads import in_thread
from alloy.tools import Tool, as_tools

if TYPE_CHECKING:
    from starlette.applications import Starlette

__all__ = ["make_app", "serve"]


def serve(tools: Sequence[Any], transport: str, host: str, port: Any, name: str) -> None:
    """Serve *tools* until the client leaves or the process ends: see `alloy.mcp.serve`."""
    if transport not in ("stdio", "http"):
        raise ConfigurationError(f"serve(): transport must be 'stdio' or 'http', not {transport!r:.80}")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65_535:
        raise ConfigurationError(f"serve(): port must be an int from 0 to 65535, not {port!r:.80}")
    _check_texts("serve()", host=host, name=name)
    if transport == "stdio":
        asyncio.run(_serve_stdio(_server(tools, name)))
    else:
        import uvicorn

        uvicorn.run(make_app(tools, host, "/mcp", name), host=host, port=port, log_level="warning")


def make_app(tools: Sequence[Any], host: str, path: str, name: str) -> Starlette:
    """*tools* as an ASGI application: see `alloy.mcp.app`."""
    _check_texts("app()", host=host, path=path, name=name)
    if not path.startswith("/"):
        raise ConfigurationError(f"app(): path must begin with a slash, not {path!r:.80}")
    return _server(tools, name).streamable_http_app(host=host, streamable_http_path=path)


def _check_texts(where: str, **given: Any) -> None:
    for name, value in given.items():
        if not isinstance(value, str) or not value:
            raise ConfigurationError(f"{where}: {name} must be a non-empty str, not {value!r:.80}")


async def _serve_stdio(server: Server[Any]) -> None:
    async with stdio_server() as (read, write):
        with _prints_on_stderr():
            await server.run(read, write, server.create_initialization_options())


@contextmanager
def _prints_on_stderr() -> Iterator[None]:
    """Within the block, what the program prints goes to stderr.

    The SDK has stderr in the place of file descriptor 1 in the meantime. The text that waits in Python's
    buffer before and after would be written between the messages.
    """
    out = sys.stdout
    out.flush()
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        out.flush()


def _server(tools: Sequence[Any], name: str) -> Server[Any]:
    served = {tool.name: Served(tool) for tool in as_tools(_flat(tools), "serve()")}
    if not served:
        raise ConfigurationError("serve() needs at least one command, tool or function")

    async def list_tools(*_: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[each.listed for each in served.values()])

    async def call_tool(context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        if (found := served.get(params.name)) is None:
            return _failed(f"there is no tool {params.name!r}; the tools are {', '.join(served)}")
        return await found.call(params.arguments or {}, context)

    return Server(name, version=__version__, on_list_tools=list_tools, on_call_tool=call_tool)


def _flat(tools: Sequence[Any]) -> list[Any]:
    """The tools themselves, or those of lists among them."""
    return [each for given in tools for each in (given if isinstance(given, list | tuple) else [given])]


class Served:
    """One tool of the server, with the schema of what it returns."""

    def __init__(self, tool: Tool[..., Any]) -> None:
        self._tool = tool
        self._output = _output_of(tool)
        schema = None if self._output is None else self._output.schema
        self._checker = Draft202012Validator(schema or {}, registry=Registry())
        self.listed = types.Tool(
            name=tool.name,
            description=tool.description or None,
            input_schema=tool.signature.schema,
            output_schema=schema,
        )

    async def call(self, given: JsonObject, context: Any) -> types.CallToolResult:
        """The result of a call. What goes wrong is a result, too, which the model of the client reads."""
        try:
            arguments = self._tool.signature.read(json.dumps(given))
        except ArgumentsError as error:
            return _failed(f"bad arguments: {error}")
        try:
            return self._succeeded(await self._run(arguments, context))
        except Exception as error:  # whatever a tool raises is its result
            log.warning("the tool %r failed", self._tool.name, exc_info=error)
            return _failed(f"{type(error).__name__}: {error}")

    async def _run(self, arguments: dict[str, Any], context: Any) -> Any:
        progress = _Progress(context)
        with listen(progress.listener):
            if self._tool.is_async:
                value = await self._tool(**arguments)
            else:
                value = await self._run_in_thread(arguments)
        await progress.told()
        return value

    async def _run_in_thread(self, arguments: dict[str, Any]) -> Any:
        stop, context = Stop(), copy_context()
        context.run(stop_with, stop)
        try:
            return await in_thread(partial(context.run, partial(self._tool, **arguments)), "alloy-mcp-tool")
        finally:
            stop.set()  # the client has cancelled it

    def _succeeded(self, value: Any) -> types.CallToolResult:
        if parts := media_parts(value):
            if self._output is not None:
                raise ToolError("it returned an image or a document, which its annotation does not say")
            return types.CallToolResult(content=list(map(_content, parts)))
        text = dump(value)
        content: list[types.ContentBlock] = [types.TextContent(text=text)]
        if self._output is None:
            return types.CallToolResult(content=content)
        data = text if isinstance(value, str) else json.loads(text)
        structured = {"value": data} if self._output.wrapped else data
        # A client refuses what does not fit, with an error that its model cannot understand.
        if (problem := best_match(self._checker.iter_errors(structured))) is not None:
            raise ToolError(f"it returned what is not of its type: {problem.json_path}: {problem.message}")
        return types.CallToolResult(content=content, structured_content=structured)


class _Progress:
    """Tells the client how far a call is: a step for each reply of a model and each tool of a command."""

    def __init__(self, context: Any) -> None:
        self._session, self._loop = context.session, asyncio.get_running_loop()
        self._steps: list[Future[None]] = []

    def listener(self, event: Event) -> None:
        """Called in the thread of the call."""
        match event:
            case ReplyReceived(model=model):
                self._step(f"{model} has replied")
            case ToolFinished(result=result):
                self._step(f"the tool {result.name} has ended")

    def _step(self, message: str) -> None:
        report = self._session.report_progress(len(self._steps) + 1, None, message)
        self._steps.append(asyncio.run_coroutine_threadsafe(report, self._loop))

    async def told(self) -> None:
        """Wait until the client has been told: after the result it takes no progress."""
        told = await asyncio.gather(*map(asyncio.wrap_future, self._steps), return_exceptions=True)
        for error in filter(None, told):
            log.debug("the client gets no progress: %s", error)


def _content(part: str | Media) -> types.ContentBlock:
    if isinstance(part, str):
        return types.TextContent(text=part)
    if part.url is not None:
        return types.ResourceLink(name=part.name or part.kind, uri=part.url)
    if part.kind == "image":
        return types.ImageContent(data=part.base64, mime_type=part.media_type)
    name = quote(part.name or part.kind)
    blob = types.BlobResourceContents(uri=f"file:///{name}", blob=part.base64, mime_type=part.media_type)
    return types.EmbeddedResource(resource=blob)


def _output_of(tool: Tool[..., Any]) -> TypeSpec[Any] | None:
    """What *tool* returns; `None` if its annotation has no schema, as `str` has none."""
    try:
        annotation = get_type_hints(tool._function, include_extras=True).get(
            "return"
        )  # a command's is its output
        spec = None if annotation is None or _has_media(annotation) else compile_type(annotation)
    except Exception:  # noqa: BLE001 - then the text says it
        return None
    return None if spec is None or spec.schema is None else spec


def _has_media(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, Media):
        return True
    return any(map(_has_media, get_args(annotation)))


def _failed(text: str) -> types.CallToolResult:
    # The errors of tools may quote anything, and whoever calls is not asked who they are.
    text = Redactor(secrets_in(dict(os.environ)))(text)
    return types.CallToolResult(content=[types.TextContent(text=text)], is_error=True)
