"""Prompt caching: which prefixes are marked at which provider, and the warning for marks that never help."""

from __future__ import annotations

import itertools
import logging
from typing import Any

import pytest
from kit.wire import WireServer, anthropic

import alloy
from alloy import CachePoint, Command, CommandError, ConfigurationError, Conversation, Image, Message, ask
from alloy._engine.prefixes import CALLS
from alloy.backends.base import Backend
from alloy.backends.openai.chat import OpenAIChatBackend
from alloy.backends.openai.responses import OpenAIBackend
from alloy.messages import Request, User
from alloy.testing import replies

CLAUDE, GPT, CHAT = "anthropic:claude-sonnet-4-6", "openai:gpt-5.6", "openai-chat:gpt-5.6"
MARK, LONG = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
PICTURE = Image.from_url("https://example.com/a.png")


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, "test")


def add(a: int) -> int:
    """Add."""
    return a


def body(prompt: Any, model: str, **options: Any) -> dict[str, Any]:
    return ask.request(prompt, model=model, **options)


def marked(value: Any) -> list[str]:
    """The texts in a body that a mark stands at, in their order."""
    if isinstance(value, list):
        return [text for each in value for text in marked(each)]
    if not isinstance(value, dict):
        return []
    inner = [text for each in value.values() for text in marked(each)]
    has = "cache_control" in value or "prompt_cache_breakpoint" in value
    return [*inner, str(value.get("text", value.get("type", value.get("name", ""))))] if has else inner


# --- marks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [CLAUDE, GPT, CHAT])
def test_a_cache_point_marks_the_part_before_it(model: str) -> None:
    """The text stays a part of its own, and the question is not marked."""
    sent = body(["the contract", CachePoint(), "Who signs?"], model)
    (message,) = sent.get("input") or sent["messages"]
    assert marked(message["content"]) == ["the contract"]
    assert [part["text"] for part in message["content"]] == ["the contract", "Who signs?"]


@pytest.mark.parametrize("model", ["gemini:gemini-3-flash-preview", "openai:gpt-5.5", "openai-chat:qwen3"])
def test_where_there_are_no_marks_the_prompt_is_the_same(model: str) -> None:
    """Those providers look at the beginning of a prompt themselves."""
    parts = ["the contract", "Who signs?"]
    with_point = [parts[0], CachePoint(), parts[1]]
    assert body(with_point, model) == body(parts, model)


@pytest.mark.parametrize("model", [CLAUDE, GPT, CHAT])
def test_false_sends_no_mark(model: str) -> None:
    assert marked(body(["the contract", CachePoint(), "Who?"], model, prompt_caching=False)) == []


def test_the_setting_marks_what_a_command_repeats_at_anthropic() -> None:
    """The system prompt, with the tools before it; without one, the last tool; and the whole request."""
    sent = body("Hi", CLAUDE, prompt_caching=True, system="Be brief.", tools=[add])
    assert sent["system"] == [{"type": "text", "text": "Be brief.", "cache_control": MARK}]
    assert (sent["cache_control"], marked(sent["tools"])) == (MARK, [])
    sent = body("Hi", CLAUDE, prompt_caching=True, tools=[add, alloy.tool(name="other")(add)])
    assert [tool.get("cache_control") for tool in sent["tools"]] == [None, MARK]
    assert sent["cache_control"] == MARK


def test_long_is_the_providers_longest_lifetime() -> None:
    """An hour at Anthropic and twelve at OpenAI's Responses API; Chat Completions have one lifetime."""
    prompt = ["the contract", CachePoint(), "Who?"]
    sent = body(prompt, CLAUDE, prompt_caching="long", system="Be brief.")
    assert sent["cache_control"] == sent["system"][0]["cache_control"] == LONG
    assert sent["messages"][0]["content"][0]["cache_control"] == LONG
    assert body(prompt, GPT, prompt_caching="long")["prompt_cache_options"] == {"ttl": "12h"}
    for model in ("openai:gpt-5.5", CHAT):
        assert "prompt_cache_options" not in body(prompt, model, prompt_caching="long")


