"""Which calls the `tool_choice` of a request lets the model make; not every server enforces it."""

from __future__ import annotations

from collections.abc import Sequence

from alloy.errors import ParseError
from alloy.messages import Request, ToolCall, ToolResult

__all__ = ["calls_chosen_tool", "check_called", "forced_tool", "refusal"]


def forced_tool(request: Request) -> str | None:
    """What *request* requires of its reply: `"required"`, or the name of a tool."""
    choice = request.tool_choice
    return None if choice in (None, "auto", "none") or not request.tools else choice


def calls_chosen_tool(request: Request, calls: Sequence[ToolCall]) -> bool:
    """Whether one of *calls* is a call that *request* forces."""
    choice, allowed = forced_tool(request), request.allowed_tools
    if choice == "required":
        return any(
            call.name == tool.name and (allowed is None or tool.name in allowed)
            for call in calls
            for tool in request.tools
        )
    return any(call.name == choice for call in calls)


def refusal(request: Request, call: ToolCall) -> ToolResult | None:
    """The result of a *call* that *request* does not let the model make, which is not run."""
    forced, is_known = forced_tool(request), any(tool.name == call.name for tool in request.tools)
    if request.tool_choice == "none":
        names = "none"
    elif is_known and forced not in (None, "required", call.name):
        names = str(forced)
    else:
        return None
    problem = f"the tool {call.name!r} may not be called now; the tools are: {names}"
    return ToolResult(call, f"Error: {problem}", error=problem)


def check_called(request: Request, expected: str, text: str) -> None:
    """Raise `ParseError` for the answer *text* when *request* requires that a tool is called first."""
    if (choice := forced_tool(request)) is not None:
        wanted = "a tool" if choice == "required" else f"the tool {choice}"
        problem = f"{wanted} has to be called first"
        raise ParseError(f"a call of {wanted}, and then {expected}", (problem,), text)
