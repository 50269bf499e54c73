"""What is passed wrongly is an error of Alloy's that names the argument and what to write instead."""

import asyncio
import functools
import inspect
import pickle
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

import alloy
from alloy import (
    CommandError,
    ConfigurationError,
    Conversation,
    Document,
    Image,
    ask,
    command,
    ensure,
    register_backend,
    require,
    tool,
)
from alloy.backends import Capabilities
from alloy.backends.registry import registrations_undone, resolve
from alloy.messages import User
from alloy.testing import FakeBackend, replies


@command
def greet(name: str) -> str:
    """A command without options."""
    return f"Greet {name}."


@command
async def greet_async(name: str) -> str:
    """An async command."""
    return f"Greet {name}."


def pay(amount: int) -> str:
    """A plain function."""
    return str(amount)


# --- conversations --------------------------------------------------------------------------------


@pytest.mark.parametrize("turns", ["x", 5, None, [1], ["hello"], {"role": "user"}, b"x"])
def test_a_conversation_takes_only_turns(turns: Any):
    """And says how one begins, and how a saved one is loaded."""
    with pytest.raises(
        ConfigurationError, match=r"takes the turns .*: begin with Conversation\(\), .*from_json\(text\)"
    ):
        Conversation(turns)


def test_a_conversation_takes_any_collection_of_turns():
    """A list, a tuple, another conversation."""
    turns = [User("Hello")]
    assert Conversation(turns) == Conversation(tuple(turns)) == Conversation(Conversation(turns))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("not json", r"it is not JSON \(Expecting value"),
        (b"\xff", "it is not JSON"),
        ("chats/today.json", "it is not JSON"),
        (None, "it is None, and not text"),
        (5, "it is 5, and not text"),
        ("5", "it is not a JSON object but 5"),
        ('{"alloy": 1, "turns": 5}', "5 is in the place of a list"),
        ('{"alloy": 1, "turns": {"a": 1}}', "{'a': 1} is in the place of a list"),
        ('{"alloy": 1, "turns": [{"user": 5}]}', "5 is in the place of a list"),
        ('{"alloy": 1, "turns": [{"results": null}]}', "None is in the place of a list"),
        ('{"alloy": 1, "turns": [{"assistant": "", "calls": "abc", "echo": null}]}', "'abc' is in the place"),
    ],
)
def test_other_text_than_a_saved_conversation(text: Any, problem: str):
    """No wording of Python's json module alone."""
    with pytest.raises(ConfigurationError, match=r"^not a conversation saved by .*to_json\(\): " + problem):
        Conversation.from_json(text)


# --- prompts and their parts ----------------------------------------------------------------------


@pytest.mark.parametrize("context", [object(), {"a": object()}, [pay], greet, b"\xff", ValueError("x")])
def test_a_context_that_json_cannot_hold_is_refused(context: Any):
    """Its repr is of no use to a model; nothing is sent."""
    with replies(), pytest.raises(ConfigurationError, match=r"^ask\(\): context must be a str or .*as text"):
        ask("What?", context=context)


@pytest.mark.parametrize("prompt", [None, 5, b"x", object(), Image])
def test_ask_says_what_it_takes(prompt: Any):
    """It returns no prompt: that is what a command does."""
    with replies(), pytest.raises(CommandError, match=r"^ask\(\) takes its prompt as str, .*, not \w+: "):
        ask(prompt)
    with replies(), pytest.raises(CommandError, match=r"^ask\(\) takes its prompt as str"):
        ask(prompt, context="x")


def test_a_coroutine_is_no_prompt():
    """It is closed, so that Python does not warn about it."""

    async def prompt() -> str:
        return "hello"

    with replies(), pytest.raises(CommandError, match="not coroutine"):
        ask(prompt())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda kind: kind.from_path(5), r"from_path\(\) takes a str or a Path, not 5"),
        (lambda kind: kind.from_path(None), "not None"),
        (
            lambda kind: kind.from_bytes("scan.png"),
            r"takes bytes, not 'scan.png': from_path\(\) reads a file",
        ),
        (lambda kind: kind.from_bytes(5), "takes bytes, not 5"),
        (lambda kind: kind.from_url(5), r"takes an http\(s\) URL, not 5"),
        (lambda kind: kind.from_url(b"https://x/y.png"), "not b'https"),
    ],
)
@pytest.mark.parametrize("kind", [Image, Document])
def test_the_sources_of_parts(kind: Any, make: Callable[[Any], Any], problem: str):
    """A `CommandError`, as for a file of another kind."""
    with pytest.raises(CommandError, match=f"^{kind.__name__}.*{problem}"):
        make(kind)


