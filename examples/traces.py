"""Trace calls with OpenTelemetry, and print the trace as a tree.

Needs the extra `otel` and `pip install opentelemetry-sdk`.

Expected outcome: the spans of one call, indented below each other. With ALLOY_BACKEND=fake it prints:

    invoke_agent can_deliver
      chat fake
      execute_tool stock
        invoke_agent stock
          chat fake
      chat fake
"""

from offline import offline
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import alloy.telemetry
from alloy import command
from alloy.testing import call


@command(output=int)
def stock(item: str) -> str:
    """How many pieces of an item are in stock."""
    return f"Guess how many of these a shop has in stock: {item}"


@command(output=bool, tools=[stock])
def can_deliver(order: str) -> str:
    return f"Use the tool to find out whether we can deliver: {order}"


def show(spans: list[ReadableSpan], parent: int | None = None, depth: int = 0) -> None:
    """Print the spans below *parent*, each with those below it."""
    for span in spans:
        if span.context and (span.parent.span_id if span.parent else None) == parent:
            print("  " * depth + span.name)
            show(spans, span.context.span_id, depth + 1)


def main() -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    alloy.telemetry.instrument(tracer_provider=provider)
    with offline(call("stock", item="anvil"), 3, True):
        can_deliver("2 anvils")
    show(sorted(exporter.get_finished_spans(), key=lambda span: span.start_time or 0))


if __name__ == "__main__":
    main()
