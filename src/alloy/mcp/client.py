"""A connection to an MCP server, and its tools."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError
from mcp_types import ToolListChangedNotification

from alloy._engine.ledger import current_ledger
from alloy._engine.runtime.background_loop import BackgroundLoop
from alloy.addresses import address_problem
from alloy.backends.http.redaction import Redactor, clean
from alloy.endpoints import secret_values, secrets_in, secrets_in_url, without_credentials
from alloy.errors import AlloyError, ConfigurationError, McpError, ToolError
from alloy.excerpts import printable
from alloy.logger import log
from alloy.mcp.tools import McpTool, Returned, mcp_tools, returned, text_of
from alloy.quantities import checked, seconds

__all__ = ["McpServer"]

T = TypeVar("T")

LAST_WORDS = 2_000  # characters of a server's stderr that an error shows
LEAVING = 5.0  # seconds that a server gets to end


class McpServer:
    """An MCP server: `tools` within a `with` or `async with` block.

    The connection lives in an event loop and a thread of its own, so that sync and async commands, and
    commands in tools, can use it at the same time without waiting for each other. A task there, `_hold`, has
    the connection from the beginning to the end of the block; calls are made by further tasks of that loop.
    """

    def __init__(
        self,
        target: str | Sequence[str],
        *,
        env: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        timeout: float,
        prefix: str,
    ) -> None:
        self._command = _command(target)
        self._url = None if self._command else str(target)
        if (env and self._url) or (headers and self._command):
            raise ConfigurationError("connect(): env= is for a command, and headers= is for an address")
        checked("connect()", "timeout", timeout, seconds(above=True))
        if not isinstance(prefix, str):
            raise ConfigurationError(f"connect(): prefix must be a str, not {prefix!r:.80}")
        _check_texts("env", env)
        _check_texts("headers", headers)
        self._env, self._headers, self._timeout, self._prefix = env, headers, timeout, prefix
        self._redact = Redactor(
            [*secrets_in(env or {}), *secret_values((headers or {}).items()), *secrets_in_url(self._url)]
        )
        self._loop: BackgroundLoop | None = None
        self._process = 0  # the id of the process that has connected
        self._client: Client | None = None
        self._tools: tuple[McpTool, ...] = ()
        self._errors: Any = None  # the stderr of a process
        self._words = ""  # the end of it

    @property
    def name(self) -> str:
        """The first two words of the command, as others may be secret, or the address without a password."""
        if not self._command:
            return without_credentials(self._url or "")
        program, *others = self._command
        return " ".join([os.path.basename(program), *others[:1]])

    @property
    def tools(self) -> list[McpTool]:
        """The server's tools, for `tools=`. Raises `McpError` if not connected.

        The list follows the server's changes, if it says that there are some; `refresh` looks again.
        """
        self._connected()
        return list(self._tools)

    def refresh(self) -> list[McpTool]:
        """Ask the server again for its tools, and return them. Raises `McpError`."""
        return list(self._start(self._relist()).result())

    async def refresh_async(self) -> list[McpTool]:
        """As `refresh`."""
        return list(await asyncio.wrap_future(self._start(self._relist())))

    # --- the block ----------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        ready = self._begin()
        try:
            ready.result()
        except BaseException:  # KeyboardInterrupt, too
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    async def __aenter__(self) -> Self:
        ready = self._begin()
        try:
            await asyncio.wrap_future(ready)
        except BaseException:
            await asyncio.to_thread(self._end)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._end)

    def _begin(self) -> Future[None]:
        if self._loop is not None and not self._is_forked():
            raise ConfigurationError("this MCP server is connected already: call connect() for another one")
        self._process, self._client = os.getpid(), None
        self._leave, self._changed, self._ended = asyncio.Event(), asyncio.Event(), threading.Event()
        self._loop = BackgroundLoop("alloy-mcp")
        ready: Future[None] = Future()
        self._loop.loop.call_soon_threadsafe(self._hold_in_task, ready)
        return ready

    def _hold_in_task(self, ready: Future[None]) -> None:
        self._holding = asyncio.create_task(self._hold(ready))
        ended = self._ended
        self._holding.add_done_callback(lambda _: ended.set())  # also if it was cancelled before it began

    def _end(self) -> None:
        if (loop := self._loop) is None:
            return
        if not self._is_forked():
            with suppress(RuntimeError):  # the loop has ended
                loop.loop.call_soon_threadsafe(self._stop_holding)
            self._ended.wait(LEAVING)
            loop.close()
        self._loop = self._client = None

    def _stop_holding(self) -> None:
        if self._client is None:
            self._holding.cancel()  # it may still be connecting
        self._leave.set()

    def _is_forked(self) -> bool:
        """Whether the connection is that of a parent process, whose thread does not run in this one."""
        return self._process != os.getpid()

    async def _hold(self, ready: Future[None]) -> None:
        """Hold the connection until the block ends."""
        try:
            async with self._connection() as client:
                self._client = client
                self._tools = await self._list()
                ready.set_result(None)
                following = asyncio.create_task(self._follow(client))
                try:
                    await self._leave.wait()
                finally:
                    following.cancel()
                    await asyncio.gather(following, return_exceptions=True)
        except BaseException as error:
            if not ready.cancelled() and not ready.done():
                ready.set_exception(self._explained(error, "cannot be reached"))
            if not isinstance(error, Exception):
                raise
        finally:
            self._client = None

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Client]:
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(self._timeout):
                client = await stack.enter_async_context(
                    Client(self._transport(stack), message_handler=self._hear)
                )
            yield client

    def _transport(self, stack: AsyncExitStack) -> Any:
        if not self._command:
            return streamable_http_client(self._url or "", http_client=self._http_client(stack))
        file = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed below
        self._errors = stack.enter_context(file)
        stack.callback(self._last_words)
        command, *arguments = self._command
        process = StdioServerParameters(command=command, args=arguments, env=dict(self._env or {}))
        return stdio_client(process, errlog=self._errors)

    def _http_client(self, stack: AsyncExitStack) -> Any:
        if not self._headers:
            return None
        import httpx2

        client = httpx2.AsyncClient(headers=dict(self._headers), timeout=httpx2.Timeout(30, read=300))
        stack.push_async_callback(client.aclose)
        return client

    # --- requests -----------------------------------------------------------------------------------

    def _connected(self) -> Client:
        if self._loop is not None and self._is_forked():
            raise McpError(
                f"the MCP server {self.name} is connected to the parent of this process: "
                "call connect() in the process that uses it"
            )
        if self._client is None:
            ended = self._loop is not None
            reason = "has left" if ended else "is not connected: use it in a `with` block"
            raise McpError(f"the MCP server {self.name} {reason}{self._last_words() if ended else ''}")
        return self._client

    def _start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        try:
            self._connected()
        except McpError:
            work.close()
            raise
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop.loop)

    async def _hear(self, message: object) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._changed.set()

    async def _follow(self, client: Client) -> None:
        """List the tools again whenever the server says that they have changed."""
        tools = client.server_capabilities.tools
        if tools is None or not tools.list_changed:
            return
        try:
            async with client.listen(tools_list_changed=True) as changes:
                await self._relist_or_log()  # they may have changed before the server knew that we listen
                async for _ in changes:
                    await self._relist_or_log()
        except ListenNotSupportedError:  # a protocol before 2026-07-28 sends the news without being asked
            while await self._changed.wait():
                self._changed.clear()
                await self._relist_or_log()
        except Exception as error:  # noqa: BLE001 - whatever the SDK raises when the server does not follow
            log.warning("%s", self._explained(error, "no longer reports changes of its tools"))

    async def _relist_or_log(self) -> None:
        try:
            await self._relist()
        except AlloyError as error:
            log.warning("%s", error)

    async def _relist(self) -> tuple[McpTool, ...]:
        try:
            tools = self._tools = await self._list()
        except Exception as error:
            raise self._explained(error, "does not list its tools") from error
        return tools

    async def _list(self) -> tuple[McpTool, ...]:
        found: list[Any] = []
        cursor: str | None = None
        async with asyncio.timeout(self._timeout):
            while True:
                page = await self._connected().list_tools(cursor=cursor, cache_mode="refresh")
                found += page.tools
                if (cursor := page.next_cursor) is None:
                    return mcp_tools(found, self._prefix, self.call)

    async def call(self, name: str, arguments: dict[str, Any]) -> Returned:
        """The result of the tool *name*: text, or a list of texts, images and documents.

        Raises `ToolError` with the text of a result that is an error, and `McpError` when the server has left
        or refuses the call. A cancelled call tells the server so.
        """
        ledger = current_ledger()

        async def report(progress: float, total: float | None, message: str | None) -> None:
            if ledger is not None:
                ledger.report(progress, total, message or "")

        async def ask() -> Any:
            try:
                return await self._connected().call_tool(name, arguments, progress_callback=report)
            except Exception as error:
                raise self._explained(error, f"refused the tool {name!r}") from error

        result = await asyncio.wrap_future(self._start(ask()))
        if result.is_error:
            raise ToolError(self._redact(text_of(result)) or "the tool failed", tool=name)
        return returned(result)

    # --- errors -------------------------------------------------------------------------------------

    def _explained(self, error: BaseException, what: str) -> AlloyError:
        """*error* as an Alloy error that names the server and has its last words."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, AlloyError):
            return error
        reason = str(error) or type(error).__name__
        if isinstance(error, TimeoutError):
            reason = f"it did not answer within {self._timeout:g} seconds"
        if isinstance(error, OSError) and self._command and self._command[0].endswith(".py"):
            reason += f": start a Python file with [sys.executable, {self._command[0]!r}]"
        reason = self._redact(printable(reason))
        problem = McpError(f"the MCP server {self.name} {what}: {reason}{self._last_words()}")
        clean(error, self._redact)
        problem.__cause__ = error
        return problem

    def _last_words(self) -> str:
        """The end of what the process wrote to its stderr."""
        with suppress(ValueError, AttributeError, OSError):  # an address, or a file that is closed
            self._errors.seek(0)
            self._words = self._errors.read()[-LAST_WORDS:].strip()
        return f"; it wrote: {self._redact(printable(self._words.splitlines()[-1]))}" if self._words else ""

    def __repr__(self) -> str:
        return f"<MCP server {self.name}{'' if self._client is not None else ', not connected'}>"