@pytest.mark.parametrize(
    ("model", "options", "kept"),
    [
        (CLAUDE, {}, ["2", "3", "4", "5"]),
        (CLAUDE, {"prompt_caching": True, "system": "s"}, ["s", "4", "5"]),
        (GPT, {}, ["3", "4", "5"]),
        (CHAT, {}, ["3", "4", "5"]),
    ],
)
def test_of_many_marks_the_last_are_sent(model: str, options: dict[str, Any], kept: list[str]) -> None:
    """Providers refuse more, or do not write more; with the setting Anthropic has two others."""
    parts = [part for number in range(6) for part in (str(number), CachePoint())]
    sent = body([*parts, "Who?"], model, **options)
    assert marked([sent.get("system"), sent.get("input") or sent["messages"]]) == kept


@pytest.mark.parametrize(
    ("model", "takes"),
    [
        ("gpt-5.6", True),
        ("gpt-5.6-mini-2026-10-01", True),
        ("gpt-6", True),
        ("gpt-5.10", True),
        ("gpt-5.5", False),
        ("gpt-5", False),
        ("gpt-4o", False),
        ("o3", False),
        ("gpt-oss-120b", False),
    ],
)
@pytest.mark.parametrize("backend", [OpenAIBackend(), OpenAIChatBackend()], ids=["responses", "chat"])
def test_openai_takes_marks_from_5_6_on(backend: Backend, model: str, takes: bool) -> None:
    sent = backend.encode(Request(model, (User(("a", "b"), (1,)),)))
    assert bool(marked(sent.get("input") or sent["messages"])) is takes


@pytest.mark.parametrize("model", [CLAUDE, GPT, CHAT])
def test_points_in_other_places(model: str) -> None:
    """A point may stand after an image, in an earlier message, twice, and at the end."""
    prompt = [
        Message("user", ["the contract", CachePoint()]),
        Message("assistant", "Thanks."),
        PICTURE,
        CachePoint(),
        CachePoint(),
        "And this?",
    ]
    sent = body(prompt, model)
    shown = sent.get("input") or sent["messages"]
    assert marked(shown)[0] == "the contract"
    assert len(marked(shown)) == 2
    assert "image" in marked(shown)[1]
    assert ask.request(["a", CachePoint()], model=model)  # the end of the prompt is a place, too


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [
        ([CachePoint(), "a"], "nothing before it"),
        ([Message("assistant", "a"), CachePoint(), "b"], "nothing before it"),
        (["a", CachePoint, "b"], r"write CachePoint\(\)"),
    ],
)
def test_a_point_in_a_wrong_place_is_refused(prompt: Any, problem: str) -> None:
    with pytest.raises(CommandError, match=problem):
        ask(prompt)


def test_another_value_of_the_setting_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="prompt_caching must be a bool or \"long\", not '1h'"):
        ask("a", prompt_caching="1h")  # type: ignore[call-overload]


@pytest.mark.parametrize("options", [{"output_mode": "prompted"}, {"tool_mode": "react", "tools": [add]}])
@pytest.mark.parametrize("prompt", [["the contract", CachePoint()], ["the contract", CachePoint(), "Sum?"]])
def test_emulated_features_leave_the_prefix_as_it_is(prompt: Any, options: dict[str, Any]) -> None:
    """What they add to the prompt comes after the mark."""
    sent = alloy.command(output=int, model=CLAUDE, **options)(_returns(prompt)).request()
    first, *others = sent["messages"][0]["content"]
    assert (first["text"], first["cache_control"]) == ("the contract", MARK)
    assert others
    assert not marked(others)


def _returns(prompt: Any) -> Any:
    def summed() -> list[str | CachePoint]:
        return prompt

    return summed


def test_a_conversation_keeps_its_points() -> None:
    """In memory, and as JSON."""
    chat = Conversation()
    with replies("Ann"):
        ask(["the contract", CachePoint(), "Who signs?"], conversation=chat)
    loaded = Conversation.from_json(chat.to_json())
    assert loaded == chat
    sent = body("When?", CLAUDE, conversation=loaded)
    assert marked(sent["messages"]) == ["the contract"]
    assert '"cache_points"' not in Conversation([User("a")]).to_json()  # older versions read it


