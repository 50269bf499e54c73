"""Tools that a model calls, and contracts that check the calls.

Expected outcome: the model calls the tool for both cities, perhaps in one turn. If a call breaks `@require`,
the model gets the message and can try again. Offline (ALLOY_BACKEND=fake) it prints:

    forecast(city='Oslo', days=30) failed: days must be between 1 and 7
    forecast(city='Oslo', days=7) returned Forecast(city='Oslo', days=7, low=-4, high=3)
    forecast(city='Rome', days=7) returned Forecast(city='Rome', days=7, low=9, high=17)
    Pack for -4 to 17 degrees.
    called from Python: days must be between 1 and 7
"""

from dataclasses import dataclass

from offline import offline

from alloy import ToolError, command, ensure, require, tool
from alloy.testing import call, calls

CLIMATE = {"Oslo": (-4, 3), "Rome": (9, 17)}


@dataclass
class Forecast:
    city: str
    days: int
    low: int
    high: int


@tool
@require(lambda days: 1 <= days <= 7, "days must be between 1 and 7")
@require(lambda city: city in CLIMATE, f"city must be one of {', '.join(CLIMATE)}")
@ensure(lambda result: result.low <= result.high, "low must not be above high")
def forecast(city: str, days: int = 1) -> Forecast:
    """Temperatures in degrees Celsius.

    Args:
        city: The city's English name.
        days: How many days from today.
    """
    return Forecast(city, days, *CLIMATE[city])


@command(tools=[forecast])
def packing_advice(cities: list[str]) -> str:
    return f"For which temperatures must I pack for a week each in {' and '.join(cities)}? One sentence."


def main() -> None:
    with offline(
        call("forecast", city="Oslo", days=30),
        calls(call("forecast", city="Oslo", days=7), call("forecast", city="Rome", days=7)),
        "Pack for -4 to 17 degrees.",
    ):
        result = packing_advice.run(["Oslo", "Rome"])
    for done in result.tool_calls:
        arguments = ", ".join(f"{name}={value!r}" for name, value in done.arguments.items())
        outcome = f"failed: {done.error}" if done.error else f"returned {done.value}"
        print(f"{done.name}({arguments}) {outcome}")
    print(result.value)
    try:
        forecast("Oslo", days=30)
    except ToolError as error:
        print(f"called from Python: {error}")


if __name__ == "__main__":
    main()
