"""What is tried again, how long to wait before, and what the model is sent when it is asked again."""

from __future__ import annotations

import random
from dataclasses import dataclass

from alloy._engine.fallbacks import TEXTS
from alloy.errors import NOT_SENT, AlloyError, AnswerError, ProviderError, UnsupportedError
from alloy.quantities import LONGEST_WAIT

__all__ = ["FINALIZE", "TYPED_ANSWER", "Policy", "reask_text"]


@dataclass(frozen=True, slots=True)
class Policy:
    """How persistent a call is; the fields are those of `Config`.

    *streamed* means that replies reach the caller as they come, so that no text can be taken back.
    *fallbacks* names the features that Alloy may emulate when a model lacks them. *emits* says whether
    anybody listens to events; without listeners the frequent ones are not even created.
    """

    retry: int = 2
    retry_on: tuple[type[AlloyError], ...] | None = None
    fallback_on: tuple[type[AlloyError], ...] | None = None
    backoff: float = 0.5
    backoff_max: float = 30.0
    retry_after_max: float = 60.0
    retry_budget: int | None = None
    reask: int = 1
    max_tool_turns: int = 10
    auto_finalize: bool = True
    streamed: bool = False
    fallbacks: frozenset[str] = frozenset(TEXTS)
    emits: bool = False

    def tries_again(self, error: AlloyError, failures: int) -> bool:
        """Whether to ask again after *error*, the *failures*th of this request."""
        if failures > self.retry or isinstance(error, NOT_SENT):
            return False
        if isinstance(error, ProviderError):
            if error.text:  # it has reached the caller: a second try would repeat it
                return False
            if self.retry_on is None:
                return error.transient
        elif self.streamed:
            return False
        return self.retry_on is not None and isinstance(error, self.retry_on)

    def too_long(self, error: AlloyError) -> str:
        """Why *error* asks for a longer wait than a retry may have; empty if it does not."""
        asked = error.retry_after if isinstance(error, ProviderError) else None
        if asked is None or asked <= self.retry_after_max:
            return ""
        limit = f"retry_after_max is {self.retry_after_max:,.6g} s"
        return f"the server asked to wait {asked:,.6g} s, and {limit}"

    def gives_up(self, error: AlloyError) -> bool:
        """Whether the next route is tried after *error*, which another try along this one cannot help."""
        if not isinstance(error, ProviderError | AnswerError):
            return False
        if error.text and (self.streamed or isinstance(error, ProviderError)):
            return False
        wanted = (ProviderError,) if self.fallback_on is None else self.fallback_on
        return isinstance(error, (UnsupportedError, *wanted))

    def wait(self, error: AlloyError, failures: int) -> float:
        """Seconds to wait after the *failures*th failure: exponential, with full jitter.

        The jitter spreads clients that failed together (AWS Architecture Blog, "Exponential Backoff
        and Jitter"). The wait that a provider asked for is a minimum.
        """
        doubled = self.backoff * 2 ** min(failures - 1, 64)  # a float cannot hold 2 ** 1024
        backoff = random.uniform(0, min(self.backoff_max, doubled))  # noqa: S311
        asked = error.retry_after if isinstance(error, ProviderError) else None
        return backoff if asked is None else min(asked + backoff / 10, LONGEST_WAIT)


def reask_text(error: AnswerError) -> str:
    """What the model reads when its answer did not fit."""
    problems = "\n".join(f"- {problem}" for problem in error.problems)
    return (
        f"That answer cannot be used. It must be: {error.expected}.\n{problems}\nGive the whole answer again."
    )


FINALIZE = "Give your final answer now, without calling tools."
TYPED_ANSWER = "Now give the answer itself, in the required form."