# --- commands and tools ---------------------------------------------------------------------------


@dataclass
class Person:
    """A type."""

    name: str


@pytest.mark.parametrize(
    ("given", "fix"),
    [
        (int, r"write @command\(output=int\)"),
        (Person, r"write @command\(output=Person\)"),
        (list[int], r"write @command\(output=list\[int\]\)"),
        (int | None, r"write @command\(output=int \| None\)"),
        ("gpt-5", r"write @command\(model='gpt-5'\)"),
        (5, "5$"),
    ],
)
def test_an_option_in_the_place_of_the_function(given: Any, fix: str):
    """`@command(int)` means the output, and `@command("gpt-5")` the model."""
    with pytest.raises(ConfigurationError, match=f"^@command needs a function, not .*{fix}"):
        command(given)


def test_a_name_in_the_place_of_the_tool():
    """In `tools=` there is nothing to rename."""
    with pytest.raises(ConfigurationError, match=r"not 'pay': write @tool\(name='pay'\)"):
        tool("pay")  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match=r"^ask\(\): tools has 'pay', which is neither"):
        ask("x", tools=["pay"])  # type: ignore[list-item]


@pytest.mark.parametrize("one", [pay, tool(pay)])
def test_one_tool_in_the_place_of_a_list(one: Any):
    """The error shows the list."""
    with pytest.raises(ConfigurationError, match=r"tools must be a list of tools, .*: write tools=\[pay\]"):
        ask("x", tools=one)


WAYS: dict[str, Callable[..., Any]] = {
    "call": lambda *args, **kwargs: greet(*args, **kwargs),
    "run": greet.run,
    "async_": lambda *args, **kwargs: asyncio.run(greet.async_(*args, **kwargs)),
    "run_async": lambda *args, **kwargs: asyncio.run(greet.run_async(*args, **kwargs)),
    "stream": greet.stream,
    "stream_async": greet.stream_async,
    "request": greet.request,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("option", ["model", "temperature", "output", "tools", "default_system"])
def test_an_option_that_is_passed_to_a_call(way: str, option: str):
    """It belongs into `with_options`; nothing is sent."""
    with (
        replies(),
        pytest.raises(
            ConfigurationError,
            match=rf"^greet\(\): {option} is an option .*write greet\.with_options\({option}=…\)\(…\)",
        ),
    ):
        WAYS[way]("Ada", **{option: None})


def test_an_option_that_is_passed_to_an_async_command():
    """When it is awaited, and when its stream is read."""

    @command
    async def later(name: str) -> str:
        return name

    with replies(), pytest.raises(ConfigurationError, match=r"write later\.with_options\(model=…\)"):
        asyncio.run(later("Ada", model="gpt-5"))  # type: ignore[call-arg]
    with replies(), pytest.raises(ConfigurationError, match=r"write later\.with_options\(model=…\)"):
        asyncio.run(later.stream("Ada", model="gpt-5").result())  # type: ignore[call-arg]


def test_a_parameter_may_have_the_name_of_an_option():
    """Then it is the function's, also among `**others`; a parameter of another name stays a `TypeError`."""

    @command
    def about(model: str, *, stop: str = "") -> str:
        return model + stop

    @command
    def anything(**others: str) -> str:
        return "".join(others.values())

    with replies("a", "b"):
        assert about(model="T", stop="!") == "a"
        assert anything(model="T") == "b"
    with replies(), pytest.raises(TypeError, match="unexpected keyword argument 'nme'"):
        greet(nme="Ada")  # type: ignore[call-arg]


def numbers(limit: int) -> Iterator[int]:
    """Yields."""
    yield from range(limit)


async def numbers_later(limit: int) -> AsyncIterator[int]:
    """Yields, later."""
    yield limit


class Numbers:
    """An object that yields when it is called."""

    def __call__(self, limit: int) -> Iterator[int]:
        yield limit

    def method(self, limit: int) -> Iterator[int]:
        """Yields."""
        yield limit


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (numbers, "a generator"),
        (numbers_later, "an async generator"),
        (Numbers(), "a generator"),
        (Numbers().method, "a generator"),
        (functools.partial(numbers, limit=1), "a generator"),
        (require(lambda limit: limit > 0, "no")(numbers), "a generator"),
    ],
)
def test_a_generator_is_no_tool(function: Any, kind: str):
    """A model gets one result; plain functions in `tools=` are checked, too."""
    with pytest.raises(ConfigurationError, match=f"is {kind}, and a model gets one result: return a list"):
        tool(function)
    with pytest.raises(ConfigurationError, match=rf"^ask\(\): .* is {kind}"):
        ask("x", tools=[function])


