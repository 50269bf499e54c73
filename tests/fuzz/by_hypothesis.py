"""Fuzzes one reader with hypothesis, which mutates the corpus and shrinks what fails.

`python -m fuzz.by_hypothesis READER FILE SECONDS SEED`; FILE gets the input that is being read.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from fuzz.readers import read

BATCH = 200  # examples between two looks at the clock
# Words of the formats, which random bytes would hardly find.
WORDS = [
    *b"{ } [ ] \" ' : , \\ / \n \r \t \0 < > = ( ) ` * - # \xff \xef\xbb\xbf \xf0\x9f".split(b" "),
    *b'null true false NaN Infinity 1e999 -0 0x1F [] {} "" "x" data: event: id: : [DONE]'.split(),
    *b"\\ud83e \\udd8a \\u0000 \\x41 \\n \xed\xa0\xbe /* */ // ``` ```json <think> </think> <answer>".split(),
    *b'"error": "index": "type": "id": "name": "arguments": "message": "finish_reason": "done":'.split(),
    b"\n\n",
    b"\r\n\r\n",
    b"data: [DONE]\n\n",
    b"event: error\ndata: ",
    b": ping\n\n",
    b"Final Answer:",
    b"\nAction: stock",
    b"\nAction Input: {",
    b"\nObservation: ",
    b"\nThought: ",
    b":param item: ",
    b"\nArgs:\n    item: ",
    b"\nParameters\n----------\n",
    b" " * 100,
    b"[" * 100,
    b"9" * 400,
]


@st.composite
def mutated(draw: st.DrawFn, corpus: list[bytes]) -> bytes:
    """A file of the *corpus* after some mutations."""
    data = draw(st.sampled_from(corpus))
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 1, 1, 2, 5, 20, 100, 10_000])))
        piece = data[start:end]
        put = draw(
            st.sampled_from(WORDS)
            | st.binary(max_size=4)
            | st.sampled_from([b"", piece * 2, piece[::-1], piece * 20])
            | st.sampled_from(corpus).map(lambda other: other[len(other) // 2 :])
        )
        data = (data[:start] + put + data[end:])[:20_000]
    return data


def main(name: str, file: Path, seconds: float, start: int) -> None:
    folder = Path(__file__).parent / "corpus" / name
    corpus = [path.read_bytes() for path in sorted(folder.iterdir())]
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:

        @seed(start + count)
        @settings(max_examples=BATCH, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(data=mutated(corpus))
        def check(data: bytes) -> None:
            nonlocal count
            count += 1
            file.write_bytes(data)
            read(name, data)

        check()
    sys.stdout.write(f"{count} inputs\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
