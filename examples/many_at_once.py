"""Many concurrent calls in one event loop; `max_connections` limits how many requests are sent at once.

Expected outcome: one line per review, in order, although the calls overlap. A call that fails is
reported and does not stop the others. Offline (ALLOY_BACKEND=fake) it prints:

    positive  Arrived early, works.
    negative  Broke on day two.
    positive  My cat approves.
"""

import asyncio
from typing import Any, Literal

from offline import offline

from alloy import AlloyError, command

REVIEWS = ["Arrived early, works.", "Broke on day two.", "My cat approves."]

Mood = Literal["positive", "negative"]


@command(output=Mood, retry=4, deadline=60, max_connections=8)
async def mood(review: str) -> str:
    return f"Is this review positive or negative?\n{review}"


async def mood_or_error(review: str) -> str:
    try:
        return await mood(review)
    except AlloyError as error:
        return type(error).__name__


async def main() -> None:
    with offline(*[scripted] * len(REVIEWS)):
        moods = await asyncio.gather(*(mood_or_error(review) for review in REVIEWS))
    for found, review in zip(moods, REVIEWS, strict=True):
        print(f"{found:9} {review}")


def scripted(request: dict[str, Any]) -> str:
    """The offline answer to *request*; it depends on nothing else, so the calls may come in any order."""
    return "negative" if "Broke" in request["messages"][0]["content"] else "positive"


if __name__ == "__main__":
    asyncio.run(main())
