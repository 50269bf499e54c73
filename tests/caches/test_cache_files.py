"""The file of a cache: how long it keeps answers and how many, who shares it, and what damage does."""

from __future__ import annotations

import logging
import os
import random
import re
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from keeping import key_of, reply_to

from alloy import Cache, ConfigurationError, Usage
from alloy.messages import Reply

PROGRAM = Path(__file__).with_name("keeping.py")


class Clock:
    """A clock that the test sets."""

    now = 1e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """One that stands still."""
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a cache may be."""
    return tmp_path / "answers.sqlite"


def store(cache: Cache, *numbers: int) -> None:
    cache.put([(key_of(number), reply_to(number)) for number in numbers])


def known(cache: Cache, numbers: Any) -> list[int]:
    """Those of *numbers* that are stored. Fails if one of them has a wrong reply."""
    found = {number: cache.get(key_of(number)) for number in numbers}
    for number, each in found.items():
        assert each is None or each.reply == reply_to(number)
    return [number for number, each in found.items() if each is not None]


def test_a_reply_comes_back_without_its_usage(file: Path):
    """And says that it is from the cache."""
    with closing(Cache(file)) as cache:
        reply = Reply("text", usage=Usage(3, 4), status=200, request_id="req", seconds=1.0, waited=2.0)
        cache.put([(b"k", reply)])
        found = cache.get(b"k")
    assert found is not None
    assert (found.reply.text, found.reply.usage, found.reply.cached) == ("text", Usage(), True)
    assert (found.reply.status, found.reply.request_id, found.reply.seconds) == (None, None, 0)


def test_nothing_is_opened_before_it_is_needed(file: Path):
    """Neither the file nor sqlite3."""
    code = (
        "import sys, alloy\n"
        "alloy.configure(cache=alloy.Cache(sys.argv[1]), backend='fake', model='m')\n"
        "@alloy.command\ndef f() -> str:\n    return 'x'\n"
        "print('sqlite3' in sys.modules)\nf()\nprint('sqlite3' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, file], capture_output=True, text=True, env=without_coverage()
    )
    assert ran.stdout.split() == ["False", "True"], ran.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_only_its_owner_can_read_the_file(file: Path):
    """Nor can others read what SQLite writes next to it; a file that is there keeps its permissions."""
    with closing(Cache(file)) as cache:
        store(cache, 1)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
    assert modes == dict.fromkeys(("answers.sqlite", "answers.sqlite-wal", "answers.sqlite-shm"), 0o600)
    file.chmod(0o640)
    with closing(Cache(file)) as cache:
        store(cache, 2)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_paths(file: Path, monkeypatch: pytest.MonkeyPatch):
    """A relative path is one of the folder of then, `~` is home, and links are followed."""
    monkeypatch.chdir(file.parent)
    monkeypatch.setenv("HOME", str(file.parent))
    monkeypatch.setenv("USERPROFILE", str(file.parent))
    (file.parent / "link.sqlite").symlink_to(file)
    caches = [Cache(file), Cache("answers.sqlite"), Cache("~/answers.sqlite"), Cache("link.sqlite")]
    monkeypatch.chdir("/")
    assert {cache.path for cache in caches} == {os.path.realpath(file)}


# --- how long, and how many ---------------------------------------------------------------------------


@pytest.mark.parametrize("ttl", [60, 60.0, timedelta(minutes=1)])
def test_an_answer_is_used_for_its_time(file: Path, clock: Clock, ttl: Any):
    """Whoever has the shorter time does not use it; it is gone when the one who stored it says so."""
    cache, longer = Cache(file, ttl=ttl, clock=clock), Cache(file, clock=clock)
    shorter = Cache(file, ttl=5, clock=clock)
    store(cache, 1)
    clock.now += 59
    found = cache.get(key_of(1))
    assert found is not None and found.age == 59
    assert (known(longer, [1]), known(shorter, [1])) == ([1], [])
    clock.now += 1
    assert (known(cache, [1]), known(longer, [1])) == ([], [])
    store(longer, 2)
    assert longer.info().answers == 1  # the other one was removed
    clock.now += 1e9
    assert (known(cache, [2]), known(longer, [2])) == ([], [2])
    cache.close()


def test_a_clock_that_goes_back_makes_no_answer_old(file: Path, clock: Clock):
    """An answer from the future is new."""
    with closing(Cache(file, ttl=60, clock=clock)) as cache:
        store(cache, 1)
        clock.now -= 1000
        found = cache.get(key_of(1))
        assert found is not None and found.age == 0


def large(number: int) -> tuple[bytes, Reply]:
    return key_of(number), Reply("x" * 9_000, model=str(number))


def test_what_was_used_the_longest_time_ago_is_removed(file: Path, clock: Clock):
    """The file stays near its limit, and a large answer does not drive out all others."""
    with closing(Cache(file, max_bytes=200_000, clock=clock)) as cache:
        for number in range(15):
            cache.put([large(number)])
            clock.now += 100
        assert cache.get(key_of(0)) is not None
        for number in range(15, 40):
            cache.put([large(number)])
            clock.now += 100
            assert cache.get(key_of(0)) is not None
        info = cache.info()
        assert 100_000 < info.bytes <= 200_000
        kept = [number for number in range(40) if cache.get(key_of(number)) is not None]
        assert kept == [0, *range(41 - len(kept), 40)]

        cache.put([(b"too large", Reply("x" * 100_000))])
        assert cache.get(b"too large") is None
        assert cache.info().answers == len(kept)
    assert file.stat().st_size <= 250_000


def test_clearing_leaves_nothing(file: Path):
    """Not in the free pages of the file either, nor in the log of SQLite."""
    with closing(Cache(file)) as cache:
        cache.put([(b"k", Reply("a very personal answer"))])
        assert any(b"personal" in path.read_bytes() for path in file.parent.iterdir())
        cache.clear()
        assert not any(b"personal" in path.read_bytes() for path in file.parent.iterdir())
        assert (cache.info().answers, cache.get(b"k")) == (0, None)


def test_clearing_says_if_something_is_left(file: Path):
    """Another process that reads keeps the log of SQLite as it is."""
    with closing(Cache(file, timeout=0)) as cache:
        cache.put([(b"k", Reply("a very personal answer"))])
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM answers").fetchone()
            with pytest.raises(ConfigurationError, match=r"is empty, but another process reads it"):
                cache.clear()
        assert cache.info().answers == 0
        cache.clear()
        assert not any(b"personal" in path.read_bytes() for path in file.parent.iterdir())


def test_old_answers_are_overwritten(file: Path, clock: Clock):
    """When others are stored: `ttl` is how long personal data is kept, too."""
    with closing(Cache(file, ttl=60, clock=clock)) as cache:
        cache.put([(b"k", Reply("a very personal answer"))])
        clock.now += 60
        store(cache, 1)
    assert b"personal" not in file.read_bytes()


def test_info(file: Path):
    """Counts are of this process."""
    with closing(Cache(file)) as cache:
        store(cache, 1, 2)
        known(cache, range(5))
        info = cache.info()
    assert (info.path, info.answers, info.hits, info.misses) == (str(file), 2, 2, 3)
    assert info.bytes > 1000


@pytest.mark.parametrize(
    "echo",
    [float("nan"), {1: "a key that is not text"}, (1, 2), object(), {"a": {1, 2}}, 10**5000],
    ids=["not a number", "key", "tuple", "object", "set", "digits"],
)
def test_a_reply_that_json_cannot_hold_is_not_stored(file: Path, echo: Any):
    """Rather than being another one when it is read."""
    from alloy.messages import Echo

    with closing(Cache(file)) as cache:
        cache.put([(b"k", Reply("x", echo=Echo("custom", {"data": echo})))])
        assert cache.get(b"k") is None


# --- who shares it ------------------------------------------------------------------------------------


def test_threads_share_a_file(file: Path):
    """Each through an object of its own."""
    problems: list[Any] = []

    def work(seed: int) -> None:
        with closing(Cache(file, max_bytes=None)) as cache:
            for number in range(seed, seed + 30):
                store(cache, number)
                if known(cache, [number]) != [number]:
                    problems.append(number)

    threads = [threading.Thread(target=work, args=(10 * nth,)) for nth in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(Cache(file)) as cache:
        assert (problems, cache.info().answers) == ([], 80)


def without_coverage() -> dict[str, str]:
    """For processes that are killed, or look at what is loaded: coverage uses SQLite, too."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}


