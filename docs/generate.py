"""Writes what can be computed: tables in the docs, and the outputs in the notebook.

`python docs/generate.py` rewrites the files, `--check` says which are stale and exits with 1. In a
page, what stands between `<!-- generated: NAME -->` and `<!-- end -->` is replaced.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from alloy import errors
from alloy.settings import ALIASES, SETTINGS, Config, Setting

DOCS = Path(__file__).parent
ROOT = DOCS.parent
NOTEBOOKS = (ROOT / "examples" / "walkthrough.ipynb",)

# --- settings ---------------------------------------------------------------------------------------


def settings() -> str:
    """One row for each setting: what it means, what it accepts, its default and its variables."""
    defaults = Config()
    rows = [
        (
            f"`{name}`",
            row.meaning,
            _accepted(row),
            f"`{getattr(defaults, name)!r}`",
            "<br>".join(f"`{variable}`" for variable in row.variables) or "none",
        )
        for name, row in SETTINGS.items()
    ]
    table = _table(("Setting", "Meaning", "Accepts", "Default", "Environment"), rows)
    return table + "".join(f"\n\n`{alias}` is another name for `{name}`." for alias, name in ALIASES.items())


def _accepted(row: Setting) -> str:
    """The values that a setting accepts, in the words of its own error message."""
    try:
        row.kind.check(object())
    except ValueError as error:
        return f"{error}, or None" if row.optional else str(error)
    return "anything"


# --- errors -----------------------------------------------------------------------------------------

# What helps, for each error that a caller can meet; a class without a line here stops the generator.
WAYS_OUT = {
    "ConfigurationError": "Change what the message names; it is raised before anything is sent.",
    "CommandError": "Mend the command's body, or give it arguments that its `@require` accepts.",
    "ToolError": "Call the tool within its contract, or look at `__cause__` for what the tool raised.",
    "ProviderError": "See the classes below; the provider's support asks for `request_id`.",
    "ProviderConnectionError": "Check `base_url`, the network and proxies; `retry` tries were made.",
    "ProviderTimeoutError": "Raise `timeout`, ask for less, or stream.",
    "AuthenticationError": "Set the provider's key, or ask for access to the model.",
    "BadRequestError": "Read the provider's message: a setting that the model refuses, or too long a prompt.",
    "ModelNotFoundError": "Check `model` and `base_url`.",
    "UnsupportedError": "Take another model, or let Alloy stand in: `strict_capabilities=False`.",
    "RateLimitError": "Wait for `retry_after` seconds, send less at once, or raise the quota; see `code`.",
    "ServerError": "Wait and try again later; `retry` tries were made.",
    "BadReplyError": "Check that `base_url` is the provider's API and not a proxy's page; else try again.",
    "AnswerError": "See the classes below; `text` is what the model said, `problems` what was wrong with it.",
    "EmptyAnswerError": "Say in the prompt what an answer is, or raise `max_tokens`.",
    "RefusalError": "Change the prompt; `text` or the message has the model's reason.",
    "TruncatedError": "Raise `max_tokens`, or ask for less; `text` is what came so far.",
    "FilteredError": "Change the prompt or the provider's filter settings.",
    "ParseError": "Make the prompt or the type plainer, raise `reask`, or take a stronger model.",
    "PostconditionError": "Say the `@ensure` in the prompt too, or raise `reask`.",
    "TurnLimitError": "Raise `max_tool_turns`, or say in the prompt when to stop.",
    "DeadlineError": "Raise `deadline`, or give the call less to do.",
}


def error_table() -> str:
    """One row for each error: its cause, what to do, and whether it is tried again."""
    rows = []
    for name in (name for name in errors.__all__ if name != "AlloyError"):
        kind = getattr(errors, name)
        cause = (kind.__doc__ or "").partition("\n")[0]
        transient = "yes" if getattr(kind, "transient", False) else "no"
        rows.append((f"`{name}`", cause, WAYS_OUT[name], transient))
    order = list(WAYS_OUT)
    rows.sort(key=lambda row: order.index(row[0].strip("`")))
    return _table(("Error", "Cause", "What to do", "Transient"), rows)


def error_tree() -> str:
    """The tree as `errors.py` draws it."""
    lines = (errors.__doc__ or "").split("\n")
    drawn = [line[4:] for line in lines if line.startswith("    ")]
    return "```text\n" + "\n".join(drawn) + "\n```"


# --- notebooks --------------------------------------------------------------------------------------

RUNNER = """
import contextlib, io, json, sys
namespace, outputs = {"__name__": "__main__"}, []
for source in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(compile(source, "<cell>", "exec"), namespace)
    outputs.append(said.getvalue())
json.dump(outputs, sys.stdout)
"""


def notebook(text: str) -> str:
    """The notebook with the outputs that its code cells print offline, run from first to last."""
    book = json.loads(text)
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    sources = json.dumps(["".join(cell["source"]) for cell in cells])
    environment = {**os.environ, "ALLOY_BACKEND": "fake", "PYTHONPATH": str(ROOT / "src")}
    run = subprocess.run(
        [sys.executable, "-c", RUNNER], input=sources, capture_output=True, text=True, env=environment
    )
    if run.returncode:
        raise SystemExit(f"the notebook failed:\n{run.stderr}")
    for number, (cell, said) in enumerate(zip(cells, json.loads(run.stdout), strict=True), 1):
        lines = said.splitlines(keepends=True)
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": lines}] if lines else []
        cell["execution_count"] = number
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


# --- all of it --------------------------------------------------------------------------------------

SECTIONS: dict[str, Callable[[], str]] = {
    "settings": settings,
    "error-tree": error_tree,
    "error-table": error_table,
}
MARKED = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def page(text: str) -> str:
    """*text* with its generated sections as they should be."""
    return MARKED.sub(lambda found: f"{found[1]}\n{SECTIONS[found[2]]()}\n\n{found[3]}", text)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    if piped := [cell for line in lines for cell in line if "|" in cell]:
        # Inside code, GitHub needs "\\|" where the site shows that backslash.
        raise SystemExit(f"generated files: no cell of a table can hold a pipe: {piped}")
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main(arguments: list[str]) -> int:
    stale, placed = [], set[str]()
    for path in [*sorted(DOCS.glob("**/*.md")), *NOTEBOOKS]:
        text = path.read_text("utf-8")
        fresh = notebook(text) if path in NOTEBOOKS else page(text)
        placed.update(found[2] for found in MARKED.finditer(text) if path not in NOTEBOOKS)
        if fresh != text:
            stale.append(str(path.relative_to(ROOT)))
            if "--check" not in arguments:
                path.write_text(fresh, "utf-8")
    if placed != set(SECTIONS):
        raise SystemExit(f"generated files: no page has a place for {sorted(set(SECTIONS) - placed)}")
    if not stale:
        print("generated files: all are current")
    elif "--check" in arguments:
        print(f"generated files: stale: {', '.join(stale)}; run `make generate`")
        return 1
    else:
        print(f"generated files: rewrote {', '.join(stale)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
