"""Elements of a list, each as soon as it is complete, while the model still writes the others.

Expected outcome: validated tasks appear one by one, before the list is complete; then the events of a second
call. Offline (ALLOY_BACKEND=fake) it prints:

    1. Book the hall (3 days)
    2. Print the flyers (5 days)
    3. Buy the drinks (1 days)
    9 days in all, 3 tasks, one request
    the model calls free_days({"month":"May"})
    the tool returns [3, 17]
    the value is datetime.date(2027, 5, 17)
"""

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from annotated_types import Ge
from offline import offline

from alloy import command, tool
from alloy.events import Final, ToolFinished, ToolStarted
from alloy.testing import call


@dataclass
class Task:
    what: str
    days: Annotated[int, Ge(1)]


@command(output=list[Task])
def plan(party: str) -> str:
    return f"The three tasks before {party}, the first one first."


@tool
def free_days(month: str) -> list[int]:
    """The days of a month on which the hall is free."""
    return [3, 17]


@command(output=date, tools=[free_days])
def pick_day(wish: str) -> str:
    return f"Pick a free day for the party in 2027, as late in the month as possible: {wish}"


def main() -> None:
    tasks = Task("Book the hall", 3), Task("Print the flyers", 5), Task("Buy the drinks", 1)
    with offline(list(tasks)), plan.stream("a summer party") as stream:
        for number, task in enumerate(stream.items(), 1):
            print(f"{number}. {task.what} ({task.days} days)", flush=True)
        result = stream.run()
    requests = "one request" if result.attempts == 1 else f"{result.attempts} requests"
    print(f"{sum(task.days for task in result.value)} days in all, {len(result.value)} tasks, {requests}")

    with offline(call("free_days", month="May"), date(2027, 5, 17)), pick_day.stream("in May") as stream:
        for event in stream.events():
            match event:
                case ToolStarted(call=started):
                    print(f"the model calls {started.name}({started.arguments})")
                case ToolFinished(result=done):
                    print(f"the tool returns {done.error or done.value}")
                case Final(value=value):
                    print(f"the value is {value!r}")


if __name__ == "__main__":
    main()
