"""The conversation, driven by hand: what it asks for, and what it makes of what comes back."""

from __future__ import annotations

import ast
import inspect
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.scripted import ROUTE, Driven, question

from alloy._engine import conversation
from alloy._engine.effects import CallModel, RunTools, Sleep
from alloy._engine.fallbacks import TEXTS, Plan
from alloy._engine.policy import Policy
from alloy._engine.routes import Route
from alloy.backends.fake.backend import FakeBackend
from alloy.errors import (
    AlloyError,
    BadRequestError,
    EmptyAnswerError,
    FilteredError,
    ParseError,
    PostconditionError,
    RateLimitError,
    RefusalError,
    ServerError,
    TruncatedError,
    TurnLimitError,
    UnsupportedError,
)
from alloy.events import FallbackTaken
from alloy.messages import (
    OutputSchema,
    Reply,
    Request,
    ToolCall,
    ToolResult,
    ToolResults,
    ToolSchema,
    Usage,
    User,
)

ADD = ToolCall("1", "add", '{"a": 1}')
SUM = ToolResult(ADD, "3", 3, {"a": 1})
TOOL = ToolSchema("add", "Add.", {"type": "object", "properties": {}})


def read_int(text: str, _: object = None) -> int:
    """Read an int, as the typed layer would."""
    try:
        return int(text)
    except ValueError:
        raise ParseError("int", (f"{text!r} is no int",), text) from None


ASKED = Request("m", (User("how many?"),), tools=(TOOL,))


def talk(request: Request = ASKED, **changes: Any) -> Driven:
    """A conversation about an int, with a tool to help, that waits for its first reply."""
    return Driven(question(request, **{"read": read_int, **changes}))


def messages(talk: Driven) -> tuple[Any, ...]:
    """The messages of the pending request."""
    assert isinstance(talk.pending, CallModel)
    return talk.pending.request.messages


def test_an_answer_that_reads_ends_the_conversation():
    """One good reply is one turn, one attempt, and the value."""
    t = talk()
    t.resume(Reply("7", usage=Usage(3, 1), model="m-2026"))

    assert t.pending is None
    assert (t.result.value, t.result.text, t.result.turns, t.result.attempts) == (7, "7", 1, 1)
    assert (t.result.usage, t.result.model) == (Usage(3, 1), "p:m-2026")


def test_tool_results_go_back_before_anything_is_read():
    """A turn with calls is answered with their results and another request."""
    t = talk()
    called = Reply("let me see", (ADD,), "tool_calls", Usage(1, 1))
    t.resume(called)
    assert t.pending == RunTools(ROUTE, (ADD,))

    t.resume([SUM])
    assert messages(t) == (User("how many?"), called, ToolResults((SUM,)))

    t.resume(Reply("3", usage=Usage(2, 2)))
    assert (t.result.value, t.result.tool_calls, t.result.usage) == (3, (SUM,), Usage(3, 3))


def test_an_answer_that_does_not_read_goes_back_with_what_was_wrong():
    """The re-ask holds the problem, and its answer counts."""
    t = talk()
    t.resume(Reply("seven"))
    assert "'seven' is no int" in messages(t)[-1].text

    t.resume(Reply("7"))
    assert (t.result.value, t.result.turns) == (7, 2)


@pytest.mark.parametrize("reasks", [0, 1, 3])
def test_reasks_end(reasks: int):
    """After `reask` more tries the parse error is the caller's, with the whole transcript."""
    t = talk(policy=Policy(reask=reasks))
    for _ in range(reasks):
        t.resume(Reply("seven", usage=Usage(1, 1)))
    with pytest.raises(ParseError) as caught:
        t.resume(Reply("seven", usage=Usage(1, 1)))

    assert caught.value.usage == Usage(reasks + 1, reasks + 1)
    assert caught.value.transcript is not None
    assert len(caught.value.transcript) == 2 * (reasks + 1)


def test_a_postcondition_is_fed_back_then_raised():
    """What `check` finds wrong with a value goes back to the model once, and then to the caller."""
    t = talk(check=lambda value: None if value > 9 else "must be above 9")
    t.resume(Reply("7"))
    assert "must be above 9" in messages(t)[-1].text
    with pytest.raises(PostconditionError, match="must be above 9"):
        t.resume(Reply("8"))


def test_a_missing_answer_is_asked_for_once_without_tools():
    """Nothing said after the tools: one more request, in which none may be called."""
    t = talk()
    t.resume(Reply("  \n"))
    assert isinstance(t.pending, CallModel)
    assert t.pending.request.tool_choice == "none"
    assert t.pending.request.tools == (TOOL,)
    with pytest.raises(EmptyAnswerError):
        t.resume(Reply(""))


