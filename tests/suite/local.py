"""The providers that run locally: Ollama with both of its APIs, and the offline backend."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kit.wire import Answer, ollama

from alloy.backends.http.errors import ErrorBody, ErrorReader, Failure
from alloy.errors import ProviderError, UnsupportedError
from alloy.messages import Reply, ToolCall, Usage
from suite.providers import OpenAIChat, Provider, join
from suite.script import ErrorAnswer, HistoryTurn, ModelTurn, ReceivedRequest, SentResult

SHAPE = "\n\nGive your answer as "  # Alloy adds the description of the type after this text


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

    def whole(self, turn: ModelTurn) -> Any:
        reason = "length" if turn.ending == "length" else "stop"
        text = turn.text
        return ollama.answer(text=text, calls=turn.calls, reason=reason, usage=turn.usage[:2])

    def over_http(self, whole: Any, *, streamed: bool) -> Answer:
        return ollama.stream(whole) if streamed else ollama.reply(whole)

    def error_answer(self, error: ErrorAnswer) -> Answer:
        return self.with_retry_after(ollama.failure(error.status, error.message), error.wait)

    def read(self, body: Any) -> ReceivedRequest:
        turns, system = list[HistoryTurn](), ""
        for message in body["messages"]:
            match message["role"]:
                case "system":
                    system = message["content"]
                case "user":
                    images = tuple(("image/png", data) for data in message.get("images", ()))
                    turns.append(HistoryTurn("user", message["content"].partition(SHAPE)[0], media=images))
                case "assistant":
                    calls = [(call.get("id"), call["function"]) for call in message.get("tool_calls", ())]
                    made = tuple((id_, call["name"], call["arguments"]) for id_, call in calls)
                    turns.append(HistoryTurn("assistant", message["content"], made))
                case "tool":
                    back = SentResult(message["tool_call_id"], message["tool_name"], message["content"])
                    join(turns, HistoryTurn("results", results=(back,)))
        tools = tuple(tool["function"]["name"] for tool in body.get("tools", ()))
        return ReceivedRequest(tuple(turns), system, tools, body.get("format"), body["stream"], body)


class OllamaChat(OpenAIChat):
    name, title, model = "ollama-chat", "Ollama Chat", "ollama-chat:llama3.2"
    lacks: Mapping[str, Any] = Provider.lacks
    request_id = None
    keys: Mapping[str, Any] = {**OpenAIChat.keys, "max_tokens": {"max_tokens": 77}}

    def error_answer(self, error: ErrorAnswer) -> Answer:
        return self.with_retry_after(ollama.failure(error.status, error.message), error.wait)


class Fake(Provider):
    """The offline backend: it uses no network, so its answers are replies and its requests are bodies."""

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
        # The address is not used, but Alloy remembers missing features by address.
        return {"model": self.model, "base_url": url}

    def whole(self, turn: ModelTurn) -> Reply:
        calls = []
        for position, (name, given, *call_id) in enumerate(turn.calls):
            text = given if isinstance(given, str) else json.dumps(given)
            calls.append(ToolCall(call_id[0] if call_id else f"call_{name}_{position}", name, text))
        text, usage = turn.text, Usage(*turn.usage)
        return Reply(text, tuple(calls), turn.ending, usage, model="fake", explanation=turn.why)

    def error(self, error: ErrorAnswer) -> ProviderError:
        """The exception that the script raises instead of an answer."""
        if error.lacks:
            return UnsupportedError(error.message, feature=error.lacks, provider="fake", status=error.status)
        headers = {} if error.wait is None else {"retry-after": error.wait}
        failure = Failure(ErrorBody(error.message), error.status, headers, request_id="req_1")
        return ErrorReader("fake").explain(failure)

    def read(self, body: Any) -> ReceivedRequest:
        turns = list[HistoryTurn]()
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
                    turns.append(HistoryTurn("user", text, media=found))
                case "assistant":
                    calls = message.get("calls", ())
                    made = tuple(
                        (call["id"], call["name"], json.loads(call["arguments"] or "{}")) for call in calls
                    )
                    turns.append(HistoryTurn("assistant", message["content"], made))
                case "tool":
                    back = SentResult(message["call"], message["name"], message["content"])
                    join(turns, HistoryTurn("results", results=(back,)))
        tools = tuple(tool["name"] for tool in body.get("tools", ()))
        shape = body.get("output", {}).get("schema")
        return ReceivedRequest(tuple(turns), body.get("system", ""), tools, shape, body=body)