def _check_texts(name: str, given: Any) -> None:
    """Raise `ConfigurationError` unless *given* is a dict of str, or `None`; values may be secret."""
    if given is not None and not isinstance(given, Mapping):
        raise ConfigurationError(f"connect(): {name} must be a dict of str, not {type(given).__name__}")
    for key, value in (given or {}).items():
        for each, what in ((key, "a name"), (value, f"the value of {key!r:.80}")):
            if not isinstance(each, str):
                raise ConfigurationError(
                    f"connect(): {name} must be a dict of str, and {what} is of type {type(each).__name__}"
                )


def _command(target: Any) -> tuple[str, ...]:
    """The words of a command; none for an address."""
    if isinstance(target, str):
        if target.lower().startswith(("http://", "https://")):
            if (problem := address_problem(target)) is not None:
                shown = without_credentials(target)
                raise ConfigurationError(f"connect(): {shown!r} is not an address, because {problem}")
            return ()
        try:
            words = tuple(shlex.split(target, posix=sys.platform != "win32"))
        except ValueError as error:
            raise ConfigurationError(
                f"connect(): the command {target!r:.200} cannot be read: {error}"
            ) from None
    elif isinstance(target, Sequence) and all(isinstance(word, str) for word in target):
        words = tuple(target)
    else:
        words = ()
    if not words or not words[0].strip():
        raise ConfigurationError(
            'connect() takes a command, such as "uvx mcp-server-time" or a list of its words, or an http(s) '
            f"address, not {target!r:.80}"
        )
    return words