def program(file: Path, *numbers: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, str(PROGRAM), str(file), *map(str, numbers)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=without_coverage())


def test_processes_share_a_file_from_its_first_moment(file: Path):
    """They make it at the same time, and nothing that one of them reads is wrong."""
    keys = 200
    running = [program(file, 300, keys, seed) for seed in range(4)]
    said = [each.communicate()[0].split("\n") for each in running]
    assert [each.returncode for each in running] == [0] * 4
    assert not [line for lines in said for line in lines if line.startswith("wrong")]
    stored = {int(line.split()[1]) for lines in said for line in lines if line}
    with closing(Cache(file)) as cache:
        assert set(known(cache, range(keys))) == stored


def test_killed_processes_lose_and_damage_nothing(file: Path, caplog: pytest.LogCaptureFixture):
    """`kill -9` at any moment: what was stored is there, and the file is whole."""
    stored: set[int] = set()
    for seed in range(8):
        with program(file, 10**9, 10**9, seed) as running:
            assert running.stdout is not None
            for _ in range(1 + 3 * seed):
                word, number = running.stdout.readline().split()
                assert word == "stored"
                stored.add(int(number))
            running.kill()
            for line in running.stdout:  # what it said before it was killed
                if line.endswith("\n"):
                    assert line.startswith("stored")
                    stored.add(int(line.split()[1]))
        with closing(Cache(file)) as cache:
            assert set(known(cache, stored)) == stored
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert caplog.records == []


