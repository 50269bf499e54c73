"""How each provider writes the items of `script`; `table.ABSENT` has the ones that it cannot write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kit.talking import KEY
from kit.wire import Answer, anthropic, gemini, openai

from alloy.backends.base import Capabilities
from alloy.backends.registry import resolve
from suite.script import ErrorAnswer, HistoryTurn, ModelTurn, ReceivedRequest, SentResult


class Provider:
    """One column of the matrix, with its *title* and the *model* that the tests use."""

    name: str
    title: str
    model: str
    base = ""  # what follows the server's address in `base_url`
    options: Mapping[str, Any] = {}
    ids = True  # whether results are sent with ids
    absent_ids = False  # whether a server may leave out the id of a call
    request_id: str | None = "req_1"
    counts = (10, 5, 2, 1)  # the part of a turn's usage that the protocol reports
    # Its error texts for a model that does not support tools, or structured output.
    lacks: Mapping[str, str] = {
        "tools": "this model does not support tools",
        "output": "this model does not support structured outputs",
    }
    # For each generic setting with its value in `test_settings`, the part of the body; None for no part.
    keys: Mapping[str, Mapping[str, Any] | None]

    @property
    def can(self) -> Capabilities:
        """The capabilities of the model in the backend's table."""
        backend, model = resolve(self.model)
        return backend.capabilities(model)

    def settings(self, url: str) -> dict[str, Any]:
        """The settings for a call to the server at *url*."""
        return {"model": self.model, "base_url": url + self.base, "api_key": KEY, **self.options}

    def whole(self, turn: ModelTurn) -> Any:
        """*turn*, with its answer as text, as the provider's whole answer."""
        raise NotImplementedError

    def over_http(self, whole: Any, *, streamed: bool) -> Answer:
        """That answer as an HTTP answer."""
        raise NotImplementedError

    def error_answer(self, error: ErrorAnswer) -> Answer:
        """*error* as the provider sends it."""
        raise NotImplementedError

    def read(self, body: Any) -> ReceivedRequest:
        """The content of a request with *body*."""
        raise NotImplementedError

    def with_retry_after(self, answer: Answer, wait: str | None) -> Answer:
        """*answer* with its `Retry-After`."""
        if wait is not None:
            answer.headers["retry-after"] = wait
        return answer

    def __repr__(self) -> str:
        return self.name


def _media(url: str) -> tuple[str, str]:
    kind, found, data = url.removeprefix("data:").partition(";base64,")
    return (kind, data) if found else ("", url)


# --- OpenAI -------------------------------------------------------------------------------------------


class OpenAI(Provider):
    name, title, model, base = "openai", "OpenAI", "openai:gpt-5.6", "/v1"
    lacks: Mapping[str, Any] = {
        "tools": "Unsupported parameter: 'tools' is not supported with this model.",
        "output": "Invalid parameter: 'text.format' of type 'json_schema' is not supported with this model.",
    }
    keys: Mapping[str, Any] = {
        "temperature": {"temperature": 0.5},
        "max_tokens": {"max_output_tokens": 77},
        "top_p": {"top_p": 0.25},
        "tool_choice": {"tool_choice": {"type": "function", "name": "add"}},
        "allowed_tools": {
            "tool_choice": {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "add"}],
            }
        },
        "parallel_tools": {"parallel_tool_calls": False},
        "reasoning_effort": {"reasoning": {"effort": "low"}},
        "prompt_caching": None,
    }

    def whole(self, turn: ModelTurn) -> Any:
        text, why = turn.text, turn.why
        items = [openai.message(text, refusal=why)] if turn.ending == "refusal" else []
        cut = {"length": "max_output_tokens", "filter": "content_filter"}.get(turn.ending)
        more: dict[str, Any] = {"status": "incomplete", "incomplete_details": {"reason": cut}} if cut else {}
        return openai.response(*items, text="" if items else text, calls=turn.calls, usage=turn.usage, **more)

    def over_http(self, whole: Any, *, streamed: bool) -> Answer:
        return openai.stream(whole) if streamed else openai.reply(whole)

    def error_answer(self, error: ErrorAnswer) -> Answer:
        return self.with_retry_after(openai.failure(error.status, error.message), error.wait)

    def read(self, body: Any) -> ReceivedRequest:
        turns = list[HistoryTurn]()
        for item in body["input"]:
            match item:
                case {"type": "function_call"}:
                    call = (item["call_id"], item["name"], json.loads(item["arguments"]))
                    join(turns, HistoryTurn("assistant", calls=(call,)))
                case {"type": "function_call_output"}:
                    join(
                        turns,
                        HistoryTurn("results", results=(SentResult(item["call_id"], None, item["output"]),)),
                    )
                case {"role": "user", "content": content}:
                    turns.append(_openai_user(content))
                case {"role": "assistant", "content": content}:
                    join(turns, HistoryTurn("assistant", text=texts(content)))
        shape = body.get("text", {}).get("format", {}).get("schema")
        tools = tuple(tool["name"] for tool in body.get("tools", ()))
        return ReceivedRequest(
            tuple(turns), body.get("instructions", ""), tools, shape, bool(body.get("stream")), body
        )


