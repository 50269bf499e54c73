"""Google Gemini: `generateContent`, stateless, for the Developer API and Google Cloud's platform.

Bodies are those of the REST API (https://ai.google.dev/api/generate-content), together with the model,
which is sent in the path (`address`). The differences between models are in one table, `CAPABILITIES`;
answers are decoded by `replies`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from alloy.backends.base import Capabilities
from alloy.backends.gemini.address import GeminiHttpBackend
from alloy.backends.gemini.dialect import DIALECT
from alloy.backends.gemini.errors import NAME
from alloy.backends.gemini.replies import ContentAccumulator, read_content
from alloy.backends.http.bodies import allowed_tools, as_object, given, merge, read_events
from alloy.backends.http.payload import parse_json
from alloy.backends.schemas import in_dialect
from alloy.errors import ConfigurationError
from alloy.jsontypes import JsonObject
from alloy.media import Media, media_note
from alloy.messages import Reply, Request, ToolCall, ToolResult, ToolResults, ToolSchema, User

__all__ = ["CAPABILITIES", "GeminiBackend", "GeminiCapabilities"]


# --- what models can do -------------------------------------------------------------------------------

# https://ai.google.dev/gemini-api/docs/openai#thinking, Google's own translation
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
_NO_THINKING = frozenset({"reasoning_effort"})


@dataclass(frozen=True, slots=True)
class GeminiCapabilities(Capabilities):
    """*efforts* is each `reasoning_effort` as a thinking level (a str) or budget (an int).

    *signed* says that the model requires a thought signature in function calls of the history, *validated*
    that it has the mode in which calls obey the declarations, *system* that it accepts a system instruction.
    """

    refuses: frozenset[str] = _REFUSES
    efforts: Mapping[str, str | int] = field(default_factory=dict)
    signed: bool = False
    validated: bool = False
    system: bool = True


_NEW = GeminiCapabilities(
    drops=_SAMPLING, efforts=_LEVELS, signed=True, validated=True, result_media=True
)  # https://ai.google.dev/gemini-api/docs/function-calling#multimodal

# The first pattern that matches the last part of the model's name counts. Facts are from Google's pages of
# 2026-11; addresses (`urls`) are fetched from Gemini 2.5 on.
CAPABILITIES: tuple[tuple[str, GeminiCapabilities], ...] = (
    (
        "gemma-[123]*",
        GeminiCapabilities(
            tools=False,
            structured_output=False,
            documents=False,
            urls=False,
            drops=_NO_THINKING,
            system=False,
        ),
    ),
    ("gemma-*", GeminiCapabilities(output_with_tools=False, urls=False, drops=_NO_THINKING)),
    ("gemini-1.*", GeminiCapabilities(output_with_tools=False, urls=False, drops=_NO_THINKING)),
    ("gemini-2.0*", GeminiCapabilities(output_with_tools=False, urls=False, drops=_NO_THINKING)),
    # thinking cannot be switched off for 2.5 Pro
    ("gemini-2.5-pro*", GeminiCapabilities(output_with_tools=False, efforts={**_BUDGETS, "none": 128})),
    ("gemini-2*", GeminiCapabilities(output_with_tools=False, efforts=_BUDGETS)),
    # newer Flash models refuse MINIMAL
    (
        "gemini-3-flash*",
        replace(_NEW, efforts={**_LEVELS, "none": "MINIMAL", "minimal": "MINIMAL"}),
    ),
    ("gemini-*", _NEW),
    ("*", GeminiCapabilities(efforts=_LEVELS)),  # tuned models and endpoints, whose names say nothing
)


@lru_cache(maxsize=256)
def _capabilities(model: str) -> GeminiCapabilities:
    name = model.rpartition("/")[2].lower()
    return next(can for pattern, can in CAPABILITIES if fnmatchcase(name, pattern))


class GeminiBackend(GeminiHttpBackend):
    """Gemini by an API key, or on Google Cloud by the SDK's own environment variables."""

    dialect = DIALECT

    def capabilities(self, model: str) -> GeminiCapabilities:
        """The first row of `CAPABILITIES` that matches; the name may be a path of Google Cloud."""
        return _capabilities(model)

    def encode(self, request: Request) -> JsonObject:
        """The body of `POST …:generateContent`, together with the model.

        Raises `ConfigurationError` for a `reasoning_effort` that Gemini does not have. From 2.5 on Gemini
        caches without being asked, so `prompt_caching` is not sent.
        """
        request = in_dialect(request, self.dialect)
        can = _capabilities(request.model)
        body: JsonObject = {"model": request.model, "contents": list(_contents(request, can))}
        if request.system is not None and can.system:
            body["systemInstruction"] = {"parts": [{"text": request.system}]}
        if tools := _tools(request, can):
            body["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in tools]}]
            if calling := _calling(request, can):
                body["toolConfig"] = {"functionCallingConfig": calling}
        if generation := _generation(request, can):
            body["generationConfig"] = generation
        return merge(body, request.extra)

    def decode(self, raw: Any) -> Reply:
        """The reply in a whole answer. Raises `BadReplyError`, or the error of a failed generation."""
        return read_events(self.accumulator(), raw) if isinstance(raw, list) else read_content(raw)

    def accumulator(self) -> ContentAccumulator:
        """A new accumulator for one stream."""
        return ContentAccumulator()


# --- settings -----------------------------------------------------------------------------------------


def _generation(request: Request, can: GeminiCapabilities) -> JsonObject:
    config = given(
        {
            "temperature": request.temperature,
            "topP": request.top_p,
            "seed": request.seed,
            "stopSequences": None if request.stop is None else list(request.stop),
            "maxOutputTokens": request.max_tokens,
        }
    )
    if request.reasoning_effort is not None:
        config["thinkingConfig"] = _thinking(request.reasoning_effort, request.model, can)
    if request.output is not None:
        config["responseMimeType"] = "application/json"
        config["responseJsonSchema"] = request.output.schema
    return config


def _thinking(effort: str, model: str, can: GeminiCapabilities) -> JsonObject:
    found = can.efforts.get(effort)
    if found is None:
        words = ", ".join(can.efforts) or "nothing"
        raise ConfigurationError(f"gemini:{model} accepts {words} as reasoning_effort, not {effort!r}")
    return {"thinkingLevel": found} if isinstance(found, str) else {"thinkingBudget": found}


def _calling(request: Request, can: GeminiCapabilities) -> JsonObject | None:
    """The mode of function calling: https://ai.google.dev/gemini-api/docs/function-calling#mode.

    VALIDATED is AUTO with calls that obey the declarations.
    """
    names = {} if request.allowed_tools is None else {"allowedFunctionNames": list(request.allowed_tools)}
    match request.tool_choice:
        case None | "auto" if can.validated and request.strict_tools:
            return {"mode": "VALIDATED", **names}
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


def _tools(request: Request, can: GeminiCapabilities) -> Sequence[ToolSchema]:
    """The tools that are declared: AUTO, unlike the other modes, does not accept names of allowed ones."""
    is_auto = request.tool_choice in (None, "auto") and not (can.validated and request.strict_tools)
    return allowed_tools(request) if is_auto else request.tools


def _declaration(tool: ToolSchema) -> JsonObject:
    declared: JsonObject = {"name": tool.name, "description": tool.description or tool.name}
    # An object without properties is refused; a function without parameters declares none.
    if tool.parameters.get("properties") or tool.parameters.get("additionalProperties"):
        declared["parametersJsonSchema"] = tool.parameters
    return declared


# --- the conversation ------------------------------------------------------------------------------------

# https://ai.google.dev/gemini-api/docs/thought-signatures: the signature of calls that another model made.
UNSIGNED = "skip_thought_signature_validator"


def _contents(request: Request, can: GeminiCapabilities) -> Iterator[JsonObject]:
    if request.system is not None and not can.system:
        yield _user([{"text": request.system}])
    given: dict[str, str | None] = {}
    for turn in request.messages:
        match turn:
            case User():
                yield _user([_part(part) for part in turn.parts])
            case Reply():
                parts, given = _parts_of(turn)
                if any(map(_is_content, parts)):  # Gemini refuses a turn without parts
                    yield {"role": "model", "parts": _signed(parts) if can.signed else parts}
            case ToolResults(results):
                yield _user([_response(result, given) for result in results])
                # A response holds no files by their address.
                files = [part for result in results for part in result.parts if not _is_inline(part)]
                if files:
                    yield _user([_part(part) for part in files])


def _user(parts: list[JsonObject]) -> JsonObject:
    return {"role": "user", "parts": parts}


def _part(part: str | Media) -> JsonObject:
    match part:
        case str():
            return {"text": part}
        case Media(url=None):
            return {"inlineData": {"mimeType": part.media_type, "data": part.base64}}
        case _:
            kind = part.media_type or _media_type(part.url or "")
            return {"fileData": {"fileUri": part.url, **({"mimeType": kind} if kind else {})}}


def _is_inline(part: str | Media) -> bool:
    return isinstance(part, str) or part.url is None


def _media_type(url: str) -> str | None:
    from mimetypes import guess_type  # reads the system's tables

    return guess_type(url.partition("?")[0])[0]


def _parts_of(reply: Reply) -> tuple[list[JsonObject], dict[str, str | None]]:
    """The parts of a model's turn, and by call id the id that Gemini gave to that call, if any."""
    if reply.echo is not None and reply.echo.by == NAME:
        parts = reply.echo.data  # by reference: a long history costs no copies
        made = [part["functionCall"] for part in parts if part.get("functionCall")]
        given: dict[str, str | None] = {}
        for call, its in zip(reply.calls, made, strict=False):
            # An id that occurs twice in a turn is useless: the second call is answered by its position.
            given[call.id] = None if its.get("id") in given.values() else its.get("id")
        return parts, given
    text = [{"text": reply.text}] if reply.text.strip() else []
    return text + [{"functionCall": _rebuilt(call)} for call in reply.calls], {}


def _is_content(part: JsonObject) -> bool:
    """Whether *part* is more than a thought or blank text; a signature alone has to go back, too."""
    if part.get("thought"):
        return bool(part.keys() - {"text", "thought", "thoughtSignature"})
    return bool(part.keys() - {"text", "thought"}) or bool(str(part.get("text") or "").strip())


def _rebuilt(call: ToolCall) -> JsonObject:
    """A call that Gemini did not create: another provider's, or a scripted one."""
    arguments = as_object(call.arguments, "arguments")
    return {"name": call.name, "args": arguments, **({"id": call.id} if call.id else {})}


def _signed(parts: list[JsonObject]) -> list[JsonObject]:
    """*parts* with a signature on the first call, where Gemini 3 requires one."""
    first = next((index for index, part in enumerate(parts) if "functionCall" in part), None)
    if first is None or "thoughtSignature" in parts[first] or "thought_signature" in parts[first]:
        return parts
    return [*parts[:first], {**parts[first], "thoughtSignature": UNSIGNED}, *parts[first + 1 :]]


def _response(result: ToolResult, given: Mapping[str, str | None]) -> JsonObject:
    """A result by Gemini's convention: `output` or `error`; an object without these keys is sent as it is."""
    if files := [part for part in result.parts if isinstance(part, Media) and not _is_inline(part)]:
        result = replace(result, content="\n".join(filter(None, (result.content, media_note(files)))))
    response: JsonObject = {"name": result.name, "response": _outcome(result)}
    if call_id := given.get(result.call.id, result.call.id):
        response["id"] = call_id
    if media := [_part(part) for part in result.parts if not isinstance(part, str) and _is_inline(part)]:
        response["parts"] = media
    return {"functionResponse": response}


def _outcome(result: ToolResult) -> JsonObject:
    if result.error is not None:
        prefix, is_text, shown = result.content.partition("Error: ")  # may be cut, unlike `error`
        return {"error": shown if is_text and not prefix else result.error}
    value: Any = result.content
    if result.content.startswith(("{", "[")):
        try:
            value = parse_json(result.content)
        except ValueError:
            value = result.content
    if isinstance(value, dict) and not value.keys() & {"output", "error"}:
        return value
    return {"output": value}
