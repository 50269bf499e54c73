"""A program for tests: each line on stdin runs its map in a forked child, which is killed or ends.

`python resumable.py URL FILE COUNT` prints the child's process id, each value as it is read, and "ended".
"""

from __future__ import annotations

import os
import sys

import openai  # noqa: F401 - imported before the fork, which makes the children fast

from alloy import command

URL, FILE, COUNT = sys.argv[1], sys.argv[2], int(sys.argv[3])


@command(output=int, model="openai:gpt-5.6", base_url=URL, api_key="sk-none", retry=0)
def double(number: int) -> str:
    return f"Double {number}"


def say(*words: object) -> None:
    sys.stdout.write(f"{' '.join(map(str, words))}\n")  # in one piece: the process may be killed
    sys.stdout.flush()


def run() -> None:
    found = double.map(range(COUNT), concurrency=4, ordered=False, checkpoint=FILE)
    for outcome in found.outcomes():
        say("got", outcome.index, outcome.value, repr(outcome.error))
    say("resumed", found.summary.resumed)


if __name__ == "__main__":
    double.request(0)  # imports the backend
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            say("process", os.getpid())
            run()
            os._exit(0)
        os.waitpid(child, 0)
        say("ended")
