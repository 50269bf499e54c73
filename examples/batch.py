"""Many calls in one batch of the provider: begun, found again by its id, and read.

Expected outcome: the id of the batch, its status when it has ended, and a line for each review. A review
whose answer is not a mood has an error, and the others have values. Offline (ALLOY_BACKEND=fake), where a
batch is answered at once, it prints:

    begun: fake
    completed (3 succeeded of 3)
    positive  Arrived early, works.
    negative  Broke on day two.
    ParseError  My cat approves.
"""

from typing import Literal

from offline import offline

from alloy import Batch, command

REVIEWS = ["Arrived early, works.", "Broke on day two.", "My cat approves."]

Mood = Literal["positive", "negative"]


@command(output=Mood)
def mood(review: str) -> str:
    return f"Is this review positive or negative?\n{review}"


def main() -> None:
    with offline("positive", "negative", "both"):
        begun = mood.batch(REVIEWS)
    print(f"begun: {begun.id.partition(':')[0]}")
    # Another process may continue here, with the id and the same command.
    batch = Batch.load(begun.id, mood, REVIEWS)
    print(batch.wait(poll=60))
    for outcome in batch.outcomes():
        print(f"{outcome.value or type(outcome.error).__name__}  {outcome.args[0]}")


if __name__ == "__main__":
    main()