def test_a_function_that_returns_the_elements_of_a_generator_is_a_tool():
    """Also when it is declared as a wrapper of the generator."""

    @tool
    @functools.wraps(numbers)
    def listed(limit: int) -> list[int]:
        return list(numbers(limit))

    assert listed(2) == [0, 1]


@pytest.mark.parametrize("function", [numbers, numbers_later])
def test_a_generator_is_no_command(function: Any):
    """Its body returns the prompt."""
    with pytest.raises(ConfigurationError, match="its body must return the prompt, not yield it"):
        command(function)


# --- contracts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("contract", "name"), [(require, "require"), (ensure, "ensure")])
@pytest.mark.parametrize("decorator", [command, tool])
def test_a_contract_without_a_predicate(contract: Any, name: str, decorator: Any):
    """Above and below `@command` and `@tool`, when the function is decorated."""
    with pytest.raises(ConfigurationError, match=rf"^@{name} has no predicate: write @{name}\(lambda"):
        contract(decorator(pay))
    with pytest.raises(ConfigurationError, match=rf"@{name} has no predicate: write @{name}\(lambda"):
        decorator(contract(pay))
    with pytest.raises(ConfigurationError, match=rf"@{name} has no predicate"):
        ask("x", tools=[contract(pay)])


@pytest.mark.parametrize("contract", [require, ensure])
@pytest.mark.parametrize(("args", "kwargs"), [((5,), {}), ((), {}), ((5, 6), {}), ((), {"amount": 5})])
def test_a_contract_without_a_predicate_on_a_plain_function(contract: Any, args: Any, kwargs: Any):
    """Only a call can tell: it is an error with any arguments."""
    bare = contract(pay)
    with pytest.raises(ConfigurationError, match=r"needs a function, .*: write @\w+\(predicate, message\)"):
        bare(*args, **kwargs)


# --- backends -------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefixes", ["abc", 5, None, (5,), ("",), [None]])
def test_prefixes_are_a_tuple_of_str(prefixes: Any):
    """A str would be taken for a list of its characters, and the empty prefix for every model."""
    with registrations_undone():
        with pytest.raises(ConfigurationError, match=r"'mine'.*: prefixes must be a tuple of str, such as"):
            register_backend("mine", FakeBackend("mine"), prefixes=prefixes)
        with pytest.raises(ConfigurationError, match="no backend is known"):
            resolve("abc-1")


def test_prefixes_of_a_backend_itself():
    """As those that are passed to `register_backend`."""
    backend: Any = FakeBackend("mine")
    backend.prefixes = "abc"
    with registrations_undone(), pytest.raises(ConfigurationError, match=r"the prefixes of <.*, not 'abc'"):
        register_backend("mine", backend)


def test_key_variables_are_a_tuple_of_str():
    """Otherwise no key would be recognised in an error."""
    backend: Any = FakeBackend("mine")
    backend.key_variables = "MINE_KEY"
    with registrations_undone():
        register_backend("mine", backend)
        with pytest.raises(ConfigurationError, match="key_variables of the backend 'mine' must be a tuple"):
            resolve("mine:x")


@pytest.mark.parametrize("field", ["drops", "refuses"])
def test_capabilities_name_settings_in_a_set(field: str):
    """In a str, every part of it would count."""
    with pytest.raises(
        ConfigurationError, match=f"Capabilities: {field} must be a set of names, not 'top_p'"
    ):
        Capabilities(**{field: "top_p"})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [5, None, "", "a:b"])
