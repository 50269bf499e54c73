"""The prompt for a model without tools: the format, the tools, and the turns so far as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from alloy._typed.schemas.notation import notation
from alloy.backends.fallback.prompted import after_last_words, answer_format
from alloy.backends.fallback.turn_form import DECISION
from alloy.backends.http.bodies import allowed_tools
from alloy.messages import OutputSchema, Reply, Request, ToolCall, ToolResults, ToolSchema, Turn, User

__all__ = ["NAME", "instructions", "rewritten", "with_format", "written"]


NAME = "react"  # of the echo: the part of the model's text that counts

# --- the instructions -----------------------------------------------------------------------------

_FORM = """\
You can use tools. The only way to call one is to write, each label at the start of a line:

{before_a_call}
Action: the name of one tool
Action Input: its arguments, as one JSON object

Stop there. You are then told the result, as "Observation: ...": never write one yourself. Call tools as \
often as you need to. When you know the answer, write:

{before_the_answer}
Final Answer: the answer"""

_THOUGHTS = {
    "before_a_call": "Thought: what you have to find out",
    "before_the_answer": "Thought: why you know",
}
_DECISIONS = {"before_a_call": f"{DECISION}no", "before_the_answer": f"{DECISION}yes"}

_ANSWER_NOW = """\
Answer now. Tools cannot be called any more. Write:

Final Answer: the answer"""


def instructions(request: Request, *, may_call: bool, decides: bool = False) -> str:
    """The part of the system prompt about the format and the tools.

    With *decides*, a turn begins with whether the answer is known, instead of a thought.
    """
    form = _FORM.format_map(_DECISIONS if decides else _THOUGHTS) if may_call else _ANSWER_NOW
    return "\n\n".join((form, *_sections(request, may_call=may_call)))


def _sections(request: Request, *, may_call: bool) -> Iterator[str]:
    if request.tools:
        yield "The tools, with the types of their arguments in TypeScript notation:"
        yield from map(_tool, allowed_tools(request))
    if may_call and request.tool_choice == "required":
        yield "Call at least one tool before you answer."
    elif may_call and request.tool_choice not in (None, "auto"):
        yield f"Call the tool {request.tool_choice} before you answer."
    if may_call and request.parallel_tools:
        yield "To call several tools at once, write several pairs of Action and Action Input."


def _tool(tool: ToolSchema) -> str:
    described = f": {tool.description}" if tool.description else ""
    return f"{tool.name}{described}\n{notation(tool.parameters)}"


# --- the turns so far -----------------------------------------------------------------------------


def with_format(messages: Sequence[Turn], output: OutputSchema | None) -> tuple[Turn, ...]:
    """*messages* with the format of the final answer after the user's last words."""
    if output is None:
        return tuple(messages)
    return after_last_words(messages, f"Write the text after Final Answer {answer_format(output)}")


def rewritten(messages: Sequence[Turn]) -> Iterator[Turn]:
    """*messages* as text; messages of the user in a row are joined.

    Many chat templates refuse two turns of the same role in a row.
    """
    waiting: User | None = None
    for message in messages:
        turn = _in_words(message)
        if isinstance(turn, User):
            waiting = turn if waiting is None else waiting.followed_by(turn)
        elif turn is not None:
            if waiting is not None:
                yield waiting
            waiting = None
            yield turn
    if waiting is not None:
        yield waiting


def _in_words(message: Turn) -> User | Reply | None:
    if isinstance(message, User):
        return message
    if isinstance(message, ToolResults):
        return User(_observations(message))
    if message.finish == "pause":
        return message
    if message.echo is not None and message.echo.by == NAME:
        text: str = message.echo.data
    elif message.calls:
        text = written(message.text, message.calls)
    else:
        text = f"Final Answer: {message.text}" if message.text.strip() else ""
    # Some providers refuse an empty turn.
    return Reply(text) if text.strip() else None


def _observations(message: ToolResults) -> str:
    results = message.results
    if len(results) == 1:
        return f"Observation: {results[0].content}"
    return "\n".join(
        f"Observation {nth} ({result.name}): {result.content}" for nth, result in enumerate(results, 1)
    )


def written(thought: str, calls: Sequence[ToolCall]) -> str:
    """*calls* of a model with native tools, in the format of ReAct."""
    lines = [f"Thought: {thought.strip()}"] if thought.strip() else []
    for call in calls:
        lines += [f"Action: {call.name}", f"Action Input: {call.arguments or '{}'}"]
    return "\n".join(lines)
