"""The error tree: the message and the attributes of each error, also after pickling."""

import copy
import inspect
import pickle
import re
import threading
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import alloy
from alloy import AlloyError, AnswerError, ProviderError, ask, errors, tool
from alloy.errors import SNIPPET
from alloy.messages import Reply, ToolCall, ToolResult, ToolResults, Usage, User
from alloy.testing import call, calls, replies

ALL = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, AlloyError)]


# The arguments that a class needs in addition to those of its parent.
EXTRA: dict[str, dict[str, Any]] = {"UnsupportedError": {"feature": "tools"}}


def example(kind: type[AlloyError]) -> AlloyError:
    """One error of *kind* with every argument that it takes."""
    if issubclass(kind, ProviderError):
        error: AlloyError = kind(
            "it said no",
            provider="openai",
            status=418,
            code="teapot",
            request_id="req_1",
            retry_after=1.5,
            transient=not kind.transient,
            text="so far",
            **EXTRA.get(kind.__name__, {}),
        )
    elif issubclass(kind, AnswerError):
        error = kind("list[int]", ("$[0]: no int", "$[1]: no int"), "a text")
    elif kind is errors.ToolError:
        error = kind("too much", tool="pay")
    else:
        error = kind("what was wrong")
    error.usage = Usage(3, 4)
    error.transcript = (User("hello"), Reply("hi"))
    error.add_note("seen in a test")
    return error


def test_every_error_is_public():
    """The module, its `__all__` and the package name the same classes."""
    names = {kind.__name__ for kind in ALL}
    assert names == set(errors.__all__)
    assert names <= set(alloy.__all__)


def test_the_drawn_tree_is_the_tree():
    """The picture at the head of the module has every class below its parent."""
    assert errors.__doc__ is not None
    parents: dict[int, str] = {}
    drawn = {}
    for line in errors.__doc__.splitlines():
        if found := re.match(r"^([ │├└─]*)(\w+Error)\b", line):
            depth = len(found[1]) // 4
            parents[depth] = found[2]
            drawn[found[2]] = parents.get(depth - 1)
    assert drawn.pop("AlloyError") in (None, "AlloyError")
    assert drawn == {kind.__name__: kind.__base__.__name__ for kind in ALL if kind is not AlloyError}


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_survives_pickling(kind: type[AlloyError], protocol: int):
    """Class, message and every attribute come back."""
    error = example(kind)
    back = pickle.loads(pickle.dumps(error, protocol))
    assert type(back) is kind
    assert (str(back), back.args, vars(back)) == (str(error), error.args, vars(error))


@pytest.mark.parametrize("kind", ALL)
def test_every_error_can_be_copied(kind: type[AlloyError]):
    """`copy.copy` and `copy.deepcopy` give the same error."""
    error = example(kind)
    for back in (copy.copy(error), copy.deepcopy(error)):
        assert type(back) is kind and str(back) == str(error) and vars(back) == vars(error)


@pytest.mark.parametrize("kind", ALL)
def test_every_error_says_what_it_is(kind: type[AlloyError]):
    """Each class has its own docstring, and its message is text for a reader."""
    assert inspect.getdoc(kind) and "__doc__" in vars(kind)
    assert str(example(kind)) and "object at 0x" not in str(example(kind))


class Stubborn(errors.ServerError):
    """A third party's error, with an argument of its own."""

    def __init__(self, message: str, *, extra: int) -> None:
        super().__init__(message, provider="mine")
        self.extra = extra


def test_an_error_of_a_third_party_survives_too():
    """A subclass with another signature needs no `__reduce__` of its own."""
    back = pickle.loads(pickle.dumps(Stubborn("down", extra=3)))
    assert (type(back), str(back), back.extra, back.transient) == (Stubborn, "mine: down", 3, True)


def test_an_error_survives_although_a_tool_returned_what_cannot_travel():
    """The transcript is left out then; what went wrong arrives."""
    lock = threading.Lock()
    given = ToolResult(ToolCall("1", "take", "{}"), "a lock", value=lock)
    error = errors.ParseError("int", ("$: no int",), "x")
    error.usage, error.transcript = Usage(1, 2), (User("hello"), ToolResults((given,)))
    back = pickle.loads(pickle.dumps(error))
    assert (str(back), back.usage, back.transcript) == (str(error), Usage(1, 2), None)
    assert error.transcript[1].results[0].value is lock


def test_a_failed_run_tells_what_it_spent_and_said():
    """Usage and transcript are on the error of a call that had reached the model."""

    @tool
    def look() -> str:
        """Look."""
        return "a cat"

    with replies(call("look"), "no number"), pytest.raises(errors.ParseError) as raised:
        ask("How many?", output=int, tools=[look], reask=0)
    error = raised.value
    assert error.usage is not None and error.usage.total_tokens > 0
    assert error.transcript is not None
    assert [type(message) for message in error.transcript] == [User, Reply, ToolResults, Reply]
    assert error.text == "no number" and error.expected == "int" and error.problems
    assert pickle.loads(pickle.dumps(error)).transcript == error.transcript


