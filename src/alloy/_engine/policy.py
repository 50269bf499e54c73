"""What is tried again, how long to wait before, and what the model is told when it is asked again."""

from __future__ import annotations

import random
from dataclasses import dataclass

from alloy.errors import AlloyError, AnswerError, ProviderError

__all__ = ["FEATURES", "FINALIZE", "TYPED_ANSWER", "Policy", "reask_text"]

FIRST_WAIT = 0.5  # seconds
LONGEST_WAIT = 30.0
# A provider that wants more patience than this gets none: the caller hears of it at once.
LONGEST_RETRY_AFTER = 60.0


# Native tools, native structured output, and both in one request.
FEATURES = frozenset({"tools", "output", "output_with_tools"})


@dataclass(frozen=True, slots=True)
class Policy:
    """How stubborn a call is; the fields are those of `Config`.

    *spoken* means that replies reach the caller as they come, so that no answer can be taken back.
    *stands_in* names the features that Alloy may stand in for when a model lacks them.
    """

    retry: int = 2
    retry_on: tuple[type[AlloyError], ...] | None = None
    reask: int = 1
    max_tool_turns: int = 10
    auto_finalize: bool = True
    spoken: bool = False
    stands_in: frozenset[str] = FEATURES

    def tries_again(self, error: AlloyError, failures: int) -> bool:
        """Whether to ask again after *error*, the *failures*th of this request."""
        if failures > self.retry:
            return False
        if isinstance(error, ProviderError):
            # What has been streamed has been said: a second try would say it twice.
            if error.text or (error.retry_after or 0) > LONGEST_RETRY_AFTER:
                return False
            if self.retry_on is None:
                return error.transient
        elif self.spoken:
            return False
        return self.retry_on is not None and isinstance(error, self.retry_on)

    def wait(self, error: AlloyError, failures: int) -> float:
        """Seconds to wait after the *failures*th failure: exponential, with full jitter.

        The jitter spreads clients that failed together (AWS Architecture Blog, "Exponential Backoff
        and Jitter"). A provider's own word is a minimum.
        """
        backoff = random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2 ** (failures - 1)))  # noqa: S311
        asked = error.retry_after if isinstance(error, ProviderError) else None
        return backoff if asked is None else asked + backoff / 10


def reask_text(error: AnswerError) -> str:
    """What the model reads when its answer did not fit."""
    problems = "\n".join(f"- {problem}" for problem in error.problems)
    return (
        f"That answer cannot be used. It must be: {error.expected}.\n{problems}\nGive the whole answer again."
    )


FINALIZE = "Give your final answer now, without calling tools."
TYPED_ANSWER = "Now give the answer itself, in the required form."
