"""The same work twice: by the plain SDK, as its documentation shows, and by Alloy."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

PROMPT = "Extract the invoice: ACME, 3 anvils, freight, rope. Total 92.50."
MODEL = "gpt-5.6"
SCHEMA = {
    "type": "object",
    "properties": {
        "vendor": {"type": "string"},
        "total": {"type": "number"},
        "lines": {"type": "array", "items": {"type": "string"}},
        "paid": {"type": "boolean"},
    },
    "required": ["vendor", "total", "lines", "paid"],
    "additionalProperties": False,
}
FORMAT = {"format": {"type": "json_schema", "name": "Invoice", "schema": SCHEMA, "strict": True}}
TOOL = {
    "type": "function",
    "name": "rate",
    "description": "A rate.",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"currency": {"type": "string"}, "amount": {"type": "number"}},
        "required": ["currency", "amount"],
        "additionalProperties": False,
    },
}


@dataclass
class Invoice:
    vendor: str
    total: float
    lines: list[str]
    paid: bool


Scenario = Callable[[], object]


def plain(url: str) -> dict[str, Scenario]:
    """Each scenario by `client.responses`, with pydantic for the value."""
    from openai import OpenAI
    from pydantic import TypeAdapter

    client = OpenAI(api_key="sk-none", base_url=url, max_retries=0)
    invoice = TypeAdapter(Invoice)

    def create(items: Any, **options: Any) -> Any:
        return client.responses.create(model=MODEL, input=items, store=False, **options)

    def typed() -> Invoice:
        response = create([{"role": "user", "content": PROMPT}], text=FORMAT)
        return invoice.validate_json(response.output_text)

    def loop(turns: int) -> Invoice:
        items: list[Any] = [{"role": "user", "content": f"{PROMPT} turns={turns}"}]
        while True:
            response = create(items, text=FORMAT, tools=[TOOL])
            calls = [item for item in response.output if item.type == "function_call"]
            if not calls:
                return invoice.validate_json(response.output_text)
            items += response.output
            for call in calls:
                value = rate(**json.loads(call.arguments))
                said = {"type": "function_call_output", "call_id": call.call_id, "output": str(value)}
                items.append(said)

    def stream() -> int:
        events = create([{"role": "user", "content": PROMPT}], stream=True)
        return sum(len(event.delta) for event in events if event.type == "response.output_text.delta")

    return {"typed": typed, "tool": lambda: loop(1), "tools": lambda: loop(50), "stream": stream}


def alloy(url: str) -> dict[str, Scenario]:
    """Each scenario by Alloy."""
    from alloy import command, configure, tool

    configure(model=f"openai:{MODEL}", base_url=url, api_key="sk-none", max_tool_turns=100)

    @command(output=Invoice)
    def read() -> str:
        return PROMPT

    @command(output=Invoice, tools=[tool(rate)])
    def convert(turns: int) -> str:
        return f"{PROMPT} turns={turns}"

    @command
    def tell() -> str:
        return PROMPT

    def stream() -> int:
        return sum(len(piece) for piece in tell.stream())

    return {"typed": read, "tool": lambda: convert(1), "tools": lambda: convert(50), "stream": stream}


def rate(currency: str, amount: float) -> float:
    """A rate."""
    return amount * 0.92


SIDES = {"plain": plain, "alloy": alloy}