def test_the_name_of_a_backend_is_a_word(name: Any):
    """Without a colon."""
    with pytest.raises(ConfigurationError, match="the name of a backend must be a word without a colon"):
        register_backend(name, FakeBackend("mine"))


@pytest.mark.parametrize("backend", [5, None, "openai"])
def test_a_backend_is_a_backend_or_makes_one(backend: Any):
    """When it is registered, not when it is used."""
    with pytest.raises(ConfigurationError, match=r"takes a Backend or a function that makes one, not "):
        register_backend("mine", backend)
    assert "mine" not in dir(alloy)


# --- names, contracts, parsers, keys and connections ----------------------------------------------


@pytest.mark.parametrize("name", [0, b"x", [], 1.5, object(), lambda: None])
def test_the_name_of_a_tool_is_text(name: Any):
    """And the error says which names a tool can have."""
    with pytest.raises(ConfigurationError, match="cannot be the name of a tool"):
        tool(name=name)(pay)


@pytest.mark.parametrize("description", [0, b"x", []])
def test_the_description_of_a_tool_is_text(description: Any):
    """When the decorator is written."""
    with pytest.raises(ConfigurationError, match="description must be a str"):
        tool(description=description)


@pytest.mark.parametrize(("wrong", "right"), [("nme", "name"), ("Description", "description")])
def test_an_option_of_tool_is_suggested(wrong: str, right: str):
    """As by `@command`."""
    untyped: Any = tool
    with pytest.raises(ConfigurationError, match=rf"no option '{wrong}' \(did you mean '{right}'\?\)"):
        untyped(**{wrong: "x"})


@pytest.mark.parametrize(("wrong", "right"), [("prxy", "proxy"), ("ca_bundel", "ca_bundle")])
def test_an_option_of_transport_is_suggested(wrong: str, right: str):
    """As by `@command`."""
    untyped: Any = alloy.Transport
    with pytest.raises(ConfigurationError, match=rf"no '{wrong}' \(did you mean '{right}'\?\)"):
        untyped(**{wrong: "x"})


@pytest.mark.parametrize("candidate", ["search", 0, None, {"name": "search"}])
def test_what_is_not_a_tool_is_shown_as_it_was_passed(candidate: Any):
    """The error does not speak of a decorator that nobody wrote."""
    with pytest.raises(ConfigurationError, match=r"tools has .*neither a function nor a tool") as caught:
        ask("x", backend="fake", tools=[candidate])
    assert "@tool" not in str(caught.value)


@pytest.mark.parametrize("content", [0, None, b"x", 1.5, {"a": 1}, object(), int, ...])
def test_the_content_of_a_message_is_text_or_parts(content: Any):
    """Also when it is not the assistant's."""
    with pytest.raises(CommandError, match="content of a user's Message is a str, or a list"):
        ask([alloy.Message("user", content), "hi"], backend="fake")


@pytest.mark.parametrize("target", [int, dict, print, str, type, zip])
@pytest.mark.parametrize("contract", [require, ensure])
def test_a_contract_on_a_builtin_is_no_bare_error(contract: Any, target: Any):
    """Its parameters cannot be read, or the predicate names none of them."""
    with pytest.raises(ConfigurationError, match=r"@(require|ensure) on"):
        contract(lambda amount, limit: True, "m")(target)


@pytest.mark.parametrize("subject", [0, 1.5, lambda: 1, pay, asyncio, ..., b"x", None, "Money", [], object()])
def test_a_parser_is_registered_for_a_type(subject: Any):
    """Not for a value or a function."""
    with pytest.raises(ConfigurationError, match="register_parser needs a type"):
        alloy.register_parser(subject, parse=str)


@pytest.mark.parametrize("key", [lambda x: "k", lambda *, x: "k", pay])
def test_a_key_function_has_no_parameters(key: Any):
    """Which is said when it is set, not at the first request."""
    with pytest.raises(ConfigurationError, match=r"api_key must be .*a function without parameters"):
        ask("x", model="gpt-5.6", api_key=key)


@pytest.mark.parametrize("value", [3, None, ["x"], b"x"])
def test_the_value_of_a_header_is_text(value: Any):
    """The error names the header."""
    with pytest.raises(ConfigurationError, match="whose values are str; the value of 'x' is"):
        ask("x", model="gpt-5.6", api_key="k", headers={"x": value})


