"""What decides the answers of a command, each part by its digest: a checkpoint is for one such identity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alloy._typed.types.compile import TypeSpec, compile_type
from alloy.calls import CallOptions
from alloy.config import current
from alloy.maps.fingerprints import digest, function_digest
from alloy.settings import PER_MODEL, SENT, Config, ModelEntry

__all__ = ["compiled", "identity_of"]

# Settings that decide an answer, next to those that are sent. Addresses and keys do not.
_OTHERS = ("backend", "system", "output_mode", "tool_mode", "extra")
_DEFAULTS = Config()
_OF_MODELS = frozenset(PER_MODEL) - {"base_url", "api_key", "headers", "http_client", "transport"}


def compiled(options: CallOptions) -> TypeSpec[Any]:
    """The type of the answers."""
    return compile_type(options.output, parser=options.parser)


def identity_of(function: Any, options: CallOptions) -> dict[str, str]:
    """The digests of a command whose output is resolved, by what they are digests of, in plain words."""
    spec = compiled(options)
    tools = [
        (name, tool.signature.description, tool.signature.schema, function_digest(tool.__wrapped__))
        for name, tool in sorted({tool.name: tool for tool in options.tools}.items())
    ]
    settings = current(options.settings)
    parts = {
        "the prompt function": function_digest(function),
        "output": digest((spec.expected, spec.schema), "output"),
        "model": digest(_models(settings.model), "model"),
    }
    if options.parser is not None:
        parts["parser"] = function_digest(options.parser)
    if tools:
        parts["tools"] = digest(tools, "tools")
    for name in (*SENT, *_OTHERS):
        value = getattr(settings, name)
        if value != getattr(_DEFAULTS, name):
            parts[name] = digest(_plain(value), name)
    return parts


def _models(models: Any) -> Any:
    if isinstance(models, tuple):
        return [_models(each) for each in models]
    if isinstance(models, ModelEntry):
        return {name: _plain(models[name]) for name in sorted(models) if name in _OF_MODELS}
    return models


def _plain(value: Any) -> Any:
    """*value* with the dicts in it sorted."""
    if isinstance(value, Mapping):
        return {name: _plain(value[name]) for name in sorted(value)}
    return list(value) if isinstance(value, tuple) else value