def test_before_the_model_there_is_nothing_to_tell():
    """An error of the caller's own set-up has neither usage nor transcript."""
    with pytest.raises(errors.CommandError) as raised:
        ask(5)  # type: ignore[arg-type]
    assert (raised.value.usage, raised.value.transcript) == (None, None)


@given(text=st.text())
def test_a_long_answer_is_cut_in_the_message_and_whole_in_the_attribute(text: str):
    """The message shows the beginning, as `repr` writes it; the attribute has every character."""
    long = text + "y" * (SNIPPET + 1)
    error = AnswerError("int", ("no",), long)
    assert error.text == long
    assert repr(long[:SNIPPET] + "…") in str(error)
    assert "the model answered" not in str(AnswerError("int", ("no",)))


def test_provider_errors_show_where_to_look():
    """Provider, status and request id are in the message; what is unknown is left out."""
    assert str(ProviderError("no", provider="p")) == "p: no"
    assert str(ProviderError("no", provider="p", status=500)) == "p: no (status 500)"
    both = ProviderError("no", provider="p", status=500, request_id="r1")
    assert str(both) == "p: no (status 500, request r1)"


TRANSIENT = {
    "ProviderConnectionError",
    "ProviderTimeoutError",
    "RateLimitError",
    "ServerError",
    "BadReplyError",
}


@pytest.mark.parametrize("kind", [kind for kind in ALL if issubclass(kind, ProviderError)])
def test_each_provider_error_knows_whether_trying_again_can_help(kind: type[ProviderError]):
    """By class, unless it is raised with another value."""
    extra = EXTRA.get(kind.__name__, {})
    assert kind("x", provider="p", **extra).transient is (kind.__name__ in TRANSIENT)
    assert kind("x", provider="p", transient=True, **extra).transient is True
    assert kind("x", provider="p", transient=False, **extra).transient is False


UNFINISHED: list[tuple[Any, type[AnswerError]]] = [
    (Reply("", finish="refusal", explanation="I will not"), errors.RefusalError),
    (Reply("4", finish="length"), errors.TruncatedError),
    (Reply("", finish="filter", explanation="violence"), errors.FilteredError),
    ("  ", errors.EmptyAnswerError),
    ("no number", errors.ParseError),
]


@pytest.mark.parametrize(("answer", "kind"), UNFINISHED)
def test_each_bad_answer_has_its_own_error(answer: Any, kind: type[AnswerError]):
    """Refused, cut off, filtered, empty and unreadable answers; each error has the expected type."""
    with replies(answer), pytest.raises(kind) as raised:
        ask("How many?", output=int, reask=0, auto_finalize_missing_output=False)
    assert type(raised.value) is kind
    assert raised.value.expected == "int"
    explanation = answer.explanation if isinstance(answer, Reply) else ""
    assert explanation in str(raised.value)


CUT = '[{"value": 1, "note": "a"}, {"value": 2, "no'


@dataclass
class Noted:
    """A number with a note."""

    value: int
    note: str


@pytest.mark.parametrize("pieces", [(CUT,), (CUT[:9], CUT[9:])])
@pytest.mark.parametrize("finish", ["length", "filter", "stop"])
def test_what_arrived_of_an_answer_is_not_lost(pieces: tuple[str, ...], finish: Any):
    """However its end is missing, also after a pause; it is pickled with the error."""
    *paused, last = pieces
    turns = [*(Reply(text, finish="pause") for text in paused), Reply(last, finish=finish)]
    with replies(*turns), pytest.raises(AnswerError) as raised:
        ask("go", output=list[Noted], reask=0)
    for error in (raised.value, pickle.loads(pickle.dumps(raised.value))):
        assert error.text == CUT
        assert error.partial is not None
        assert error.partial.elements() == [Noted(1, "a")]
        assert error.partial.get(lambda found: found[1].value) == 2
        assert error.partial == [{"value": 1, "note": "a"}, {"value": 2}]


@pytest.mark.parametrize("answer", ['[{"value": "x"}]', "none", Reply("", finish="length"), "[1] or [2]"])
def test_an_answer_that_is_not_cut_off_has_no_partial(answer: Any):
    """Nor one of which nothing arrived."""
    with replies(answer), pytest.raises(AnswerError) as raised:
        ask("go", output=list[Noted], reask=0)
    assert raised.value.partial is None


def test_the_contract_of_a_parallel_call_does_not_hide_the_other(caplog: pytest.LogCaptureFixture):
    """Of two calls in one turn, the one that fails is the only one with an error."""

    def half(number: int) -> float:
        """Half of a number."""
        return 1 / number

    with replies(calls(call("half", number=0), call("half", number=2)), "ok"):
        done = ask.run("go", tools=[half])
    assert [made.error for made in done.tool_calls] == ["ZeroDivisionError: division by zero", None]
    assert "half" in caplog.text and "ZeroDivisionError" in caplog.text