def join(turns: list[HistoryTurn], turn: HistoryTurn) -> None:
    """Add *turn* to the last of *turns* if it has the same role, otherwise append it."""
    if turns and turns[-1].role == turn.role:
        last = turns.pop()
        turn = HistoryTurn(
            turn.role,
            last.text + turn.text,
            last.calls + turn.calls,
            last.results + turn.results,
            last.media + turn.media,
        )
    turns.append(turn)


def texts(content: Any) -> str:
    if isinstance(content, str | None):
        return content or ""
    return "\n".join(part["text"] for part in content if "text" in part)


def _openai_user(content: Any) -> HistoryTurn:
    media = []
    for part in content if isinstance(content, list) else ():
        image, file = part.get("image_url"), part.get("file", part)
        if image is not None:
            media.append(_media(image["url"] if isinstance(image, dict) else image))
        elif url := file.get("file_data") or file.get("file_url"):
            media.append(_media(url))
    return HistoryTurn("user", texts(content), media=tuple(media))


class OpenAIChat(Provider):
    name, title, model, base = "openai-chat", "OpenAI Chat", "openai-chat:gpt-5.6", "/v1"
    lacks: Mapping[str, Any] = {
        "tools": "No endpoints found that support tool use.",
        "output": "This response_format type is unavailable now",
    }
    absent_ids = True
    keys: Mapping[str, Any] = {
        "temperature": {"temperature": 0.5},
        "max_tokens": {"max_completion_tokens": 77},
        "top_p": {"top_p": 0.25},
        "seed": {"seed": 7},
        "stop": {"stop": ["END"]},
        "tool_choice": {"tool_choice": {"type": "function", "function": {"name": "add"}}},
        "allowed_tools": {},
        "parallel_tools": {"parallel_tool_calls": False},
        "reasoning_effort": {"reasoning_effort": "low"},
        "prompt_caching": None,
    }

    def whole(self, turn: ModelTurn) -> Any:
        return openai.completion(
            text=turn.text,
            calls=turn.calls,
            refusal=turn.why or "no" if turn.ending == "refusal" else None,
            finish={"length": "length", "filter": "content_filter"}.get(turn.ending),
            usage=turn.usage,
        )

    def over_http(self, whole: Any, *, streamed: bool) -> Answer:
        return openai.chat_stream(whole) if streamed else openai.reply(whole)

    error_answer = OpenAI.error_answer

    def read(self, body: Any) -> ReceivedRequest:
        turns, system = list[HistoryTurn](), ""
        for message in body["messages"]:
            match message["role"]:
                case "system":
                    system = message["content"]
                case "user":
                    turns.append(_openai_user(message["content"]))
                case "assistant":
                    calls = [(call["id"], call["function"]) for call in message.get("tool_calls") or ()]
                    made = tuple((id_, call["name"], json.loads(call["arguments"])) for id_, call in calls)
                    turns.append(HistoryTurn("assistant", texts(message["content"]), made))
                case "tool":
                    result = SentResult(message["tool_call_id"], None, message["content"])
                    join(turns, HistoryTurn("results", results=(result,)))
        shape = body.get("response_format", {}).get("json_schema", {}).get("schema")
        tools = tuple(tool["function"]["name"] for tool in body.get("tools", ()))
        return ReceivedRequest(tuple(turns), system, tools, shape, bool(body.get("stream")), body)


class ReAct(OpenAIChat):
    """A model without tools, through Chat Completions: its calls are ReAct text."""

    name, title, model = "react", "ReAct", "openai-chat:tiny"
    options: Mapping[str, Any] = {"tool_mode": "react"}
    ids = absent_ids = False
    keys: Mapping[str, Any] = {
        **OpenAIChat.keys,
        "max_tokens": {"max_tokens": 77},
        "tool_choice": {},
        "allowed_tools": {},
        "parallel_tools": None,  # of several calls that the model writes, the first is read
    }


# --- Anthropic ----------------------------------------------------------------------------------------


