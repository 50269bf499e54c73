"""A program for tests: a process that stores and reads replies until it is killed, or has made COUNT uses.

`python keeping.py FILE COUNT KEYS SEED` prints a line after each reply that it has stored, or that is wrong.
"""

from __future__ import annotations

import random
import sys

from alloy import Cache
from alloy.messages import Reply, ToolCall


def key_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


def reply_to(number: int) -> Reply:
    """The only right reply to a request."""
    text = f"answer {number} " * (number % 50)
    return Reply(text, (ToolCall(f"call_{number}", "tool", "{}"),), "tool_calls", model=str(number))


def main(file: str, count: int, keys: int, seed: int) -> None:
    cache, chance = Cache(file, timeout=600), random.Random(seed)
    for _ in range(count):
        number = chance.randrange(keys)
        found = cache.get(key_of(number))
        if found is None:
            cache.put([(key_of(number), reply_to(number))])
            sys.stdout.write(f"stored {number}\n")
        elif found.reply != reply_to(number):
            sys.stdout.write(f"wrong {number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
