"""How each provider says and hears what `saying` names; `table.ABSENT` has what it has no words for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kit.talking import KEY
from kit.wire import Answer, anthropic, gemini, openai

from alloy.backends.base import Capabilities
from alloy.backends.registry import resolve
from suite.saying import Fail, Heard, Result, Say, Told


class Provider:
    """One column of the matrix. *title* is what the matrix calls it; *model* is the one it is proven with."""

    name: str
    title: str
    model: str
    base = ""  # what `base_url` has behind the server's address
    options: Mapping[str, Any] = {}
    ids = True  # whether results are sent back under ids
    absent_ids = False  # whether a server may leave a call's id out
    request_id: str | None = "req_1"
    counts = (10, 5, 2, 1)  # of the usage that a turn has, what the protocol can tell
    # What it says when a model has no tools, and no structured output.
    lacks: Mapping[str, str] = {
        "tools": "this model does not support tools",
        "output": "this model does not support structured outputs",
    }
    # Each generic key, set to the value of `test_settings`, as the body has it; None: it says nothing.
    keys: Mapping[str, Mapping[str, Any] | None]

    @property
    def can(self) -> Capabilities:
        """What the backend's own table says of the model."""
        backend, model = resolve(self.model)
        return backend.capabilities(model)

    def settings(self, url: str) -> dict[str, Any]:
        """What a call needs to reach the server at *url*."""
        return {"model": self.model, "base_url": url + self.base, "api_key": KEY, **self.options}

    def whole(self, say: Say) -> Any:
        """*say*, whose answer is written out, as the provider's whole answer."""
        raise NotImplementedError

    def sent(self, whole: Any, *, streamed: bool) -> Answer:
        """That answer over HTTP."""
        raise NotImplementedError

    def failed(self, fail: Fail) -> Answer:
        """An error as the provider says it."""
        raise NotImplementedError

    def heard(self, body: Any) -> Heard:
        """A request's *body* by what it means."""
        raise NotImplementedError

    def waits(self, answer: Answer, wait: str | None) -> Answer:
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

    def whole(self, say: Say) -> Any:
        text, why = say.text, say.why
        items = [openai.message(text, refusal=why)] if say.ending == "refusal" else []
        cut = {"length": "max_output_tokens", "filter": "content_filter"}.get(say.ending)
        odd: dict[str, Any] = {"status": "incomplete", "incomplete_details": {"reason": cut}} if cut else {}
        return openai.response(*items, text="" if items else text, calls=say.calls, usage=say.usage, **odd)

    def sent(self, whole: Any, *, streamed: bool) -> Answer:
        return openai.stream(whole) if streamed else openai.reply(whole)

    def failed(self, fail: Fail) -> Answer:
        return self.waits(openai.failure(fail.status, fail.message), fail.wait)

    def heard(self, body: Any) -> Heard:
        turns = list[Told]()
        for item in body["input"]:
            match item:
                case {"type": "function_call"}:
                    call = (item["call_id"], item["name"], json.loads(item["arguments"]))
                    join(turns, Told("assistant", calls=(call,)))
                case {"type": "function_call_output"}:
                    join(turns, Told("results", results=(Result(item["call_id"], None, item["output"]),)))
                case {"role": "user", "content": content}:
                    turns.append(_openai_user(content))
                case {"role": "assistant", "content": content}:
                    join(turns, Told("assistant", text=texts(content)))
        shape = body.get("text", {}).get("format", {}).get("schema")
        tools = tuple(tool["name"] for tool in body.get("tools", ()))
        return Heard(tuple(turns), body.get("instructions", ""), tools, shape, bool(body.get("stream")), body)


def join(turns: list[Told], told: Told) -> None:
    """Add *told* to the turn before it, if that is of the same kind."""
    if turns and turns[-1].role == told.role:
        last = turns.pop()
        told = Told(
            told.role,
            last.text + told.text,
            last.calls + told.calls,
            last.results + told.results,
            last.media + told.media,
        )
    turns.append(told)


def texts(content: Any) -> str:
    if isinstance(content, str | None):
        return content or ""
    return "\n".join(part["text"] for part in content if "text" in part)


def _openai_user(content: Any) -> Told:
    media = []
    for part in content if isinstance(content, list) else ():
        image, file = part.get("image_url"), part.get("file", part)
        if image is not None:
            media.append(_media(image["url"] if isinstance(image, dict) else image))
        elif url := file.get("file_data") or file.get("file_url"):
            media.append(_media(url))
    return Told("user", texts(content), media=tuple(media))


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

    def whole(self, say: Say) -> Any:
        return openai.completion(
            text=say.text,
            calls=say.calls,
            refusal=say.why or "no" if say.ending == "refusal" else None,
            finish={"length": "length", "filter": "content_filter"}.get(say.ending),
            usage=say.usage,
        )

    def sent(self, whole: Any, *, streamed: bool) -> Answer:
        return openai.chat_stream(whole) if streamed else openai.reply(whole)

    failed = OpenAI.failed

    def heard(self, body: Any) -> Heard:
        turns, system = list[Told](), ""
        for message in body["messages"]:
            match message["role"]:
                case "system":
                    system = message["content"]
                case "user":
                    turns.append(_openai_user(message["content"]))
                case "assistant":
                    calls = [(call["id"], call["function"]) for call in message.get("tool_calls") or ()]
                    made = tuple((id_, call["name"], json.loads(call["arguments"])) for id_, call in calls)
                    turns.append(Told("assistant", texts(message["content"]), made))
                case "tool":
                    result = Result(message["tool_call_id"], None, message["content"])
                    join(turns, Told("results", results=(result,)))
        shape = body.get("response_format", {}).get("json_schema", {}).get("schema")
        tools = tuple(tool["function"]["name"] for tool in body.get("tools", ()))
        return Heard(tuple(turns), system, tools, shape, bool(body.get("stream")), body)