def in_a_worker(cache: Cache) -> list[int]:
    """What a process with a pickle of *cache* reads and stores."""
    found = known(cache, range(10))
    store(cache, 100)
    return found


@pytest.mark.parametrize(
    "method", ["fork", *(pytest.param(each, marks=pytest.mark.slow) for each in ("spawn", "forkserver"))]
)
def test_pools_of_processes(file: Path, method: str):
    """The file is closed before a fork, and each process opens it for itself."""
    if not hasattr(os, "fork") and method != "spawn":
        pytest.skip("needs fork")
    with closing(Cache(file)) as cache:
        store(cache, 1, 2)
        with ProcessPoolExecutor(1, get_context(method)) as pool:
            assert pool.submit(in_a_worker, cache).result() == [1, 2]
        assert known(cache, [1, 2, 100]) == [1, 2, 100]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_while_threads_use_the_file(file: Path):
    """No child waits for a lock that only its parent could give back."""
    over = threading.Event()

    def work() -> None:
        with closing(Cache(file, timeout=600)) as own:
            while not over.is_set():
                store(own, 1)
                known(own, [1])

    threads = [threading.Thread(target=work) for _ in range(3)]
    with closing(Cache(file, timeout=600)) as cache:
        store(cache, 1)
        for thread in threads:
            thread.start()
        try:
            for _ in range(5):
                child = os.fork()
                if child == 0:
                    status = 1
                    try:
                        store(cache, 2)
                        status = 0 if known(cache, [1, 2]) == [1, 2] else 2
                    finally:
                        os._exit(status)
                assert os.waitpid(child, 0)[1] == 0
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert known(cache, [1, 2]) == [1, 2]


def test_a_file_that_is_removed_while_it_is_used(file: Path):
    """The next use makes a new one."""
    with closing(Cache(file)) as cache:
        store(cache, 1)
        for path in file.parent.iterdir():
            path.unlink()
        assert known(cache, [1]) == []
        store(cache, 2)
        assert known(cache, [1, 2]) == [2]


# --- what is wrong ------------------------------------------------------------------------------------


