"""How much shorter than JSON Schema the type notation is that prompts use: `python benchmarks/notation.py`.

Characters are counted, not tokens: tokenisers differ, and for both texts a token is three to four
characters, so the ratio is about the same. JSON Schema is counted without a blank, as it would be sent.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from alloy._typed.schemas.notation import notation
from alloy._typed.types.compile import compile_type, type_name

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from test_notation import REALISTIC  # whose saving is asserted there

ROW = "{:<28} {:>12} {:>10} {:>7}"


def main() -> None:
    """Print a row for each type, and one for all of them."""
    print(ROW.format("type", "JSON Schema", "notation", "ratio"))
    totals = [0, 0]
    for output in REALISTIC:
        schema = compile_type(output).schema or {}
        lengths = len(json.dumps(schema, separators=(",", ":"), ensure_ascii=False)), len(notation(schema))
        totals = [total + length for total, length in zip(totals, lengths, strict=True)]
        print(ROW.format(type_name(output), *lengths, f"{lengths[1] / lengths[0]:.2f}"))
    print(ROW.format("all", *totals, f"{totals[1] / totals[0]:.2f}"))


if __name__ == "__main__":
    main()