class Anthropic(Provider):
    name, title, model = "anthropic", "Anthropic", "anthropic:claude-sonnet-4-6"
    keys: Mapping[str, Any] = {
        "temperature": {"temperature": 0.5},
        "max_tokens": {"max_tokens": 77},
        "top_p": {"top_p": 0.25},
        "stop": {"stop_sequences": ["END"]},
        "tool_choice": {"tool_choice": {"type": "tool", "name": "add"}},
        "allowed_tools": {},
        "parallel_tools": {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        "reasoning_effort": {"output_config": {"effort": "low"}},
        "prompt_caching": {"cache_control": {"type": "ephemeral"}},
    }

    def whole(self, turn: ModelTurn) -> Any:
        stop = {"length": "max_tokens", "refusal": "refusal"}.get(turn.ending)
        details = {"type": "refusal", "category": None, "explanation": turn.why}
        more: dict[str, Any] = {"stop_details": details} if stop == "refusal" else {}
        calls: Any = turn.calls
        return anthropic.message(text=turn.text, calls=calls, stop=stop, usage=turn.usage, **more)

    def over_http(self, whole: Any, *, streamed: bool) -> Answer:
        return anthropic.stream(whole) if streamed else anthropic.reply(whole)

    def error_answer(self, error: ErrorAnswer) -> Answer:
        return self.with_retry_after(anthropic.failure(error.status, error.message), error.wait)

    def read(self, body: Any) -> ReceivedRequest:
        turns = list[HistoryTurn]()
        for message in body["messages"]:
            content = message["content"]
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
            if message["role"] == "assistant":
                uses = [block for block in blocks if block["type"] == "tool_use"]
                made = tuple((use["id"], use["name"], use["input"]) for use in uses)
                turns.append(HistoryTurn("assistant", texts(blocks), made))
                continue
            results = [block for block in blocks if block["type"] == "tool_result"]
            if results:
                given = tuple(SentResult(block["tool_use_id"], None, block["content"]) for block in results)
                turns.append(HistoryTurn("results", results=given))
            sources: list[Any] = [block["source"] for block in blocks if "source" in block]
            media = tuple((each.get("media_type", ""), each.get("data") or each["url"]) for each in sources)
            if len(results) < len(blocks):
                turns.append(HistoryTurn("user", texts(blocks), media=media))
        shape = body.get("output_config", {}).get("format", {}).get("schema")
        tools = tuple(tool["name"] for tool in body.get("tools", ()))
        return ReceivedRequest(
            tuple(turns), body.get("system", ""), tools, shape, bool(body.get("stream")), body
        )


# --- Gemini -------------------------------------------------------------------------------------------


class Gemini(Provider):
    name, title, model = "gemini", "Gemini", "gemini:gemini-3-flash-preview"
    lacks: Mapping[str, Any] = {
        "tools": "Function calling is not enabled for models/gemini-3-flash-preview",
        "output": "JSON mode is not enabled for models/gemini-3-flash-preview",
    }
    absent_ids = True
    request_id = None  # only Google Cloud sends one, in a header
    keys: Mapping[str, Any] = {
        "max_tokens": {"generationConfig": {"maxOutputTokens": 77}},
        "seed": {"generationConfig": {"seed": 7}},
        "stop": {"generationConfig": {"stopSequences": ["END"]}},
        "tool_choice": {
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["add"]}}
        },
        "allowed_tools": {
            "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED", "allowedFunctionNames": ["add"]}}
        },
        "reasoning_effort": {"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}},
        "prompt_caching": None,
    }

    def whole(self, turn: ModelTurn) -> Any:
        calls: list[Any] = []
        for position, (name, given, *call_id) in enumerate(turn.calls):
            arguments = json.loads(given) if isinstance(given, str) else given
            calls.append((name, arguments, call_id[0] if call_id else f"call_{name}_{position}"))
        return gemini.content(
            text=turn.text,
            calls=calls,
            finish={"length": "MAX_TOKENS", "filter": "SAFETY"}.get(turn.ending, "STOP"),
            usage=turn.usage,
            **({"finishMessage": turn.why} if turn.why else {}),
        )

    def over_http(self, whole: Any, *, streamed: bool) -> Answer:
        return gemini.stream(whole) if streamed else gemini.reply(whole)

    def error_answer(self, error: ErrorAnswer) -> Answer:
        return self.with_retry_after(gemini.failure(error.status, error.message), error.wait)

    def read(self, body: Any) -> ReceivedRequest:
        turns = list[HistoryTurn]()
        for content in body["contents"]:
            parts = content["parts"]
            made = [part["functionCall"] for part in parts if "functionCall" in part]
            back = [part["functionResponse"] for part in parts if "functionResponse" in part]
            if content["role"] == "model":
                calls = tuple((call.get("id"), call["name"], call.get("args", {})) for call in made)
                turns.append(HistoryTurn("assistant", texts(parts), calls))
            elif back:
                results = [
                    SentResult(each.get("id"), each["name"], _outcome(each["response"])) for each in back
                ]
                turns.append(HistoryTurn("results", results=tuple(results)))
            else:
                data = [part.get("inlineData") or part.get("fileData") for part in parts]
                media = [
                    (each.get("mimeType", ""), each.get("data") or each["fileUri"]) for each in data if each
                ]
                turns.append(HistoryTurn("user", texts(parts), media=tuple(media)))
        system = texts(body.get("systemInstruction", {}).get("parts", []))
        declared = [tool for group in body.get("tools", ()) for tool in group["functionDeclarations"]]
        return ReceivedRequest(
            tuple(turns),
            system,
            tuple(tool["name"] for tool in declared),
            body.get("generationConfig", {}).get("responseJsonSchema"),
            body=body,
        )


def _outcome(response: Mapping[str, Any]) -> Any:
    if response.keys() == {"error"}:
        return f"Error: {response['error']}"
    return response["output"] if response.keys() == {"output"} else response
