"""The providers that run on one's own machine: Ollama by both of its APIs, and the offline backend."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kit.wire import Answer, ollama

from alloy.backends.http.errors import status_error
from alloy.errors import ProviderError, UnsupportedError
from alloy.messages import Reply, ToolCall, Usage
from suite.providers import OpenAIChat, Provider, join
from suite.saying import Fail, Heard, Result, Say, Told

SHAPE = "\n\nGive your answer as "  # from here on a user's word is Alloy's, of the shape


class Ollama(Provider):
    name, title, model = "ollama", "Ollama", "ollama:llama3.2"
    absent_ids = True
    request_id = None
    counts = (10, 5, 0, 0)
    keys: Mapping[str, Any] = {
        "temperature": {"options": {"temperature": 0.5}},
        "max_tokens": {"options": {"num_predict": 77}},
        "top_p": {"options": {"top_p": 0.25}},
        "seed": {"options": {"seed": 7}},
        "stop": {"options": {"stop": ["END"]}},
        "allowed_tools": {},
        "reasoning_effort": {"think": True},
    }

    def whole(self, say: Say) -> Any:
        reason = "length" if say.ending == "length" else "stop"
        text = say.text
        return ollama.answer(text=text, calls=say.calls, reason=reason, usage=say.usage[:2])

    def sent(self, whole: Any, *, streamed: bool) -> Answer:
        return ollama.stream(whole) if streamed else ollama.reply(whole)

    def failed(self, fail: Fail) -> Answer:
        return self.waits(ollama.failure(fail.status, fail.message), fail.wait)

    def heard(self, body: Any) -> Heard:
        turns, system = list[Told](), ""
        for message in body["messages"]:
            match message["role"]:
                case "system":
                    system = message["content"]
                case "user":
                    images = tuple(("image/png", data) for data in message.get("images", ()))
                    turns.append(Told("user", message["content"].partition(SHAPE)[0], media=images))
                case "assistant":
                    calls = [(call.get("id"), call["function"]) for call in message.get("tool_calls", ())]
                    made = tuple((id_, call["name"], call["arguments"]) for id_, call in calls)
                    turns.append(Told("assistant", message["content"], made))
                case "tool":
                    back = Result(message["tool_call_id"], message["tool_name"], message["content"])
                    join(turns, Told("results", results=(back,)))
        tools = tuple(tool["function"]["name"] for tool in body.get("tools", ()))
        return Heard(tuple(turns), system, tools, body.get("format"), body["stream"], body)


class OllamaChat(OpenAIChat):
    name, title, model = "ollama-chat", "Ollama Chat", "ollama-chat:llama3.2"
    lacks: Mapping[str, Any] = Provider.lacks
    request_id = None
    keys: Mapping[str, Any] = {**OpenAIChat.keys, "max_tokens": {"max_tokens": 77}}

    def failed(self, fail: Fail) -> Answer:
        return self.waits(ollama.failure(fail.status, fail.message), fail.wait)


class Fake(Provider):
    """No wire: what it says are replies, and what it hears are bodies."""

    name, title, model = "fake", "Offline", "fake:fake"
    absent_ids = True
    request_id = "req_1"
    keys: Mapping[str, Any] = {
        "temperature": {"temperature": 0.5},
        "max_tokens": {"max_tokens": 77},
        "top_p": {"top_p": 0.25},
        "seed": {"seed": 7},
        "stop": {"stop": ["END"]},
        "tool_choice": {"tool_choice": "add"},
        "allowed_tools": {"allowed_tools": ["add"]},
        "parallel_tools": {"parallel_tools": False},
        "reasoning_effort": {"reasoning_effort": "low"},
        "prompt_caching": {"prompt_caching": True},
    }

    def settings(self, url: str) -> dict[str, Any]:
        return {"model": self.model, "base_url": url}  # not used, but what is learned is learned of it

    def whole(self, say: Say) -> Reply:
        calls = []
        for position, (name, given, *call_id) in enumerate(say.calls):
            text = given if isinstance(given, str) else json.dumps(given)
            calls.append(ToolCall(call_id[0] if call_id else f"call_{name}_{position}", name, text))
        text, usage = say.text, Usage(*say.usage)
        return Reply(text, tuple(calls), say.ending, usage, model="fake", explanation=say.why)

    def error(self, fail: Fail) -> ProviderError:
        """What the script raises in the provider's place."""
        if fail.lacks:
            return UnsupportedError(fail.message, feature=fail.lacks, provider="fake", status=fail.status)
        headers = {} if fail.wait is None else {"retry-after": fail.wait}
        return status_error("fake", fail.status, fail.message, request_id="req_1", headers=headers)

    def heard(self, body: Any) -> Heard:
        turns = list[Told]()
        for message in body["messages"]:
            match message["role"]:
                case "user":
                    content = message["content"]
                    parts = [content] if isinstance(content, str) else content
                    media = [part for part in parts if isinstance(part, dict)]
                    found = tuple(
                        (part.get("media_type", ""), part.get("data") or part["url"]) for part in media
                    )
                    text = "\n".join(part for part in parts if isinstance(part, str))
                    turns.append(Told("user", text, media=found))
                case "assistant":
                    calls = message.get("calls", ())
                    made = tuple(
                        (call["id"], call["name"], json.loads(call["arguments"] or "{}")) for call in calls
                    )
                    turns.append(Told("assistant", message["content"], made))
                case "tool":
                    back = Result(message["call"], message["name"], message["content"])
                    join(turns, Told("results", results=(back,)))
        tools = tuple(tool["name"] for tool in body.get("tools", ()))
        shape = body.get("output", {}).get("schema")
        return Heard(tuple(turns), body.get("system", ""), tools, shape, body=body)
