"""`ask`: a model call without a decorated function.

Expected outcome: an answer that uses the context, then a typed answer. Offline (ALLOY_BACKEND=fake) it
prints:

    Ada is free at 15:00.
    [9, 15]
    tokens were counted: True
"""

from offline import offline

from alloy import ask, use_config

CALENDAR = {"Ada": {"busy": ["10:00-12:00", "16:00-17:00"]}, "Grace": {"busy": ["15:00-16:00"]}}


def main() -> None:
    with offline("Ada is free at 15:00."):
        print(ask("Who is free at 15:00? One sentence.", context=CALENDAR))
    with offline([9, 15]):
        print(
            ask(
                "At which full hours from 9 to 15 is Ada free before and after lunch?",
                context=CALENDAR,
                output=list[int],
            )
        )
    with use_config(system="You are terse."), offline("Noon."):
        result = ask.run("When is lunch?")
    print(f"tokens were counted: {result.usage.total_tokens > 0}")


if __name__ == "__main__":
    main()
