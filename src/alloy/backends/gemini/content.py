"""Google Gemini: `generateContent`, stateless, for the Developer API and Google Cloud's platform.

Bodies are those of the REST API (https://ai.google.dev/api/generate-content), with the model beside
them; `gemini_door` sends them through Google's SDK. What models can do stands in one table,
`CAPABILITIES`; what comes back is read by `gemini_replies`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from alloy.backends.base import Capabilities
from alloy.backends.gemini.address import GeminiHttpBackend
from alloy.backends.gemini.dialect import DIALECT
from alloy.backends.gemini.errors import NAME
from alloy.backends.gemini.replies import ContentAccumulator, read_content
from alloy.backends.http.bodies import merge
from alloy.backends.http.payload import parse_json
from alloy.backends.schemas import in_dialect
from alloy.errors import ConfigurationError
from alloy.media import Media
from alloy.messages import Reply, Request, ToolCall, ToolResult, ToolResults, ToolSchema, User

__all__ = ["CAPABILITIES", "GeminiBackend", "GeminiCapabilities"]


# --- what models can do -------------------------------------------------------------------------------

# https://ai.google.dev/gemini-api/docs/openai#thinking, Google's own reading of the words
_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576}
_LEVELS = {
    "none": "LOW",
    "minimal": "LOW",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "XHIGH",
}

_SAMPLING = frozenset({"temperature", "top_p"})
_REFUSES = frozenset({"parallel_tools"})
_NO_THOUGHT = frozenset({"reasoning_effort"})


@dataclass(frozen=True, slots=True)
class GeminiCapabilities(Capabilities):
    """*efforts* is each `reasoning_effort` as a thinking level (a str) or budget (an int).

    *signed* says that the model wants function calls of the history with a thought signature, *system*
    that it takes a system instruction.
    """

    refuses: frozenset[str] = _REFUSES
    efforts: Mapping[str, str | int] = field(default_factory=dict)
    signed: bool = False
    system: bool = True


# The first pattern that fits the last part of the model's name counts. Facts are Google's, as
# PROVIDERS.md of 2026-11 has them; addresses (`urls`) are fetched from Gemini 2.5 on.
CAPABILITIES: tuple[tuple[str, GeminiCapabilities], ...] = (
    (
        "gemma-[123]*",
        GeminiCapabilities(
            tools=False, structured_output=False, documents=False, urls=False, drops=_NO_THOUGHT, system=False
        ),
    ),
    ("gemma-*", GeminiCapabilities(output_with_tools=False, urls=False, drops=_NO_THOUGHT)),
    ("gemini-1.*", GeminiCapabilities(output_with_tools=False, urls=False, drops=_NO_THOUGHT)),
    ("gemini-2.0*", GeminiCapabilities(output_with_tools=False, urls=False, drops=_NO_THOUGHT)),
    # 2.5 Pro cannot do without any thought
    ("gemini-2.5-pro*", GeminiCapabilities(output_with_tools=False, efforts={**_BUDGETS, "none": 128})),
    ("gemini-2*", GeminiCapabilities(output_with_tools=False, efforts=_BUDGETS)),
    # newer Flash models refuse MINIMAL
    (
        "gemini-3-flash*",
        GeminiCapabilities(
            drops=_SAMPLING, efforts={**_LEVELS, "none": "MINIMAL", "minimal": "MINIMAL"}, signed=True
        ),
    ),
    ("gemini-*", GeminiCapabilities(drops=_SAMPLING, efforts=_LEVELS, signed=True)),
    ("*", GeminiCapabilities(efforts=_LEVELS)),  # tuned models and endpoints, whose names tell nothing
)


@lru_cache(maxsize=256)
def _capabilities(model: str) -> GeminiCapabilities:
    name = model.rpartition("/")[2].lower()
    return next(can for pattern, can in CAPABILITIES if fnmatchcase(name, pattern))


class GeminiBackend(GeminiHttpBackend):
    """Gemini by an API key, or on Google Cloud by the SDK's own environment variables."""

    dialect = DIALECT

    def capabilities(self, model: str) -> GeminiCapabilities:
        """What `CAPABILITIES` says of *model*, whose name may be a path of Google Cloud's."""
        return _capabilities(model)

    def encode(self, request: Request) -> dict[str, Any]:
        """The body of `POST …:generateContent`, and beside it the model.

        Raises `ConfigurationError` for a `reasoning_effort` that Gemini has no word for. Caching is
        Gemini's own affair from 2.5 on, so `prompt_caching` has nothing to say.
        """
        request = in_dialect(request, self.dialect)
        can = _capabilities(request.model)
        body: dict[str, Any] = {"model": request.model, "contents": list(_contents(request, can))}
        if request.system is not None and can.system:
            body["systemInstruction"] = {"parts": [{"text": request.system}]}
        if request.tools:
            body["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in request.tools]}]
            if calling := _calling(request):
                body["toolConfig"] = {"functionCallingConfig": calling}
        if generation := _generation(request, can):
            body["generationConfig"] = generation
        return merge(body, request.extra)

    def decode(self, raw: Any) -> Reply:
        """The reply in a whole answer. Raises `BadReplyError`, or what a failed generation calls for."""
        return read_content(raw)

    def accumulator(self) -> ContentAccumulator:
        """A fresh accumulator for one stream."""
        return ContentAccumulator()


# --- settings -----------------------------------------------------------------------------------------


def _generation(request: Request, can: GeminiCapabilities) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if request.temperature is not None:
        config["temperature"] = request.temperature
    if request.top_p is not None:
        config["topP"] = request.top_p
    if request.seed is not None:
        config["seed"] = request.seed
    if request.stop is not None:
        config["stopSequences"] = list(request.stop)
    if request.max_tokens is not None:
        config["maxOutputTokens"] = request.max_tokens
    if request.reasoning_effort is not None:
        config["thinkingConfig"] = _thinking(request.reasoning_effort, request.model, can)
    if request.output is not None:
        config["responseMimeType"] = "application/json"
        config["responseJsonSchema"] = request.output.schema
    return config


def _thinking(effort: str, model: str, can: GeminiCapabilities) -> dict[str, Any]:
    found = can.efforts.get(effort)
    if found is None:
        words = ", ".join(can.efforts) or "nothing"
        raise ConfigurationError(f"gemini:{model} knows reasoning_effort as {words}, not {effort!r}")
    return {"thinkingLevel": found} if isinstance(found, str) else {"thinkingBudget": found}


def _calling(request: Request) -> dict[str, Any] | None:
    """The mode of function calling: https://ai.google.dev/gemini-api/docs/function-calling#mode."""
    names = {} if request.allowed_tools is None else {"allowedFunctionNames": list(request.allowed_tools)}
    match request.tool_choice:
        case None | "auto" if names:
            return {"mode": "VALIDATED", **names}  # AUTO that keeps to the declarations; AUTO takes no names
        case None:
            return None
        case "auto":
            return {"mode": "AUTO"}
        case "none":
            return {"mode": "NONE"}
        case "required":
            return {"mode": "ANY", **names}
        case name:
            return {"mode": "ANY", "allowedFunctionNames": [name]}


def _declaration(tool: ToolSchema) -> dict[str, Any]:
    declared: dict[str, Any] = {"name": tool.name, "description": tool.description or tool.name}
    # An object without properties is refused; a function without parameters declares none.
    if tool.parameters.get("properties") or tool.parameters.get("additionalProperties"):
        declared["parametersJsonSchema"] = tool.parameters
    return declared


# --- what was said ------------------------------------------------------------------------------------

# https://ai.google.dev/gemini-api/docs/thought-signatures: what a call of another model's carries
# instead of a signature.
UNSIGNED = "skip_thought_signature_validator"


def _contents(request: Request, can: GeminiCapabilities) -> Iterator[dict[str, Any]]:
    if request.system is not None and not can.system:
        yield _user([{"text": request.system}])
    given: dict[str, str | None] = {}
    for turn in request.messages:
        match turn:
            case User():
                yield _user([_part(part) for part in turn.parts])
            case Reply():
                parts, given = _said(turn)
                if parts:  # Gemini refuses a turn without parts
                    yield {"role": "model", "parts": _signed(parts) if can.signed else parts}
            case ToolResults(results):
                yield _user([_response(result, given) for result in results])


def _user(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": "user", "parts": parts}


def _part(part: str | Media) -> dict[str, Any]:
    match part:
        case str():
            return {"text": part}
        case Media(url=None):
            return {"inlineData": {"mimeType": part.media_type, "data": part.base64}}
        case _:
            kind = part.media_type or _media_type(part.url or "")
            return {"fileData": {"fileUri": part.url, **({"mimeType": kind} if kind else {})}}


def _media_type(url: str) -> str | None:
    from mimetypes import guess_type  # reads the system's tables

    return guess_type(url.partition("?")[0])[0]


def _said(reply: Reply) -> tuple[list[dict[str, Any]], dict[str, str | None]]:
    """The parts of a model's turn, and by call id the one that Gemini gave that call, if any."""
    if reply.echo is not None and reply.echo.by == NAME:
        parts = reply.echo.data  # by reference: a long history costs no copies
        made = [part["functionCall"] for part in parts if part.get("functionCall")]
        given: dict[str, str | None] = {}
        for call, its in zip(reply.calls, made, strict=False):
            # An id that stands twice in a turn tells nothing: the second call is answered by its place.
            given[call.id] = None if its.get("id") in given.values() else its.get("id")
        return parts, given
    text = [{"text": reply.text}] if reply.text else []
    return text + [{"functionCall": _rebuilt(call)} for call in reply.calls], {}


def _rebuilt(call: ToolCall) -> dict[str, Any]:
    """A call that Gemini did not make: another provider's, or a scripted one."""
    try:
        arguments = parse_json(call.arguments or "{}")
    except ValueError:
        arguments = None
    kept = arguments if isinstance(arguments, dict) else {"arguments": call.arguments}
    return {"name": call.name, "args": kept, **({"id": call.id} if call.id else {})}


def _signed(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """*parts* with a signature on the first call, where Gemini 3 wants one, whoever made the call."""
    first = next((index for index, part in enumerate(parts) if "functionCall" in part), None)
    if first is None or "thoughtSignature" in parts[first] or "thought_signature" in parts[first]:
        return parts
    return [*parts[:first], {**parts[first], "thoughtSignature": UNSIGNED}, *parts[first + 1 :]]


def _response(result: ToolResult, given: Mapping[str, str | None]) -> dict[str, Any]:
    """A result under Gemini's convention: `output` or `error`; an object without these speaks for itself."""
    said: dict[str, Any] = {"name": result.name, "response": _outcome(result)}
    if call_id := given.get(result.call.id, result.call.id):
        said["id"] = call_id
    return {"functionResponse": said}


def _outcome(result: ToolResult) -> dict[str, Any]:
    if result.error is not None:
        return {"error": result.error}
    value: Any = result.content
    if result.content.startswith(("{", "[")):
        try:
            value = parse_json(result.content)
        except ValueError:
            value = result.content
    if isinstance(value, dict) and not value.keys() & {"output", "error"}:
        return value
    return {"output": value}