@pytest.mark.parametrize(
    "options",
    [
        {"ca_bundle": "a\0b"},
        {"client_certificate": "a\0b"},
        {"client_certificate": ("a", "b\0")},
        {"proxy": "http://" + "a" * 300 + ":1"},
        {"proxy": "http://a..b:1"},
    ],
)
def test_a_path_and_a_proxy_can_be_used(options: dict[str, Any]):
    """Otherwise the operating system or the host's look-up would refuse them later."""
    with pytest.raises(ConfigurationError, match="Transport: "):
        alloy.Transport(**options)


@pytest.mark.parametrize("predicate", [lambda x: x > 0, lambda whole: True, lambda amout=1, *, limit: True])
def test_a_predicate_names_parameters_of_its_function(predicate: Any):
    """An unknown name is an error where the contract is written, with the names that there are."""
    with pytest.raises(ConfigurationError, match=r"may name amount, or .* `arguments` for all of them"):
        require(predicate, "no")(pay)


@pytest.mark.parametrize(
    "predicate",
    [
        lambda arguments: list(arguments.arguments) == ["amount"],
        lambda args: args.args == (3,),
        lambda bound: bound.kwargs == {},
        lambda anything: anything.arguments["amount"] == 3,
    ],
)
def test_a_predicate_may_take_all_arguments(predicate: Any):
    """By a name for the whole, or by what it reads."""
    assert require(predicate, "no")(pay)(3) == "3"


# --- flags, and keyword arguments that do not exist ------------------------------------------------------

FLAGS: dict[str, Callable[[Any], Any]] = {
    "parse(): report": lambda flag: alloy.parse(int, "3", report=flag),
    "doctor(): connect": lambda flag: alloy.doctor(connect=flag),
    "greet.map(): ordered": lambda flag: greet.map(["Ann"], ordered=flag),
    "greet.map(): progress": lambda flag: greet.map(["Ann"], progress=flag),
    "greet.map_async(): progress": lambda flag: greet.map_async(["Ann"], progress=flag),
    "strict": lambda flag: greet.batch(["Ann"]) and alloy.Batch.load("fake:batch_1", greet, strict=flag),
    "Capabilities: json_object": lambda flag: Capabilities(json_object=flag),
    "load_async: strict": lambda flag: asyncio.run(
        alloy.Batch.load_async("fake:batch_1", greet, strict=flag)
    ),
}


@pytest.mark.parametrize("flag", ["no", "false", "", 0, 1, None, []], ids=repr)
@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_is_a_bool(name: str, flag: Any):
    """To Python, "no" is true: nothing is guessed. *progress* may be None."""
    if flag is None and "progress" in name:
        return
    words = rf"{name.split()[-1]} must be (a bool|True or None), not {re.escape(repr(flag))}$"
    with alloy.use_config(backend="fake"), pytest.raises(ConfigurationError, match=words):
        FLAGS[name](flag)


