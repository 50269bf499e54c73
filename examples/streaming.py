"""Text as it arrives, tool calls in between, and the whole result at the end.

Expected outcome: the story appears piece by piece. The second stream is closed after its first line,
which ends the request. Offline (ALLOY_BACKEND=fake) it prints:

    The keeper lit the lamp at 17:04.
    [2 turns, 1 tool call]
    Closed early, after: A gull landed.
"""

from offline import offline

from alloy import command, tool
from alloy.testing import call


@tool
def sunset(place: str) -> str:
    """When the sun sets today, as HH:MM."""
    return "17:04"


@command(tools=[sunset])
def story(place: str) -> str:
    return f"One sentence about the lighthouse keeper of {place}, with today's real sunset."


@command
def long_story() -> str:
    return "A story about a gull, one sentence per line."


def main() -> None:
    with offline(call("sunset", place="Skagen"), "The keeper lit the lamp at 17:04."):
        stream = story.stream("Skagen")
        for piece in stream:
            print(piece, end="", flush=True)
        result = stream.run()
    print(f"\n[{result.turns} turns, {len(result.tool_calls)} tool call]")

    with offline("A gull landed.\nIt looked around.\nIt left."), long_story.stream() as stream:
        text = ""
        for piece in stream:
            text += piece
            if "\n" in text:
                break
    print(f"Closed early, after: {text.partition(chr(10))[0]}")


if __name__ == "__main__":
    main()