def a_text(file: Path) -> None:
    file.write_bytes(b"This is the novel that I am writing.\n" * 200)


def a_database(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE mine (x)")


def a_checkpoint(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA application_id = 0x416C6C79")


def a_later_cache(file: Path) -> None:
    with closing(Cache(file)) as cache:
        store(cache, 1)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 99")


def a_folder(file: Path) -> None:
    file.mkdir()


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (a_text, "is not a cache, or its beginning is damaged .*remove it, or give another path"),
        (a_database, "is a database of something else: give another path"),
        (a_checkpoint, "is a database of something else: give another path"),
        (a_later_cache, "was written by another version of Alloy: remove it, or give another path"),
        (a_folder, "is a folder: give the path of a file"),
    ],
    ids=lambda value: getattr(value, "__name__", "problem"),
)
@pytest.mark.parametrize("use", ["get", "put", "remove", "info", "clear"])
def test_a_file_of_something_else_is_an_error_and_stays(
    file: Path, make: Any, problem: str, use: str, caplog: pytest.LogCaptureFixture
):
    """At its first use, and at every later one; when a model has answered meanwhile, it is a warning."""
    make(file)
    before = file.read_bytes() if file.is_file() else None
    arguments: dict[str, Any] = {"get": (b"k",), "put": ([(b"k", Reply("x"))],), "remove": (b"k",)}
    with closing(Cache(file)) as cache:
        for _ in range(2):
            if use in ("put", "remove"):
                getattr(cache, use)(*arguments[use])
                assert re.search(problem, caplog.text)
                continue
            with pytest.raises(ConfigurationError, match=f"Cache: .*{problem if use == 'get' else ''}"):
                getattr(cache, use)(*arguments.get(use, ()))
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert before is None or file.read_bytes() == before


def test_a_folder_that_is_not_there(file: Path):
    """It is most likely a misspelt path."""
    with pytest.raises(ConfigurationError, match=r"there is no folder .*: make it, or give another path"):
        Cache(file.parent / "missing" / "answers.sqlite").get(b"k")


def regions(content: bytes) -> Iterator[int]:
    """Places in a file of SQLite: in each field of its header, and some of each page."""
    yield from range(0, 100, 2)
    yield from range(101, len(content), 509)


@pytest.mark.slow
def test_a_changed_byte_is_never_a_wrong_answer(file: Path, caplog: pytest.LogCaptureFixture):
    """Anywhere in the file: it is an error, a fresh start, or a miss, and whatever is read is right."""
    with closing(Cache(file)) as cache:
        store(cache, *range(25))
    content = file.read_bytes()
    ends = {"error": 0, "set aside": 0, "used": 0}
    for place in regions(content):
        for other in file.parent.iterdir():
            other.unlink()
        changed = bytearray(content)
        changed[place] ^= 0xFF
        file.write_bytes(changed)
        with closing(Cache(file)) as cache:
            try:
                known(cache, range(25))
                store(cache, *range(25, 30))
                known(cache, range(30))
                ends["set aside" if Path(f"{file}.damaged").exists() else "used"] += 1
            except ConfigurationError:
                ends["error"] += 1
                assert file.read_bytes() == changed
    assert min(ends.values()) > 0, ends


def pieces(content: bytes) -> dict[str, bytes]:
    middle = len(content) // 2
    return {
        "empty": b"",
        "half": content[:middle],
        "zeros at the end": content[:middle] + bytes(len(content) - middle),
        "noise": content[:4096] + random.Random(7).randbytes(len(content) - 4096),
        "another file at its end": content + content,
        "twice the first half": content[:middle] * 2,
    }


@pytest.mark.parametrize("damage", pieces(bytes(8192)))
def test_larger_damage_is_a_fresh_start(file: Path, damage: str, caplog: pytest.LogCaptureFixture):
    """Calls go on; the damaged file is kept under another name, and the log says so once."""
    with closing(Cache(file)) as cache:
        store(cache, *range(60))
    content = file.read_bytes()
    file.write_bytes(pieces(content)[damage])
    with closing(Cache(file)) as cache:
        for _ in range(3):
            known(cache, range(60))
            store(cache, *range(60))
        assert known(cache, range(60)) == list(range(60))
    said = [record.getMessage() for record in caplog.records]
    if Path(f"{file}.damaged").exists():
        assert len(said) == 1
        assert "answers.sqlite' is damaged (" in said[0] and "answers.sqlite.damaged' now" in said[0]
    else:
        assert said == []


