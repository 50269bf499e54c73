"""A response cache: the second run takes its answers from a file, and asks the model nothing.

Expected outcome: the first run asks the model for each review, the second for none, also where the answer is
streamed, and the third asks again because it refreshes the file. Offline (ALLOY_BACKEND=fake) it prints:

    first run: 2 requests
    second run: 0 requests
    streamed: 0 requests
    asked again: 2 requests
    2 answers in the file
"""

import tempfile
from datetime import timedelta
from pathlib import Path

from alloy import Cache, command, track_usage, use_config

REVIEWS = ["Arrived early, works.", "Broke on day two."]


@command(output=int)
def stars(review: str) -> str:
    return f"How many stars from 1 to 5 does this review give?\n{review}"


def run(name: str, *, streamed: bool = False) -> None:
    with track_usage() as total:
        for review in REVIEWS:
            if streamed:
                stars.stream(review).result()
            else:
                stars(review)
    print(f"{name}: {total.requests} requests")


def main(file: Path) -> None:
    cache = Cache(file, ttl=timedelta(days=7))
    with use_config(cache=cache):
        run("first run")
        run("second run")
        run("streamed", streamed=True)
    with use_config(cache=cache.refreshing()):
        run("asked again")
    print(cache.info().answers, "answers in the file")
    cache.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder) / "answers.sqlite")