def test_finalizing_can_be_turned_off():
    """Without it a missing answer is an error at once."""
    t = talk(policy=Policy(auto_finalize=False))
    with pytest.raises(EmptyAnswerError):
        t.resume(Reply(""))


def test_no_answer_is_one_where_none_is_due():
    """A command without a value ends with an empty reply."""
    t = talk(read=lambda text, route: None, optional=True)
    t.resume(Reply(""))
    assert t.result.value is None


@pytest.mark.parametrize(
    ("finish", "kind"),
    [("refusal", RefusalError), ("length", TruncatedError), ("filter", FilteredError)],
)
def test_an_unfinished_answer_is_its_own_error(finish: Any, kind: type[Exception]):
    """It names the type, the reason and the text so far, even where the text would read."""
    t = talk()
    with pytest.raises(kind) as caught:
        t.resume(Reply("7", finish=finish, explanation="because"))

    assert "int" in str(caught.value)
    assert "because" in str(caught.value)
    assert caught.value.text == "7"


def test_a_truncated_turn_runs_no_tool():
    """Arguments that were cut off are never executed."""
    t = talk()
    with pytest.raises(TruncatedError):
        t.resume(Reply("", (ADD,), "length"))


def test_the_turn_limit_names_what_was_still_wanted():
    """After `max_tool_turns` rounds one more call is an error that carries the transcript."""
    t = talk(policy=Policy(max_tool_turns=2))
    for _ in range(2):
        t.resume(Reply("", (ADD,), "tool_calls"))
        t.resume([SUM])
    with pytest.raises(TurnLimitError, match="add") as caught:
        t.resume(Reply("", (ADD,), "tool_calls"))
    assert caught.value.transcript is not None
    assert len(caught.value.transcript) == 6


def busy(**details: Any) -> RateLimitError:
    """An error that passes with time."""
    return RateLimitError("slow down", provider="p", **details)


def test_a_transient_failure_is_tried_again_after_a_wait():
    """The same request goes out again; attempts are counted, turns are not."""
    t = talk()
    first = t.pending
    t.fail(busy(retry_after=3.0))
    assert isinstance(t.pending, Sleep)
    assert 3.0 <= t.pending.seconds < 3.2

    t.resume(None)
    assert t.pending == first
    t.resume(Reply("7"))
    assert (t.result.attempts, t.result.turns) == (2, 1)


def test_retries_end():
    """After `retry` more tries the provider's error is the caller's."""
    t = talk(policy=Policy(retry=1))
    t.fail(busy())
    t.resume(None)
    with pytest.raises(RateLimitError):
        t.fail(busy())


@pytest.mark.parametrize(
    "error",
    [
        BadRequestError("no", provider="p"),
        RateLimitError("quota", provider="p", transient=False),
        busy(retry_after=3600.0),
        ServerError("cut", provider="p", text="Once upon"),
        ValueError("a bug"),
    ],
    ids=["refused", "spent quota", "an hour's wait", "text already streamed", "a bug of ours"],
)
def test_what_trying_again_cannot_help_is_raised_at_once(error: Exception):
    """No second request goes out."""
    t = talk()
    with pytest.raises(type(error)):
        t.fail(error)


def test_retry_on_decides_alone():
    """It adds what is not transient, and leaves out what it does not name."""
    t = talk(policy=Policy(retry_on=(BadRequestError, RefusalError)))
    t.fail(BadRequestError("no", provider="p"))
    assert isinstance(t.pending, Sleep)
    t.resume(None)
    t.resume(Reply("", finish="refusal"))
    assert isinstance(t.pending, Sleep)

    with pytest.raises(RateLimitError):
        talk(policy=Policy(retry_on=(BadRequestError,))).fail(busy())


def test_a_refused_try_is_no_part_of_what_is_said_next():
    """After a retried refusal the conversation is as it was before it."""
    t = talk(policy=Policy(retry_on=(RefusalError,)))
    t.resume(Reply("never", finish="refusal"))
    t.resume(None)
    assert messages(t) == (User("how many?"),)


def test_a_spoken_refusal_is_not_tried_again():
    """What has reached the caller's ears cannot be taken back."""
    t = talk(policy=Policy(retry_on=(RefusalError,), streamed=True, emits=True))
    with pytest.raises(RefusalError):
        t.resume(Reply("never", finish="refusal"))
    assert [type(event).__name__ for event in t.events][-3:] == ["ReplyReceived", "UsageReport", "CallFailed"]


