"""Give a model the tools of an MCP server: here the clock of the package mcp-server-time.

Needs the extra `mcp` and `pip install mcp-server-time`.

Expected outcome: the tools of the server, and an answer that used one. With ALLOY_BACKEND=fake it prints:

    get_current_time, convert_time
    10:00 in Oslo is 17:00 in Tokyo.
    convert_time said: Asia/Tokyo
"""

import json
import sys

from offline import offline

import alloy.mcp
from alloy import command
from alloy.testing import call

CLOCK = [sys.executable, "-m", "mcp_server_time"]


@command(output=str)
def convert(time: str, start: str, end: str) -> str:
    """The time in another city."""
    return f"It is {time} in {start}. Use a tool to find out what time that is in {end}."


def main() -> None:
    with alloy.mcp.connect(CLOCK) as server:
        print(", ".join(tool.name for tool in server.tools))
        arguments = {"source_timezone": "Europe/Oslo", "time": "10:00", "target_timezone": "Asia/Tokyo"}
        with offline(call("convert_time", **arguments), "10:00 in Oslo is 17:00 in Tokyo."):
            result = convert.with_options(tools=server.tools).run("10:00", "Oslo", "Tokyo")
        print(result.value)
        for done in result.tool_calls:
            print(f"{done.name} said: {json.loads(done.content)['target']['timezone']}")


if __name__ == "__main__":
    main()