UNKNOWN: dict[str, tuple[Callable[[], Any], str]] = {
    "budget": (
        lambda: alloy.Budget(usd=1),
        r"^Budget has no 'usd'; it has tokens, requests, seconds, cost",
    ),
    "near": (lambda: alloy.Budget(token=1), r"'token' \(did you mean 'tokens'\?\)"),
    "scope": (
        lambda: alloy.budget(token=1),
        r"^budget\(\) has no 'token' \(did you mean 'tokens'\?\)",
    ),
    "breaker": (
        lambda: alloy.CircuitBreaker(failure=2),
        r"'failure' \(did you mean 'failures'\?\); it has failures, w",
    ),
    "cache point": (lambda: alloy.CachePoint(ttl=3), "^CachePoint has no 'ttl'; it has none$"),
    "message": (lambda: alloy.Message(rol="user", content=""), r"'rol' \(did you mean 'role'\?\)"),
    "transport": (
        lambda: alloy.Transport(proxi="http://a"),
        r"^Transport has no 'proxi' \(did you mean 'proxy'",
    ),
    "capabilities": (lambda: Capabilities(tool=False), r"'tool' \(did you mean 'tools'\?\)"),
    "parse": (
        lambda: alloy.parse(int, "3", reports=True),
        r"^parse\(\) has no 'reports' \(did you mean 'report'",
    ),
    "backend": (lambda: register_backend("a", FakeBackend("a"), prefix=("b",)), "did you mean 'prefixes'"),
    "fake": (lambda: FakeBackend(nam="a"), r"^FakeBackend has no 'nam' \(did you mean 'name'\?\)"),
    "parser": (
        lambda: alloy.register_parser(int, parser=int),
        r"no 'parser' \(did you mean 'parse'\?\); it has wire, p",
    ),
    "replies": (
        lambda: replies("a", backends="b"),
        r"^replies\(\) has no 'backends' \(did you mean 'backend'",
    ),
    "conversation": (lambda: Conversation(turn=()), r"^Conversation has no 'turn' \(did you mean 'turns'"),
    "doctor": (lambda: alloy.doctor(conect=True), r"no option 'conect' \(did you mean 'connect'\?\)"),
    "map": (
        lambda: greet.map(["Ann"], timeout=3),
        r"^greet\.map\(\): timeout is an option of the command: write greet\.with_options\(timeout=…\)\.map",
    ),
    "map, model": (
        lambda: greet.map_async(["Ann"], model="a"),
        r"write greet\.with_options\(model=…\)\.map\(…\)",
    ),
    "batch": (lambda: greet.batch(["Ann"], concurrency=3), "concurrency is for map"),
    "batch, option": (
        lambda: greet.batch(["Ann"], timeout=3),
        r"write greet\.with_options\(timeout=…\)\.batch\(…\)",
    ),
    "batch, parameter": (lambda: greet.batch(name=["Ann"]), "'name': give an iterable for each parameter"),
    "batch, async": (lambda: asyncio.run(greet.batch_async(["Ann"], ordered=True)), "ordered is for map"),
    "async batch": (lambda: asyncio.run(greet_async.batch(["Ann"], ordered=True)), "ordered is for map"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_keyword_argument_is_named_with_those_that_there_are(name: str):
    """Where Python's TypeError would only say that it is unexpected."""
    use, words = UNKNOWN[name]
    with pytest.raises(ConfigurationError, match=words):
        use()


def test_checked_names_leave_the_signature_as_it_is():
    """For editors, for `inspect.signature`, and for subclasses and copies."""
    assert list(inspect.signature(alloy.Budget).parameters) == [
        "tokens",
        "requests",
        "seconds",
        "cost",
        "clock",
    ]
    assert next(iter(inspect.signature(alloy.budget).parameters)) == "shared"
    assert replace(alloy.Message("user", "Hi"), content="Ho") == alloy.Message(role="user", content="Ho")
    assert pickle.loads(pickle.dumps(alloy.CachePoint())) == alloy.CachePoint()


def test_a_budget_block_takes_a_budget_or_limits():
    """Not a number without a name, and not both."""
    with pytest.raises(ConfigurationError, match=r"takes a Budget, not 5: name the limit"), alloy.budget(5):
        pass
    both = alloy.budget(alloy.Budget(requests=1), tokens=5)
    with pytest.raises(ConfigurationError, match="a shared Budget or limits, not both"), both:
        pass


@pytest.mark.parametrize(
    "wrong", [5, len, "greet", None, ask], ids=["number", "function", "name", "None", "ask"]
)
def test_a_batch_is_loaded_with_its_command(wrong: Any):
    """With or without the inputs, in sync and async code."""
    problem = r"^Batch\.load(_async)?\('fake:batch_1'\) takes the command that the batch is of, not "
    for inputs in ((), (["a"],)):
        with pytest.raises(ConfigurationError, match=problem):
            alloy.Batch.load("fake:batch_1", wrong, *inputs)
        with pytest.raises(ConfigurationError, match=problem):
            asyncio.run(alloy.Batch.load_async("fake:batch_1", wrong, *inputs))


class Connected:
    """What a connection to an MCP server looks like."""

    @property
    def tools(self) -> list[Any]:
        return [pay]


def test_the_tools_of_a_server_are_given_and_not_the_server():
    """The error says what to write."""
    with pytest.raises(ConfigurationError, match=r"write tools=server\.tools$"):
        ask("Hi", tools=Connected())
    with pytest.raises(ConfigurationError, match=r"write tools=\[\*server\.tools\]$"):
        ask("Hi", tools=[Connected()])