def test_a_tool_that_has_run_is_not_run_again_by_a_retry():
    """A failure after the tools repeats the request alone, with their results in it."""
    t = talk()
    t.resume(Reply("", (ADD,), "tool_calls"))
    t.resume([SUM])
    t.fail(busy())
    t.resume(None)
    assert messages(t)[-1] == ToolResults((SUM,))


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_script_can_be_closed_at_every_effect(steps: int):
    """Leaving early yields nothing more and raises nothing."""
    t = talk()
    for outcome in [Reply("", (ADD,), "tool_calls"), [SUM]][:steps]:
        t.resume(outcome)
    t.close()
    with pytest.raises(StopIteration):
        t._running._script.send(None)


def lacks(feature: str) -> UnsupportedError:
    """The provider's error for a feature that the model lacks."""
    return UnsupportedError("cannot", feature=feature, provider="p")


def test_a_missing_feature_is_emulated_once():
    """No native tools: the request is sent again for ReAct, is remembered, and shown in the result."""
    missing: list[Any] = []
    t = talk(on_missing_feature=lambda route, feature: missing.append((route, feature)))
    t.fail(lacks("tools"))
    assert isinstance(t.pending, CallModel)
    assert (t.pending.request.tool_mode, t.pending.request.output_mode) == ("react", "native")

    t.resume(Reply("7"))
    assert (t.result.downgrades, missing, t.result.attempts) == (("tools",), [(ROUTE, "tools")], 2)
    assert t.events == [FallbackTaken("tools", "p:m")]


def test_the_same_gap_twice_is_the_callers():
    """A server that still complains is not asked for ever."""
    t = talk()
    t.fail(lacks("tools"))
    with pytest.raises(UnsupportedError):
        t.fail(lacks("tools"))


@pytest.mark.parametrize("feature", ["output", "output_with_tools", "telepathy"])
def test_a_gap_that_does_not_concern_the_request_is_the_callers(feature: str):
    """There is no typed output in this request to describe in words."""
    with pytest.raises(UnsupportedError):
        talk().fail(lacks(feature))


def test_the_fallback_can_be_forbidden():
    """Then the provider's error is the caller's."""
    with pytest.raises(UnsupportedError):
        talk(policy=Policy(fallbacks=frozenset())).fail(lacks("tools"))


SHAPE = OutputSchema("int", {"type": "object", "properties": {"value": {"type": "integer"}}})


def typed(**changes: Any) -> Driven:
    """A conversation with a tool whose answer has a schema."""
    return talk(replace(ASKED, output=SHAPE), **changes)


def test_a_typed_answer_can_be_described_instead():
    """No native structured output: the shape goes into the prompt."""
    t = typed()
    t.fail(lacks("output"))
    assert isinstance(t.pending, CallModel)
    assert (t.pending.request.output_mode, t.pending.request.output) == ("prompted", SHAPE)


@pytest.mark.parametrize("known", [True, False], ids=["known", "found out"])
def test_tools_first_and_the_typed_answer_last(known: bool):
    """Where a model takes no shape beside tools, the shape waits until the tools are done."""
    t = talk(awaited=SHAPE) if known else typed()
    if not known:
        t.fail(lacks("output_with_tools"))
    assert isinstance(t.pending, CallModel)
    assert (t.pending.request.tools, t.pending.request.output) == ((TOOL,), None)

    t.resume(Reply("", (ADD,), "tool_calls"))
    t.resume([SUM])
    t.resume(Reply("It is three."))
    assert isinstance(t.pending, CallModel)
    assert (t.pending.request.tools, t.pending.request.output) == ((), SHAPE)

    t.resume(Reply("3"))
    assert (t.result.value, t.result.turns) == (3, 3)


def test_json_mode_is_still_there_in_the_last_turn():
    """Where the model takes neither a shape beside tools nor a shape alone."""
    asked = typed().pending.request
    t = Driven(
        question(
            asked, plan=lambda _: Plan(asked, json_object=True), policy=Policy(fallbacks=frozenset(TEXTS))
        )
    )
    t.fail(lacks("output_with_tools"))
    t.resume(Reply("It is three."))
    t.fail(lacks("output"))
    assert isinstance(t.pending, CallModel)
    assert (t.pending.request.output_mode, t.pending.request.json_object) == ("prompted", True)


OTHER = Route(FakeBackend("q"), "n")


def test_the_next_route_is_taken_when_one_is_given_up():
    """Its requests are planned for it, with the history that there is; the result names it."""
    plans = {ROUTE: Plan(ASKED), OTHER: Plan(replace(ASKED, model="n", seed=7))}
    t = Driven(question(ASKED, routes=(ROUTE, OTHER), plan=plans.get, read=read_int, policy=Policy(retry=0)))
    t.resume(Reply("", (ADD,), "tool_calls"))
    t.resume([SUM])
    t.fail(busy())
    assert isinstance(t.pending, CallModel)
    assert (t.pending.route, t.pending.request.seed) == (OTHER, 7)
    assert messages(t)[-1] == ToolResults((SUM,))

    t.resume(Reply("7"))
    assert (t.result.value, t.result.model, t.result.attempts) == (7, "q:n", 3)
    assert t.events == [FallbackTaken("model", "q:n")]