def test_a_damaged_row_is_a_miss(file: Path):
    """Whatever of it is changed."""
    changes = (
        "key = x'00'",
        "stored = stored + 1",
        "expires = 9e9",
        "digest = x'00'",
        "reply = x'7b7d'",
        "reply = ''",
        "reply = 5",
        "digest = 'x'",
        "used = 'x'",
    )
    for change in changes:
        with closing(Cache(file)) as cache:
            store(cache, 1)
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(f"UPDATE answers SET {change}")
        with closing(Cache(file)) as cache:
            assert known(cache, [1]) == []
            store(cache, 1)
            assert known(cache, [1]) == [1]
            cache.clear()


def test_a_lock_that_lasts(file: Path, caplog: pytest.LogCaptureFixture):
    """Nothing is stored, what is stored is read, and the log says so once."""
    with closing(Cache(file, timeout=0)) as cache, closing(sqlite3.connect(file)) as other:
        store(cache, 1)
        other.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            store(cache, 2)
            cache.remove(key_of(1))
            assert known(cache, [1, 2]) == [1]
        with pytest.raises(ConfigurationError, match=r"cannot be cleared: it is locked by another process"):
            cache.clear()
    assert [record.getMessage() for record in caplog.records] == [
        f"the response cache {str(file)!r} is locked by another process; calls go on without it "
        "(database is locked)"
    ]


def test_a_lock_from_the_first_moment(file: Path, caplog: pytest.LogCaptureFixture):
    """Not even the tables can be made."""
    with closing(Cache(file, timeout=0)) as cache, closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert known(cache, [1]) == []
        store(cache, 1)
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit for the size of a file")
def test_a_disk_that_is_full(file: Path):
    """The call goes on without the cache, and reads what there is."""
    code = (
        "import logging, resource, signal, sys\n"
        f"sys.path.insert(0, {str(PROGRAM.parent)!r})\n"
        "from keeping import key_of\n"
        "from alloy import Cache\n"
        "from alloy.messages import Reply\n"
        "logging.basicConfig(stream=sys.stdout, format='%(levelname)s')\n"
        "cache = Cache(sys.argv[1])\n"
        "cache.put([(key_of(0), Reply('x'))])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "for number in range(1, 50):\n"
        "    cache.put([(key_of(number), Reply('x' * 9000))])\n"
        "print(sum(cache.get(key_of(number)) is not None for number in range(50)) in range(1, 40))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, file], capture_output=True, text=True, env=without_coverage()
    )
    assert ran.stdout.split() == ["WARNING", "True"], ran.stderr


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anything")
def test_a_read_only_file(file: Path, caplog: pytest.LogCaptureFixture):
    """The call goes on without the cache, with one warning."""
    with closing(Cache(file)) as cache:
        store(cache, 1)
    file.chmod(0o400)
    file.parent.chmod(0o500)
    try:
        with closing(Cache(file)) as cache:
            for _ in range(3):
                store(cache, 2)
                assert set(known(cache, [1, 2])) <= {1}
    finally:
        file.parent.chmod(0o700)
    assert len(caplog.records) == 1


def test_an_interrupted_use_holds_no_lock(file: Path):
    """Ctrl-C in the middle of a transaction ends it."""

    def interrupted() -> Iterator[tuple[bytes, Reply]]:
        yield key_of(1), reply_to(1)
        raise KeyboardInterrupt

    with closing(Cache(file)) as cache, closing(Cache(file, timeout=0)) as other:
        with pytest.raises(KeyboardInterrupt):
            cache.put(interrupted())
        store(other, 2)
        assert known(cache, [1, 2]) == [2]
