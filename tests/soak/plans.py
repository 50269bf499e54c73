"""What happens in a call of the soak: drawn from its seed, and read by the server in the prompt."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from kit.apis import APIS

WAYS = ("run", "run_async", "stream", "stream_async")
# What the server may do instead of answering; after some of them a retry helps.
FAULTS = ("429", "500", "503", "400", "401", "404", "reset", "close", "half", "html", "empty", "error")
SILENCE = "silence"
PATTERN = re.compile(rb"soak (\d+) at ([\w-]+) by (\w+): ([\w,]+)")


@dataclass(frozen=True)
class Plan:
    """One call: its number, its provider and way, and what the server does with each request in turn.

    *steps* are faults, `tools` and a number, and `text`, which is also what comes after the last step.
    *leaves* says that the caller cancels the call, or stops reading its stream.
    """

    number: int
    api: str
    way: str
    steps: tuple[str, ...]
    leaves: bool = False

    @property
    def prompt(self) -> str:
        return f"soak {self.number} at {self.api} by {self.way}: {','.join(self.steps)}"

    @property
    def is_silent(self) -> bool:
        return SILENCE in self.steps


def draw(seed: int, number: int, way: str) -> Plan:
    """The plan of a call: it depends on nothing but the seed and the number of the call."""
    chance = random.Random(f"{seed}-{number}")
    api = chance.choice(APIS).name
    leaves = way != "run" and chance.random() < 0.1
    if chance.random() < 0.01:
        return Plan(number, api, way, (SILENCE, "text"), leaves)
    steps: list[str] = []
    for _ in range(chance.choice([0, 1, 1, 2])):
        steps += [chance.choice(FAULTS)] if chance.random() < 0.3 else []
        steps.append(f"tools{chance.choice([1, 1, 2, 3])}")
    steps += [chance.choice(FAULTS)] if chance.random() < 0.3 else []
    return Plan(number, api, way, (*steps, "text"), leaves)


def read(content: bytes) -> Plan:
    """The plan in the prompt of a request."""
    found = PATTERN.search(content)
    assert found is not None, content
    number, api, way, steps = found.groups()
    return Plan(int(number), api.decode(), way.decode(), tuple(steps.decode().split(",")))