def test_what_was_cached_is_in_the_usage(server: WireServer) -> None:
    """What was read and what was written are counted, and both are part of the input."""
    usage = {
        "input_tokens": 5,
        "output_tokens": 2,
        "cache_creation_input_tokens": 100,
        "cache_read_input_tokens": 2000,
    }
    server.script(anthropic.reply({**anthropic.message(text="Ann"), "usage": usage}))
    used = ask.run(["the contract", CachePoint(), "Who?"], model=CLAUDE, base_url=server.url).usage
    assert (used.input_tokens, used.cached_tokens, used.cache_write_tokens) == (2105, 2000, 100)
    assert marked(server.requests[0].json["messages"]) == ["the contract"]


# --- the warning --------------------------------------------------------------------------------------

_numbers = itertools.count()


def warnings(caplog: pytest.LogCaptureFixture, prompts: list[Any], **options: Any) -> list[str]:
    """What is logged while a command, which no test had before, asks with each of *prompts*."""

    def body(prompt: Any) -> list[str | CachePoint]:
        return prompt

    body.__qualname__ = body.__name__ = f"asked_{next(_numbers)}"
    command: Command[..., str] = alloy.command(**options)(body)
    with caplog.at_level(logging.WARNING, "alloy"), replies(*["ok"] * len(prompts)):
        for prompt in prompts:
            if isinstance(prompt, dict):
                command.with_options(**prompt)("Hi")
            else:
                command(prompt)
    return [record.getMessage() for record in caplog.records]


def test_a_system_prompt_with_a_time_is_noticed_once(caplog: pytest.LogCaptureFixture) -> None:
    """The warning names the command and the place, and repeats no text of the prompt."""
    times = [{"system": f"It is 12:{number:02}.", "prompt_caching": True} for number in range(3 * CALLS)]
    (warning,) = warnings(caplog, times)
    assert warning.startswith("asked_")
    assert "what is before the prompt" in warning
    assert f"in each of the last {CALLS} calls" in warning
    assert "the difference is in the system prompt, from character 11 on" in warning
    assert "It is" not in warning


def test_a_document_before_a_point_that_never_comes_again(caplog: pytest.LogCaptureFixture) -> None:
    (warning,) = warnings(caplog, [[f"Document {n}", CachePoint(), "Who?"] for n in range(CALLS)])
    assert "what is before CachePoint 1" in warning
    assert "part 1 of the prompt, from character 10 on" in warning


@pytest.mark.parametrize(
    "prompts",
    [
        [["the contract", CachePoint(), f"Question {n}"] for n in range(2 * CALLS)],
        [[f"Document {n // 2}", CachePoint(), f"Question {n}"] for n in range(4 * CALLS)],
        [[f"Document {n}", CachePoint(), "Who?"] for n in range(CALLS - 1)],
        [[f"Document {n}", "Who?"] for n in range(2 * CALLS)],
        [{"system": f"It is {n}.", "prompt_caching": False} for n in range(2 * CALLS)],
        [{"system": f"It is {n}."} for n in range(2 * CALLS)],
        [{"prompt_caching": True} for n in range(2 * CALLS)],
    ],
    ids=["same", "in pairs", "few", "no point", "switched off", "not switched on", "nothing repeated"],
)
def test_no_warning_where_caching_can_help_or_is_not_asked_for(
    caplog: pytest.LogCaptureFixture, prompts: list[Any]
) -> None:
    assert warnings(caplog, prompts) == []


def test_tools_and_images_that_change(caplog: pytest.LogCaptureFixture) -> None:
    tools = [{"tools": [alloy.tool(name=f"add_{n}")(add)], "prompt_caching": True} for n in range(CALLS)]
    assert "the difference is in the tools" in warnings(caplog, tools)[0]
    caplog.clear()
    images = [
        [Image.from_bytes(b"\x89PNG\r\n\x1a\n" + bytes([n])), CachePoint(), "Who?"] for n in range(CALLS)
    ]
    assert "the difference is in part 1 of the prompt." in warnings(caplog, images)[0]
    caplog.clear()
    several = [[*["a"] * (n + 1), CachePoint(), "Who?"] for n in range(CALLS)]
    assert "how many parts there are" in warnings(caplog, several)[0]
