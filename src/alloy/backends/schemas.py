"""A request's schemas in the dialect of the backend that encodes it."""

from __future__ import annotations

from dataclasses import replace

from alloy._typed.schemas.dialects import Dialect, to_wire
from alloy.messages import OutputSchema, Request, ToolSchema

__all__ = ["in_dialect"]


def in_dialect(request: Request, dialect: Dialect) -> Request:
    """*request*, whose schemas are plain JSON Schema, with all of them converted to *dialect*.

    To be called once at the beginning of `encode`. The conversion of each schema is cached.
    """
    if not request.tools and request.output is None:
        return request
    tools = tuple(_tool(tool, dialect) for tool in request.tools)
    return replace(request, tools=tools, output=_output(request.output, dialect))


def _tool(tool: ToolSchema, dialect: Dialect) -> ToolSchema:
    wire = to_wire(tool.parameters, dialect)
    return ToolSchema(tool.name, tool.description, wire.schema, wire.strict)


def _output(output: OutputSchema | None, dialect: Dialect) -> OutputSchema | None:
    if output is None:
        return None
    wire = to_wire(output.schema, dialect)
    return OutputSchema(output.name, wire.schema, wire.strict, output.wrapped)