def test_the_last_route_has_the_last_word():
    """Then its error is the caller's."""
    t = Driven(question(ASKED, routes=(ROUTE, OTHER), policy=Policy(retry=0)))
    t.fail(busy())
    with pytest.raises(ServerError):
        t.fail(ServerError("down", provider="q"))


@pytest.mark.parametrize(
    "error",
    [ServerError("cut", provider="p", text="Once upon"), ParseError("int", ("no",), "x")],
    ids=["text was streamed", "the answer was bad"],
)
def test_a_route_is_not_given_up_for(error: AlloyError):
    """What the reader has seen cannot be taken back, and another model is not asked for a better answer."""
    t = Driven(question(ASKED, routes=(ROUTE, OTHER), policy=Policy(retry=0)))
    with pytest.raises(type(error)):
        t.fail(error)


def test_a_paused_turn_is_sent_back_as_it_is():
    """Nothing is added to it, and pausing for ever ends at the turn limit."""
    t = talk(policy=Policy(max_tool_turns=1))
    paused = Reply("hm", finish="pause")
    t.resume(paused)
    assert messages(t) == (User("how many?"), paused)
    with pytest.raises(TurnLimitError):
        t.resume(paused)


def test_what_was_said_before_a_pause_is_part_of_the_answer():
    """An answer in two pieces is one answer."""
    t = talk()
    t.resume(Reply("4", finish="pause"))
    t.resume(Reply("2"))
    assert (t.result.value, t.result.text) == (42, "42")


def test_a_forced_tool_is_forced_until_it_was_called():
    """Otherwise the model could never answer."""
    t = talk(replace(ASKED, tool_choice="add"))
    t.resume(Reply("", (ADD,), "tool_calls"))
    t.resume([SUM])
    assert isinstance(t.pending, CallModel)
    assert t.pending.request.tool_choice is None


events = st.one_of(
    st.just(Reply("", (ADD,), "tool_calls")),
    st.just(Reply("")),
    st.just(Reply("7")),
    st.just(Reply("seven")),
    st.sampled_from([replace(Reply("x"), finish=f) for f in ("refusal", "length", "filter")]),
    st.just(busy()),
    st.just(BadRequestError("no", provider="p")),
    st.just(Reply("", finish="pause")),
    st.sampled_from(["tools", "output", "output_with_tools"]).map(lacks),
)


@given(st.lists(events, min_size=60, max_size=60))
def test_whatever_the_model_does_the_conversation_ends(outcomes: list[Any]):
    """Within its limits there is a result or one of Alloy's errors, and never a third thing."""
    limits = Policy(retry=2, reask=2, max_tool_turns=3)
    t = typed(policy=limits)
    try:
        for outcome in outcomes:
            while isinstance(t.pending, Sleep | RunTools):
                t.resume([SUM] if isinstance(t.pending, RunTools) else None)
            if t.pending is None:
                break
            if isinstance(outcome, Exception):
                t.fail(outcome)
            else:
                t.resume(outcome)
    except AlloyError as error:
        assert error.transcript is not None
    else:
        assert t.pending is None
        assert t.result.value == 7


@given(st.integers(1, 5000), st.none() | st.floats(0, 60))
def test_waits_are_bounded(failures: int, asked: float | None):
    """No wait is negative, longer than the ceiling, or shorter than the provider asked for."""
    wait = Policy().wait(busy(retry_after=asked), failures)
    assert (asked or 0) <= wait <= max(30, (asked or 0) + 3)


# What returns a generator, or is an effect: a call of it without `yield from` would do nothing.
DROPPABLE = (
    *("CallModel", "RunTools", "Sleep", "Emit", "Elapsed"),
    *("_ask", "_converse", "_request", "_emit", "_continue_turn", "_fall_back", "_answer"),
)


def test_the_engine_forgets_no_yield_from():
    """An effect that is made and dropped would be a step left out; mypy does not see it."""
    tree = ast.parse(inspect.getsource(conversation))
    dropped = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and getattr(node.value.func, "id", "") in DROPPABLE
    ]
    assert dropped == []


def test_the_conversation_imports_no_clock_and_no_thread():
    """What performs nothing needs neither."""
    tree = ast.parse(inspect.getsource(conversation))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    assert not imported & {"time", "asyncio", "threading", "concurrent.futures"}
    assert not any(name.startswith("alloy.backends") for name in imported)