class ReAct(OpenAIChat):
    """A model without tools, here behind Chat Completions: the calls are words in its text."""

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

    def whole(self, say: Say) -> Any:
        stop = {"length": "max_tokens", "refusal": "refusal"}.get(say.ending)
        details = {"type": "refusal", "category": None, "explanation": say.why}
        more: dict[str, Any] = {"stop_details": details} if stop == "refusal" else {}
        calls: Any = say.calls
        return anthropic.message(text=say.text, calls=calls, stop=stop, usage=say.usage, **more)

    def sent(self, whole: Any, *, streamed: bool) -> Answer:
        return anthropic.stream(whole) if streamed else anthropic.reply(whole)

    def failed(self, fail: Fail) -> Answer:
        return self.waits(anthropic.failure(fail.status, fail.message), fail.wait)

    def heard(self, body: Any) -> Heard:
        turns = list[Told]()
        for message in body["messages"]:
            content = message["content"]
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
            if message["role"] == "assistant":
                uses = [block for block in blocks if block["type"] == "tool_use"]
                made = tuple((use["id"], use["name"], use["input"]) for use in uses)
                turns.append(Told("assistant", texts(blocks), made))
                continue
            results = [block for block in blocks if block["type"] == "tool_result"]
            if results:
                given = tuple(Result(block["tool_use_id"], None, block["content"]) for block in results)
                turns.append(Told("results", results=given))
            sources: list[Any] = [block["source"] for block in blocks if "source" in block]
            media = tuple((each.get("media_type", ""), each.get("data") or each["url"]) for each in sources)
            if len(results) < len(blocks):
                turns.append(Told("user", texts(blocks), media=media))
        shape = body.get("output_config", {}).get("format", {}).get("schema")
        tools = tuple(tool["name"] for tool in body.get("tools", ()))
        return Heard(tuple(turns), body.get("system", ""), tools, shape, bool(body.get("stream")), body)


# --- Gemini -------------------------------------------------------------------------------------------


class Gemini(Provider):
    name, title, model = "gemini", "Gemini", "gemini:gemini-3-flash-preview"
    lacks: Mapping[str, Any] = {
        "tools": "Function calling is not enabled for models/gemini-3-flash-preview",
        "output": "JSON mode is not enabled for models/gemini-3-flash-preview",
    }
    absent_ids = True
    request_id = None  # in a header of Google Cloud's only
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

    def whole(self, say: Say) -> Any:
        calls: list[Any] = []
        for position, (name, given, *call_id) in enumerate(say.calls):
            arguments = json.loads(given) if isinstance(given, str) else given
            calls.append((name, arguments, call_id[0] if call_id else f"call_{name}_{position}"))
        return gemini.content(
            text=say.text,
            calls=calls,
            finish={"length": "MAX_TOKENS", "filter": "SAFETY"}.get(say.ending, "STOP"),
            usage=say.usage,
            **({"finishMessage": say.why} if say.why else {}),
        )

    def sent(self, whole: Any, *, streamed: bool) -> Answer:
        return gemini.stream(whole) if streamed else gemini.reply(whole)

    def failed(self, fail: Fail) -> Answer:
        return self.waits(gemini.failure(fail.status, fail.message), fail.wait)

    def heard(self, body: Any) -> Heard:
        turns = list[Told]()
        for content in body["contents"]:
            parts = content["parts"]
            made = [part["functionCall"] for part in parts if "functionCall" in part]
            back = [part["functionResponse"] for part in parts if "functionResponse" in part]
            if content["role"] == "model":
                calls = tuple((call.get("id"), call["name"], call.get("args", {})) for call in made)
                turns.append(Told("assistant", texts(parts), calls))
            elif back:
                results = [Result(each.get("id"), each["name"], _outcome(each["response"])) for each in back]
                turns.append(Told("results", results=tuple(results)))
            else:
                data = [part.get("inlineData") or part.get("fileData") for part in parts]
                media = [
                    (each.get("mimeType", ""), each.get("data") or each["fileUri"]) for each in data if each
                ]
                turns.append(Told("user", texts(parts), media=tuple(media)))
        system = texts(body.get("systemInstruction", {}).get("parts", []))
        declared = [tool for group in body.get("tools", ()) for tool in group["functionDeclarations"]]
        return Heard(
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
