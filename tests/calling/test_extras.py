"""What is said when the package of an extra is not installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

import alloy
import alloy.mcp
import alloy.telemetry
from alloy import ConfigurationError
from alloy.backends.base import import_sdk
from alloy.extras import import_extra
from alloy.maps.progress import Bar
from alloy.messages import RequestUsage, Usage
from alloy.prices import cost_of


@pytest.mark.parametrize(
    ("module", "use", "why", "extra"),
    [
        ("mcp", lambda: alloy.mcp.connect("server"), "alloy.mcp needs the package 'mcp'", "mcp"),
        ("mcp", lambda: alloy.mcp.app(len), "alloy.mcp needs the package 'mcp'", "mcp"),
        ("opentelemetry.trace", alloy.telemetry.instrument, "alloy.telemetry needs the package", "otel"),
        ("tqdm.auto", lambda: Bar("map", None), "progress=True shows a bar of another package", "progress"),
        (
            "genai_prices",
            lambda: cost_of([RequestUsage("openai:gpt-5.6", Usage())]),
            "the prices of models come from another package",
            "prices",
        ),
        ("openai", lambda: import_sdk("openai", extra="openai"), "this model needs the package", "openai"),
    ],
)
def test_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, module: str, use: Callable[[], Any], why: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError) as caught:
        use()
    assert why in str(caught.value)
    assert str(caught.value).endswith(f"pip install 'alloy-ai[{extra}]'")


def test_what_is_missing_inside_of_a_package_is_raised_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "half_extra_module.py").write_text("import no_such_module_of_an_extra")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_module_of_an_extra"):
        import_extra("half_extra_module", "half", "it is needed")
