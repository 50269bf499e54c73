"""A prompt with an image, and a typed answer.

Expected outcome: the model reads the chart that this script draws: three bars, the second one is the
highest. A part that the model does not support is an error before anything is sent. Offline
(ALLOY_BACKEND=fake) it prints:

    drew a PNG of 90 x 60 pixels
    Chart(bars=3, highest=2, colour='red')
    ollama:qwen3-vl does not take documents: choose another model
"""

import struct
import zlib
from dataclasses import dataclass
from typing import Annotated

from offline import offline

from alloy import ConfigurationError, Document, Image, Prompt, ask, command

WIDTH, HEIGHT = 90, 60
BARS = (20, 50, 35)  # how high each is, in pixels


def draw_chart() -> bytes:
    """A bar chart as a PNG (https://www.w3.org/TR/png-3/): red bars on white."""
    rows = []
    for y in range(HEIGHT):
        pixels = (
            b"\xcc\x00\x00" if x % 30 >= 10 and HEIGHT - y <= BARS[x // 30] else b"\xff" * 3
            for x in range(WIDTH)
        )
        rows.append(b"\x00" + b"".join(pixels))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@dataclass
class Chart:
    bars: int
    highest: Annotated[int, "which bar is the highest, counted from 1 at the left"]
    colour: str


@command(output=Chart)
def read_chart(picture: bytes) -> Prompt:
    return ["Read this bar chart.", Image.from_bytes(picture, name="chart.png")]


def main() -> None:
    picture = draw_chart()
    width, height = struct.unpack(">II", picture[16:24])
    print(f"drew a PNG of {width} x {height} pixels")
    with offline(Chart(bars=3, highest=2, colour="red")):
        print(read_chart(picture))
    terms = Document.from_bytes(b"Pay within 30 days.", "text/plain", name="terms.txt")
    try:
        ask(["When is it due?", terms], model="ollama:qwen3-vl", backend=None)
    except ConfigurationError as error:
        print(str(error).removeprefix("ask(): "))


if __name__ == "__main__":
    main()
