"""A conversation over several calls: text, a tool, saving and loading, a typed answer.

Expected outcome: each call knows the messages of the calls before it, tools included. The saved conversation
can be continued in another process, and with another model if ALLOY_MODEL has changed. Offline
(ALLOY_BACKEND=fake) it prints:

    The sea room is 170 EUR a night.
    Two nights are 340 EUR.
    saved 6 turns
    Booking(room='sea', nights=2, euros=340)
    the first conversation still has 6 turns, the loaded one 8
"""

from dataclasses import dataclass

from offline import offline

from alloy import Conversation, ask, command, tool
from alloy.testing import call


@tool
def price_of_stay(room: str, nights: int = 1) -> int:
    """The price of a stay, in EUR."""
    return {"garden": 110, "sea": 170}[room] * nights


@dataclass
class Booking:
    room: str
    nights: int
    euros: int


@command(output=Booking)
def book() -> str:
    return "Book it as we agreed."


def main() -> None:
    chat = Conversation()
    with offline(call("price_of_stay", room="sea"), "The sea room is 170 EUR a night."):
        print(ask("What is the sea room, in one sentence?", tools=[price_of_stay], conversation=chat))
    with offline("Two nights are 340 EUR."):
        print(ask("And two nights of it, in one sentence?", conversation=chat))

    saved = chat.to_json()
    print(f"saved {len(chat)} turns")

    loaded = Conversation.from_json(saved)
    with offline(Booking("sea", 2, 340)):
        print(book.with_options(conversation=loaded)())
    print(f"the first conversation still has {len(chat)} turns, the loaded one {len(loaded)}")


if __name__ == "__main__":
    main()
