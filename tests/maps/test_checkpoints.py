"""`checkpoint=`: what was answered is not asked again, whatever ended the run before."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import pytest
from kit.mapping import NumberServer, double, double_async, read
from kit.wire import WireServer, openai

from alloy import command, tool
from alloy.errors import BadRequestError, CheckpointError, ConfigurationError
from alloy.maps.fingerprints import digest, function_digest

PROGRAM = Path(__file__).with_name("resumable.py")
WAYS: dict[str, Callable[[dict[str, Any]], Callable[..., Any]]] = {
    "threads": lambda options: double.with_options(**options).map,
    "tasks": lambda options: double_async.with_options(**options).map,
}
every_map = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@pytest.fixture
def numbers(server: WireServer) -> NumberServer:
    """A server that doubles numbers."""
    return NumberServer(server)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a checkpoint may be."""
    return tmp_path / "run.sqlite"


@every_map
@pytest.mark.parametrize("ordered", [True, False])
def test_nothing_that_was_answered_is_asked_again(numbers: NumberServer, file: Path, way: Any, ordered: bool):
    """Values and their inputs are the same, and the summary says what came from the file."""
    first = read(way(numbers.options)(range(20), checkpoint=file, ordered=ordered).outcomes())
    asked = len(numbers.asked())
    found = way(numbers.options)(range(25), checkpoint=str(file), ordered=ordered)
    again = {outcome.index: outcome for outcome in read(found.outcomes())}

    assert (asked, sorted(numbers.asked()[20:])) == (20, [20, 21, 22, 23, 24])
    assert [(again[index].args, again[index].value) for index in range(25)] == [
        ((number,), 2 * number) for number in range(25)
    ]
    assert (found.summary.succeeded, found.summary.resumed, found.summary.requests) == (25, 20, 5)
    for outcome in first:
        before, after = outcome.result, again[outcome.index].result
        assert before is not None and after is not None
        assert (after.text, after.usage, after.model) == (before.text, before.usage, before.model)
        assert (after.requests, after.attempts) == (before.requests, before.attempts)


@every_map
def test_what_has_failed_is_asked_again(numbers: NumberServer, file: Path, way: Any):
    """And what had finished before the error is kept."""
    numbers.failures[3] = lambda: openai.failure(400, "not now")
    with pytest.raises(BadRequestError, match="input 3"):
        read(way(numbers.options)(range(6), checkpoint=file, concurrency=1))
    numbers.failures.clear()
    before = len(numbers.asked())

    assert read(way(numbers.options)(range(6), checkpoint=file)) == [0, 2, 4, 6, 8, 10]
    assert {0, 1, 2}.isdisjoint(numbers.asked()[before:])


class Colour(Enum):
    """A choice."""

    RED = "red"


@dataclass
class Thing:
    """A value of several types."""

    name: str
    colour: Colour
    sizes: tuple[float, ...] = ()


