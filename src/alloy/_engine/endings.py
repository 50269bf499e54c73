"""Whether an answer is whole, by how it ended."""

from __future__ import annotations

import re

from alloy._engine.fallbacks import Plan
from alloy._typed.json.extraction import is_prose
from alloy._typed.schemas.refs import nodes
from alloy.errors import UNFINISHED, BadReplyError
from alloy.excerpts import excerpt
from alloy.logger import log
from alloy.messages import Reply

__all__ = ["check_finish"]


def check_finish(reply: Reply, text: str, plan: Plan, expected: str, provider: str) -> None:
    """Raise the error for a *reply* that is not whole; *text* is that of the answer so far.

    When the provider's word for the end is unknown, calls are run, because the codec has seen that they are
    whole, and a typed answer is read, which fails unless it is whole. Nothing shows that a free text, a
    number without a wrapper or the beginning of a longer choice is whole: this is a `BadReplyError`, and not
    a transient one, because the next answer would end in the same way.
    """
    typed = plan.request.output is not None or plan.awaited is not None
    # Prose instead of a typed answer is no end of that: it shows that a schema was ignored.
    finish = "length" if _was_cut(reply, plan) and not (typed and is_prose(text)) else reply.finish
    if finish in UNFINISHED:
        kind, problem = UNFINISHED[finish]
        why = f": {reply.explanation}" if reply.explanation else ""
        raise kind(expected, (problem + why,), text)
    if finish != "other":
        return
    if not reply.calls and (not typed or _may_go_on(text, plan)):
        raise BadReplyError(
            f"the answer ended with {reply.explanation!r}, an unknown word, so it may not be complete: "
            f"{excerpt(reply.text, 200)}",
            provider=provider,
            code=reply.explanation,
            transient=False,
        )
    used = "calls are" if reply.calls else "typed answer is"
    log.warning(
        "%s: an answer ended with %r, an unknown word; its %s used", provider, reply.explanation, used
    )


# A number, which may have more digits, with the marks that some models put around it.
_NUMBER = re.compile(r"[*_`\s]*[-+]?\d[\d.,]*(?:[eE][-+]?\d*)?\Z")


def _may_go_on(text: str, plan: Plan) -> bool:
    """Whether *text*, a typed answer, may be the beginning of another valid one."""
    answer, output = text.strip(), plan.request.output or plan.awaited
    if _NUMBER.match(answer):
        return True
    every = () if output is None else nodes(output.schema, definitions=True)
    choices = [choice for node in every for choice in node.get("enum", ()) if isinstance(choice, str)]
    return any(choice != answer and choice.startswith(answer) for choice in choices)


def _was_cut(reply: Reply, plan: Plan) -> bool:
    """Whether only the number of tokens shows that *reply* was cut off: llama.cpp's Responses API is such."""
    limit = plan.request.max_tokens
    is_silent = reply.finish == "stop" and not reply.is_end_stated
    return is_silent and limit is not None and reply.usage.output_tokens >= limit
