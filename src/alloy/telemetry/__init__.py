"""Traces and metrics by OpenTelemetry, with the extra `otel`.

    import alloy.telemetry

    alloy.telemetry.instrument()

From then on each call of a command has a span, with a span for each model request and each tool inside it,
and the tokens and durations of requests are measured. The names are those of OpenTelemetry's conventions for
generative AI, in `alloy.telemetry.names`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alloy._engine.watching import set_watchers
from alloy.arguments import check_flag, names_checked
from alloy.errors import ConfigurationError
from alloy.extras import import_extra

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["instrument", "uninstrument"]


@names_checked
def instrument(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    content: bool = False,
) -> None:
    """Trace and measure every call of this process that is prepared from now on.

    Without providers, those that the program has set by OpenTelemetry's API are used. A second call replaces
    the first. With *content*, spans also hold prompts, answers, and what tools get and return: without known
    secrets, and each text cut after 16,384 characters.

    Raises `ConfigurationError` for a wrong argument, and when OpenTelemetry is not installed.
    """
    import_extra("opentelemetry.trace", "otel", "alloy.telemetry needs the package 'opentelemetry-api'")
    check_flag(content, "instrument(): content")
    _check_provider("tracer_provider", "TracerProvider", "get_tracer", tracer_provider)
    _check_provider("meter_provider", "MeterProvider", "get_meter", meter_provider)
    from alloy.telemetry.tracing import Telemetry

    set_watchers(Telemetry(tracer_provider, meter_provider, content=content).watch)


def uninstrument() -> None:
    """Trace and measure no further calls; those that run are traced to their end."""
    set_watchers()


def _check_provider(name: str, kind: str, method: str, given: Any) -> None:
    """Raise `ConfigurationError` unless *given* is an object with *method*, or `None`."""
    if given is not None and (isinstance(given, type) or not callable(getattr(given, method, None))):
        raise ConfigurationError(
            f"instrument(): {name} must be a {kind}, not {given!r:.80}: exporters and readers are given to "
            f"the {kind}, as OpenTelemetry describes"
        )