VALUES: dict[str, tuple[Any, str, Any]] = {
    "text": (str, ' "ünïcode\x00" ', ' "ünïcode\x00" '),
    "nothing": (None, "Done.", None),
    "dict": (dict[str, int], '{"entries": [{"key": "a", "value": 1}]}', {"a": 1}),
    "dataclass": (
        list[Thing],
        '{"value": [{"name": "x", "colour": "red", "sizes": [1, 2.5]}]}',
        [Thing("x", Colour.RED, (1.0, 2.5))],
    ),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_of_every_type_come_back(server: WireServer, file: Path, name: str):
    """They are read from the stored text of the model, in the form of the provider."""
    output, text, value = VALUES[name]

    @command(output=output, model="openai:gpt-5.6", base_url=f"{server.url}/v1", api_key="sk-none")
    def make(number: int) -> str:
        return f"Make {number}"

    server.script(openai.reply(openai.response(openai.message(text))))
    first = list(make.map([1], checkpoint=file))
    assert list(make.map([1], checkpoint=file)) == first
    assert first == [value]


def test_a_map_that_is_left_can_be_repeated_at_once(numbers: NumberServer, file: Path):
    """The file is free when the map is dropped, and its answers are there."""
    for value in double.with_options(**numbers.options).map(range(100), checkpoint=file, concurrency=1):
        if value == 6:
            break
    before = len(numbers.asked())
    found = double.with_options(**numbers.options).map(range(10), checkpoint=file)

    assert list(found) == [2 * number for number in range(10)]
    assert found.summary.resumed >= 4
    assert {0, 1, 2, 3}.isdisjoint(numbers.asked()[before:])


# --- a run that is killed -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_that_is_killed_ten_times_answers_every_input_once(numbers: NumberServer, file: Path):
    """After a `kill -9` at any moment nothing that was read is asked again, and nothing is lost."""
    count, chance = 150, random.Random(7)
    reported: set[int] = set()
    arguments = [sys.executable, str(PROGRAM), numbers.options["base_url"], str(file), str(count)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin is not None and program.stdout is not None
        for run in range(11):
            program.stdin.write("run\n")
            program.stdin.flush()
            process = int(program.stdout.readline().split()[1])
            before, read_now = len(numbers.asked()), []
            # The last run is not killed. The others are, some values after those that are known.
            until = len(reported) + chance.randrange(1, 12) if run < 10 else None
            for line in program.stdout:
                if line.startswith("ended"):
                    break
                if line.startswith("got"):
                    _, index, value, *error = line.split(maxsplit=3)
                    assert value == str(2 * int(index)), error
                    read_now.append(int(index))
                if len(read_now) == until:
                    os.kill(process, signal.SIGKILL)
            assert reported.isdisjoint(numbers.asked()[before:])
            assert len(set(read_now)) == len(read_now)
            reported.update(read_now)
        program.stdin.close()

    assert sorted(read_now) == list(range(count))
    assert set(numbers.asked()) == set(range(count))


# --- what is noticed ------------------------------------------------------------------------------

TEMPLATE = "Double {}"
LATER_TEMPLATE = "Double {} "


def templated(number: int) -> str:
    return TEMPLATE.format(number)


def templated_otherwise(number: int) -> str:
    return LATER_TEMPLATE.format(number)


def twice(number: int) -> str:
    return f"Twice {number}"


@tool
def add(left: int, right: int) -> int:
    """Add."""
    return left + right


def with_function(function: Any) -> Callable[[Any], Any]:
    return lambda asked: command(output=int, **asked._options.settings)(function)


CHANGES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "function": (with_function(twice), "the prompt function"),
    "template": (with_function(templated_otherwise), "the prompt function"),
    "output": (lambda asked: asked.with_options(output=float), "output"),
    "model": (lambda asked: asked.with_options(model="openai:gpt-5.6-mini"), "model"),
    "effort": (lambda asked: asked.with_options(reasoning_effort="low"), "reasoning_effort"),
    "models": (
        lambda asked: asked.with_options(model=["openai:gpt-5.6", {"model": "openai:gpt-4.1", "seed": 1}]),
        "model",
    ),
    "system": (lambda asked: asked.with_options(system="Be brief"), "system"),
    "tools": (lambda asked: asked.with_options(tools=[add]), "tools"),
    "parser": (lambda asked: asked.with_options(parser=abs), "output, parser"),
    "extra": (lambda asked: asked.with_options(extra={"openai": {"service_tier": "flex"}}), "extra"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_command_is_noticed(numbers: NumberServer, file: Path, name: str):
    """The error names what has changed; the file stays as it is."""
    change, part = CHANGES[name]
    asked = command(output=int, **numbers.options)(templated)
    assert list(asked.map([1], checkpoint=file)) == [2]

    changed = change(asked)
    with pytest.raises(CheckpointError, match=rf"of another command than \w+.*: {part} changed; give"):
        list(changed.map([1], checkpoint=file))
    assert list(asked.map([1], checkpoint=file)) == [2]
    assert numbers.asked() == [1]


SAME: dict[str, Callable[[Any], Any]] = {
    "retries": lambda asked: asked.with_options(retry=3, timeout=50, max_connections=2),
    "key": lambda asked: asked.with_options(api_key="sk-another"),
    "address": lambda asked: asked.with_options(base_url="http://127.0.0.1:9/v1"),
}


@pytest.mark.parametrize("name", SAME)
def test_what_does_not_decide_the_answer_may_change(numbers: NumberServer, file: Path, name: str):
    """Limits, keys and addresses."""
    asked = double.with_options(**numbers.options)
    assert list(asked.map([1], checkpoint=file)) == [2]
    assert list(SAME[name](asked).map([1], checkpoint=file)) == [2]
    assert numbers.asked() == [1]


def test_the_keys_of_models_do_not_decide_the_answer(numbers: NumberServer, file: Path):
    """Nor do their addresses; their other settings do."""
    asked = double.with_options(**{**numbers.options, "model": None})
    first, last = (
        [{"model": "openai:gpt-5.6", "api_key": key, "temperature": None}, "openai:gpt-4.1"] for key in "ab"
    )
    assert list(asked.with_options(model=first).map([1], checkpoint=file)) == [2]
    assert list(asked.with_options(model=last).map([1], checkpoint=file)) == [2]
    assert numbers.asked() == [1]


@every_map
def test_a_changed_input_is_noticed(numbers: NumberServer, file: Path, way: Any):
    """By its index; the answers of the inputs before it are read first."""
    read(way(numbers.options)([5, 6, 7], checkpoint=file))
    with pytest.raises(CheckpointError, match=r"double\w*\.map\(\): input 1 is not the one"):
        read(way(numbers.options)([5, 7, 6], checkpoint=file))
    assert sorted(numbers.asked()) == [5, 6, 7]


def test_an_input_without_content_is_an_error_that_says_what_to_give(numbers: NumberServer, file: Path):
    """A lock is the same in no other process."""
    asked = double.with_options(**numbers.options)
    with pytest.raises(CheckpointError, match=r"input 0 cannot be compared .*cannot pickle.*use plain data"):
        list(asked.map([threading.Lock()], checkpoint=file))


class Point:
    """An object of a class without any method."""

    def __init__(self, x: int) -> None:
        self.x = x


CONTENTS: tuple[tuple[Any, Any], ...] = (
    (1, True),
    ("1", 1),
    ("1", b"1"),
    ([1, [2]], [1, 2]),
    (("a", "bc"), ("ab", "c")),
    ({"a": 1}, {"a": 2}),
    ({"a", "b"}, {"a", "c"}),
    (Thing("x", Colour.RED), Thing("y", Colour.RED)),
    (Point(1), Point(2)),
    (PurePath("a"), PurePath("b")),
    (float("inf"), float("-inf")),
)


@pytest.mark.parametrize("number", range(len(CONTENTS)))
def test_digests_are_those_of_the_content(number: int):
    """Equal for a copy, different for different values."""
    from copy import deepcopy

    left, right = CONTENTS[number]
    assert digest(left, "it") == digest(deepcopy(left), "it")
    assert digest(left, "it") != digest(right, "it")


def test_digests_are_the_same_in_every_process():
    """Although sets are in another order there."""
    code = (
        "from alloy.maps.fingerprints import digest\n"
        "print(digest(({'a', 'b', 'c', 'd'}, {'x': [1.5, None]}, 'ü'), 'it'))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert ran.stdout.strip() == digest(({"d", "c", "b", "a"}, {"x": [1.5, None]}, "ü"), "it"), ran.stderr


def test_comments_docstrings_and_decorators_are_no_change():
    """What a function does is the same; its closure is a part of it."""

    def made(suffix: str) -> tuple[Any, Any]:
        def same(number: int) -> str:
            return f"Double {number} {suffix}"

        first = same

        def same(number: int) -> str:  # type: ignore[no-redef]
            """Say it."""
            # A remark.
            return f"Double {number} {suffix}"

        return first, same

    (left, right), (other, _) = made("a"), made("b")
    assert function_digest(left) == function_digest(right)
    assert function_digest(left) != function_digest(other)


class Translator:
    """An object whose state changes while it works."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.done: list[object] = []
        self.lock = threading.Lock()

    def prompt(self, number: int) -> str:
        self.done.append(self)
        return f"{self.language} {number}"


def test_the_constants_of_an_object_are_a_part_of_its_methods():
    """Whatever else it holds may be different in another run."""
    one, same, other = Translator("Greek"), Translator("Greek"), Translator("Latin")
    one.prompt(1)
    assert function_digest(one.prompt) == function_digest(same.prompt)
    assert function_digest(one.prompt) != function_digest(other.prompt)


def test_a_function_that_names_itself_and_builtins_has_a_digest():
    """Neither recursion nor a builtin or a partial is in the way."""

    def countdown(number: int) -> str:
        return str(number) + (countdown(number - 1) if number else "")

    assert function_digest(countdown) == function_digest(countdown)
    assert function_digest(abs) != function_digest(len)
    assert function_digest(partial(countdown, 1)) != function_digest(partial(countdown, 2))


# --- permissions ----------------------------------------------------------------------------------


def modes_in(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
@every_map
def test_only_the_owner_can_read_a_new_file(numbers: NumberServer, file: Path, way: Any):
    """Because it has answers, as the file of a response cache; so have the files of SQLite next to it."""
    while_open: dict[str, int] = {}

    def inputs() -> Iterator[int]:
        yield 1
        while_open.update(modes_in(file.parent))

    read(way(numbers.options)(inputs(), checkpoint=file).outcomes())
    assert set(while_open.values()) == set(modes_in(file.parent).values()) == {0o600}
    assert {"run.sqlite", "run.sqlite-wal"} <= set(while_open)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_file_that_is_there_keeps_its_permissions(numbers: NumberServer, file: Path):
    """A group may share it."""
    file.touch(0o640)
    file.chmod(0o640)
    list(double.with_options(**numbers.options).map([1], checkpoint=file))
    assert modes_in(file.parent) == {"run.sqlite": 0o640}


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_link_to_a_file_that_is_not_there_yet_makes_a_private_one(numbers: NumberServer, tmp_path: Path):
    """As does the path of a response cache."""
    (tmp_path / "files").mkdir()
    for name in ("run", "answers"):
        (tmp_path / name).symlink_to(tmp_path / "files" / name)
    asked = double.with_options(**numbers.options, cache=tmp_path / "answers")
    list(asked.map([1], checkpoint=tmp_path / "run"))
    made = modes_in(tmp_path / "files")
    assert {"run", "answers"} <= set(made)
    assert set(made.values()) == {0o600}


# --- files that cannot be used --------------------------------------------------------------------


def another_database(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE things (name)")


def of_a_newer_version(file: Path) -> None:
    list_of_one(file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 99")


def damaged(file: Path) -> None:
    list_of_one(file)
    content = bytearray(file.read_bytes())
    content[100:] = b"\xff" * (len(content) - 100)
    file.write_bytes(content)


def list_of_one(file: Path) -> None:
    from alloy.testing import replies

    with replies(2):
        list(double.map([1], checkpoint=file))


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a text": (lambda file: file.write_text("not a database, but a text" * 50), "is not a SQLite file"),
    "another database": (another_database, "is a database of something else"),
    "a newer version": (of_a_newer_version, "was written by a newer version of Alloy"),
    "damaged": (damaged, "is damaged"),
    "a link to itself": (lambda file: file.symlink_to(file), "cannot be opened"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_used_is_an_error(file: Path, name: str):
    """It says what the file is and what to do, and leaves the file as it was."""
    make, words = FILES[name]
    make(file)
    before = file.read_bytes() if file.is_file() else b""
    found = double.with_options(model="fake:any").map([1], checkpoint=file)
    with pytest.raises(CheckpointError, match=words):
        next(found)
    assert before == (file.read_bytes() if file.is_file() else b"")
    assert list(found) == []


def test_a_file_in_a_folder_that_does_not_exist(tmp_path: Path):
    """The folder is not made: it may be a misspelt one."""
    with pytest.raises(CheckpointError, match="check that its folder exists"):
        next(double.with_options(model="fake:any").map([1], checkpoint=tmp_path / "no" / "run.sqlite"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes to any file")
def test_a_file_that_is_read_only(numbers: NumberServer, file: Path):
    """Says so."""
    list(double.with_options(**numbers.options).map([1], checkpoint=file))
    file.chmod(0o400)
    with pytest.raises(CheckpointError, match="is read-only: change its permissions"):
        next(double.with_options(**numbers.options).map([1, 2], checkpoint=file))


def test_one_file_is_for_one_map_at_a_time(numbers: NumberServer, file: Path):
    """In the same process, and in another one."""
    numbers.hold(1)
    asked = double.with_options(**numbers.options)
    code = f"import sqlite3; sqlite3.connect({str(file)!r}, timeout=0).execute('SELECT * FROM answers')"
    with asked.map([0, 1], checkpoint=file) as found:
        assert next(found) == 0
        with pytest.raises(CheckpointError, match="is in use by another map"):
            next(asked.map([0, 1], checkpoint=file))
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "database is locked" in ran.stderr
    numbers.gates.clear()
    assert list(asked.map([0, 1], checkpoint=file)) == [0, 2]


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed there")
@every_map
def test_a_file_that_is_removed_is_noticed(numbers: NumberServer, file: Path, way: Any):
    """The map does not go on as if the answers were stored; those that are there are given first."""

    def inputs() -> Iterator[int]:
        yield from range(3)
        file.unlink()
        yield from range(3, 1000)

    values: list[int] = []
    found = way(numbers.options)(inputs(), checkpoint=file, concurrency=1)
    with pytest.raises(CheckpointError, match="was removed or replaced while the map ran"):
        read_into(values, found)
    assert values == [2 * number for number in range(len(values))]
    assert len(numbers.asked()) == len(values) < 20


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit for the size of files")
@every_map
def test_a_full_disk_loses_nothing(numbers: NumberServer, file: Path, way: Any):
    """What had been answered is read before the error, and what was stored before stays."""
    first = read(way(numbers.options)(range(10), checkpoint=file))
    limit = max(each.stat().st_size for each in file.parent.iterdir()) + 2000
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    values: list[int] = []
    found = way(numbers.options)(range(1000), checkpoint=file, concurrency=2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(CheckpointError, match=r"what it has stays"):
            read_into(values, found)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert len(set(numbers.asked())) == len(numbers.asked()) == len(values) < 1000
    assert values == [2 * number for number in range(len(values))]
    resumed = way(numbers.options)(range(10), checkpoint=file)
    assert read(resumed) == first
    assert resumed.summary.resumed == 10


def read_into(values: list[int], found: Any) -> None:
    """Keep the values of a map, sync or async, also when it ends with an error."""

    async def collect() -> None:
        async for value in found:
            values.append(value)  # noqa: PERF401 - a comprehension would lose them

    if hasattr(found, "__aiter__"):
        asyncio.run(collect())
    else:
        values.extend(found)


@pytest.mark.parametrize("wrong", [True, 7, "", object()], ids=["bool", "int", "empty", "object"])
def test_a_checkpoint_is_a_path(wrong: Any):
    """Anything else is an error where the map is made."""
    with pytest.raises(ConfigurationError, match="checkpoint must be the path of a file"):
        double.map([1], checkpoint=wrong)


def test_the_file_holds_text_only(numbers: NumberServer, file: Path):
    """No pickle, which could run code when it is read."""
    list(double.with_options(**numbers.options).map(range(3), checkpoint=file))
    with closing(sqlite3.connect(file)) as connection:
        kinds = connection.execute("SELECT DISTINCT typeof(fingerprint), typeof(answer) FROM answers")
        kinds = kinds.fetchall()
        answers = connection.execute("SELECT answer FROM answers").fetchall()
    assert kinds == [("text", "text")]
    assert all(b"sk-none" not in answer.encode() for (answer,) in answers)
