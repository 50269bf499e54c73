"""The cache of compiled types: threads share it, and it holds only what was used last."""

from __future__ import annotations

import dataclasses
import gc
import sys
import threading
import weakref
from typing import Any

from pydantic import create_model

from alloy import parse
from alloy._typed.types.compile import compile_type


def test_threads_compile_at_the_same_time() -> None:
    """Each thread parses types that no other thread has, so all of them change the cache."""
    errors: list[Exception] = []

    def work(thread: int) -> None:
        try:
            for number in range(300):
                kind = dataclasses.make_dataclass(f"Part{thread}_{number}", [("n", int)])
                assert parse(kind, '{"n": 1}') == kind(1)
        except Exception as error:
            errors.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert errors == []


def test_classes_that_are_no_longer_used_are_released() -> None:
    """A program that builds classes without end does not keep them all; a type in use stays compiled."""
    made: list[weakref.ref[type[Any]]] = []
    used = compile_type(list[int])
    for number in range(300):
        kind = create_model(f"Made{number}", n=(int, ...))
        assert parse(kind, '{"n": 1}').n == 1
        assert compile_type(list[int]) is used
        made.append(weakref.ref(kind))
        del kind
    gc.collect()

    alive = [number for number, ref in enumerate(made) if ref() is not None]
    assert len(alive) <= 256
    assert 0 not in alive
