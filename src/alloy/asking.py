"""`ask`: a command without a function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alloy.commands import OWN_OPTIONS
from alloy.config import check_settings, current
from alloy.prompts import check_prompt
from alloy.result import AsyncStream, Result, Stream
from alloy.tools import as_tools

if TYPE_CHECKING:
    from alloy.engine.job import Job

__all__ = ["Ask", "ask"]


class Ask:
    """The type of `ask`. Every way to call it takes the same arguments.

    - *prompt*: what to ask, a `str`.
    - *output*: the answer's type, `str` when not given.
    - *tools*: what the model may call.
    - *context*: what the answer should rest on: a `str`, or any value that can be written as JSON. It
      follows the prompt under a heading of its own.
    - every setting of `Config`.

    Raises what a command raises.
    """

    def __call__(self, prompt: str, **options: Any) -> Any:
        """Ask, and give the answer."""
        return self.run(prompt, **options).value

    def run(self, prompt: str, **options: Any) -> Result[Any]:
        """Ask, and give the value with all that the call did."""
        from alloy.engine.drivers import run

        return run(_job(prompt, options))

    async def async_(self, prompt: str, **options: Any) -> Any:
        """As calling it, in the running event loop."""
        return (await self.run_async(prompt, **options)).value

    async def run_async(self, prompt: str, **options: Any) -> Result[Any]:
        """As `run`, in the running event loop."""
        from alloy.engine.drivers import run_async

        return await run_async(_job(prompt, options))

    def stream(self, prompt: str, **options: Any) -> Stream[Any]:
        """Ask when iterated, and give the answer's text as it comes."""
        from alloy.engine.drivers import stream

        return Stream(stream(_job(prompt, options, spoken=True)))

    def stream_async(self, prompt: str, **options: Any) -> AsyncStream[Any]:
        """As `stream`, for `async for` in the running event loop."""
        from alloy.engine.drivers import stream_async

        return AsyncStream(stream_async(_job(prompt, options, spoken=True)))

    def request(self, prompt: str, **options: Any) -> dict[str, Any]:
        """The body of the first request, exactly as the provider would get it; nothing is sent."""
        job = _job(prompt, options)
        return job.backend.encode(job.question.request)

    def __repr__(self) -> str:
        return "<alloy.ask>"


ask = Ask()

OPTIONS = (*OWN_OPTIONS, "context")


def _job(prompt: object, options: dict[str, Any], *, spoken: bool = False) -> Job[Any]:
    from alloy.engine.job import prepare

    settings = {name: value for name, value in options.items() if name not in OPTIONS}
    return prepare(
        _with_context(check_prompt(prompt, "ask()"), options.get("context")),
        output=options.get("output", str),
        tools=as_tools(options.get("tools", ()), "ask()"),
        settings=current(check_settings(settings, "ask()", OPTIONS)),
        spoken=spoken,
    )


def _with_context(prompt: str, context: object) -> str:
    if context is None:
        return prompt
    from alloy.typed.parse import dump

    return f"{prompt}\n\nContext:\n{dump(context)}"
