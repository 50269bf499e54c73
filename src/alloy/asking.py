"""`ask`: a command without a function."""

from __future__ import annotations

from inspect import iscoroutine
from typing import TYPE_CHECKING, Any, TypeVar, overload

from alloy.calls import CallOptions, prepared
from alloy.errors import CommandError, ConfigurationError
from alloy.jsontypes import JsonObject
from alloy.result import Result
from alloy.streams import AsyncStream, Stream

if TYPE_CHECKING:
    from typing_extensions import TypeForm, Unpack

    from alloy._engine.prepare import PreparedCall
    from alloy.options import AskOptions
    from alloy.parts import Prompt

__all__ = ["Ask", "ask"]

T = TypeVar("T")


class Ask:
    """The type of `ask`. Every way to call it takes the same arguments.

    - *prompt*: a `str`, or a list of `str`, `Image`, `Document` and `Message`.
    - *output*: the type of the answer, by default `str`.
    - *tools*: tools, commands and plain functions that the model may call.
    - *conversation*: a `Conversation` to continue.
    - *parser*: as in `@command`.
    - *context*: information for the answer: a `str`, or any value that can be written as JSON. It follows
      the prompt, after the line `Context:`.
    - every setting of `Config`.

    Raises the errors that a command raises.
    """

    @overload
    def __call__(self, prompt: Prompt, *, output: TypeForm[T], **options: Unpack[AskOptions]) -> T: ...
    @overload
    def __call__(self, prompt: Prompt, **options: Unpack[AskOptions]) -> str: ...
    def __call__(self, prompt: Prompt, **options: Any) -> Any:
        """Ask, and return the answer, which has the declared type."""
        return self.run(prompt, **options).value

    @overload
    def run(self, prompt: Prompt, *, output: TypeForm[T], **options: Unpack[AskOptions]) -> Result[T]: ...
    @overload
    def run(self, prompt: Prompt, **options: Unpack[AskOptions]) -> Result[str]: ...
    def run(self, prompt: Prompt, **options: Any) -> Result[Any]:
        """Ask, and return a `Result`: the value, with everything that the call did."""
        from alloy._engine.runtime.drivers import run

        return run(_prepared(prompt, options))

    @overload
    async def async_(self, prompt: Prompt, *, output: TypeForm[T], **options: Unpack[AskOptions]) -> T: ...
    @overload
    async def async_(self, prompt: Prompt, **options: Unpack[AskOptions]) -> str: ...
    async def async_(self, prompt: Prompt, **options: Any) -> Any:
        """As a call of `ask`, in the running event loop."""
        return (await self.run_async(prompt, **options)).value

    @overload
    async def run_async(
        self, prompt: Prompt, *, output: TypeForm[T], **options: Unpack[AskOptions]
    ) -> Result[T]: ...
    @overload
    async def run_async(self, prompt: Prompt, **options: Unpack[AskOptions]) -> Result[str]: ...
    async def run_async(self, prompt: Prompt, **options: Any) -> Result[Any]:
        """As `run`, in the running event loop."""
        from alloy._engine.runtime.drivers import run_async

        return await run_async(_prepared(prompt, options))

    @overload
    def stream(self, prompt: Prompt, *, output: TypeForm[T], **options: Unpack[AskOptions]) -> Stream[T]: ...
    @overload
    def stream(self, prompt: Prompt, **options: Unpack[AskOptions]) -> Stream[str]: ...
    def stream(self, prompt: Prompt, **options: Any) -> Stream[Any]:
        """Ask when it is iterated, and give the text of the answer as it arrives."""
        return Stream(_prepared(prompt, options, streamed=True))

    @overload
    def stream_async(
        self, prompt: Prompt, *, output: TypeForm[T], **options: Unpack[AskOptions]
    ) -> AsyncStream[T]: ...
    @overload
    def stream_async(self, prompt: Prompt, **options: Unpack[AskOptions]) -> AsyncStream[str]: ...
    def stream_async(self, prompt: Prompt, **options: Any) -> AsyncStream[Any]:
        """As `stream`, for `async for` in the running event loop."""
        return AsyncStream(_prepared(prompt, options, streamed=True))

    def request(
        self, prompt: Prompt, *, output: TypeForm[Any] = str, **options: Unpack[AskOptions]
    ) -> JsonObject:
        """The body of the first request, exactly as the provider would receive it; nothing is sent."""
        from alloy._engine.runtime.sync_io import first_body

        return first_body(_prepared(prompt, {"output": output, **options}))

    def __repr__(self) -> str:
        return "<alloy.ask>"

    def __reduce__(self) -> str:
        return "ask"


ask = Ask()


def _prepared(prompt: object, options: dict[str, Any], *, streamed: bool = False) -> PreparedCall[Any]:
    context = options.pop("context", None)
    chosen = CallOptions().changed(options, "ask()", also=("context",))
    return prepared(_with_context(prompt, context), chosen, "ask()", streamed=streamed)


def _with_context(prompt: object, context: object) -> object:
    if not isinstance(prompt, str | list | tuple):
        if iscoroutine(prompt):
            prompt.close()
        raise CommandError(
            "ask() takes its prompt as str, or as a list of str, Image, Document, Message and CachePoint, "
            f"not {type(prompt).__name__}: {prompt!r:.80}"
        )
    if context is None:
        return prompt
    from alloy._typed.answers.parse import dump

    try:
        shown = f"Context:\n{dump(context, as_text=False)}"
    except ValueError as error:
        raise ConfigurationError(
            f"ask(): context must be a str or a value that can be written as JSON, not {context!r:.80}: "
            f"write it as text ({error})"
        ) from error
    return f"{prompt}\n\n{shown}" if isinstance(prompt, str) else [*prompt, shown]
