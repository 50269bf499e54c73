"""Many inputs with a checkpoint: a run that fails in the middle continues where it was.

Expected outcome: the first run ends with an error of its inputs, after two answers. The second run takes
those answers from the file, and only asks the rest. Offline (ALLOY_BACKEND=fake) it prints:

    positive  Arrived early, works.
    negative  Broke on day two.
    the first run ended: the database is down
    positive  Arrived early, works.
    negative  Broke on day two.
    positive  My cat approves.
    negative  Never arrived.
    4 answered, 2 of them in the first run
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from offline import offline

from alloy import Map, command

REVIEWS = ["Arrived early, works.", "Broke on day two.", "My cat approves.", "Never arrived."]

Mood = Literal["positive", "negative"]


@command(output=Mood)
def mood(review: str) -> str:
    return f"Is this review positive or negative?\n{review}"


def reviews(fails_after: int | None = None) -> Iterator[str]:
    for number, review in enumerate(REVIEWS):
        if number == fails_after:
            raise ConnectionError("the database is down")
        yield review


def show(moods: Map[Mood]) -> None:
    for outcome in moods.outcomes():
        print(f"{outcome.value:9} {outcome.args[0]}")


def main(file: Path) -> None:
    with offline(scripted, scripted):
        try:
            show(mood.map(reviews(fails_after=2), checkpoint=file))
        except ConnectionError as error:
            print(f"the first run ended: {error}")

    with offline(scripted, scripted):
        second = mood.map(reviews(), checkpoint=file)
        show(second)
    print(f"{second.summary.succeeded} answered, {second.summary.resumed} of them in the first run")


def scripted(request: dict[str, Any]) -> str:
    """The offline answer to *request*; it depends on nothing else, so the calls may come in any order."""
    review = request["messages"][0]["content"]
    return "negative" if "Broke" in review or "Never" in review else "positive"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder) / "moods.sqlite")
