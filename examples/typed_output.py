"""Typed answers: nested dataclasses, enums, optional fields and unions.

Expected outcome: the model converts the note to the types below. The words may vary, the types are always
the same. Offline (ALLOY_BACKEND=fake) it prints:

    Ticket(title='Login fails on Safari', urgency=<Urgency.HIGH: 'high'>, due=None)
      step: Open the login page
      step: Press Enter
    refund or question: Refund(order=4711, amount=19.9)
"""

from dataclasses import dataclass, field
from datetime import date
from enum import Enum

from offline import offline

from alloy import command


class Urgency(Enum):
    LOW = "low"
    HIGH = "high"


@dataclass
class Step:
    what: str


@dataclass
class Ticket:
    title: str
    urgency: Urgency
    due: date | None
    steps: list[Step] = field(default_factory=list, repr=False)


@dataclass
class Refund:
    order: int
    amount: float


@dataclass
class Question:
    about: str


@command(output=Ticket)
def file_ticket(note: str) -> str:
    return f"File a ticket for this note. No due date unless it names one.\n{note}"


@command(output=Refund | Question)
def sort_mail(text: str) -> str:
    return f"Does this mail ask for a refund, or is it a question?\n{text}"


def main() -> None:
    ticket = Ticket(
        "Login fails on Safari", Urgency.HIGH, None, [Step("Open the login page"), Step("Press Enter")]
    )
    with offline(ticket):
        filed = file_ticket("Urgent!! Safari: opened the login page, pressed Enter, nothing.")
    print(filed)
    for step in filed.steps:
        print(f"  step: {step.what}")
    with offline(Refund(4711, 19.9)):
        mail = sort_mail("Please return my 19.90 for order 4711.")
    print(f"refund or question: {mail}")


if __name__ == "__main__":
    main()
