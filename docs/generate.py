"""Writes what is computed: tables in the docs, and the outputs in the notebook.

`python docs/generate.py` rewrites the files. `--check` lists those that are out of date and exits with 1.
In a page, the text between `<!-- generated: NAME -->` and `<!-- end -->` is replaced.
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

# How to fix each error; a class that has no line here stops the generator.
FIXES = {
    "ConfigurationError": "Change what the message names; nothing has been sent.",
    "CommandError": "Fix the body of the command, or call it with arguments that its `@require` accepts.",
    "ToolError": "Call the tool with other arguments; `__cause__` is the exception that the tool raised.",
    "ProviderError": "See the classes below; the provider's support needs the `request_id`.",
    "ProviderConnectionError": "Check `base_url`, the network and proxies; Alloy tried again `retry` times.",
    "ProviderTimeoutError": "Raise `timeout`, ask for a shorter answer, or stream it.",
    "AuthenticationError": "Set the key of the provider, or ask for access to the model.",
    "BadRequestError": "Read the provider's message: a setting that the model refuses, or too long a prompt.",
    "ModelNotFoundError": "Check `model` and `base_url`.",
    "UnsupportedError": "Choose another model, or allow the fallback: `strict_capabilities=False`.",
    "RateLimitError": "Wait `retry_after` seconds, send fewer requests, or raise the quota; see `code`.",
    "ServerError": "Try again later; Alloy tried again `retry` times.",
    "WorkerError": "Look at the worker's log, or at what cannot be pickled: [workers](engines.md#workers).",
    "McpError": "Start the server, or read the line that it wrote: [MCP](mcp.md#when-a-server-fails).",
    "CheckpointError": "Do what the message says: [checkpoints](maps.md#checkpoints).",
    "BudgetError": "Raise the limit of the budget, or use less: `error.spent` says what was used.",
    "CircuitOpenError": "Wait `retry_after` seconds, give fallback models, or change the circuit breaker.",
    "BadReplyError": "Check that `base_url` is the API of the provider, not a proxy's page; or try again.",
    "ResponseTooLargeError": "Raise `max_response_bytes`, or check that `base_url` is that of the provider.",
    "AnswerError": "See the classes below; `text` is the answer of the model, `problems` says what is wrong.",
    "EmptyAnswerError": "Describe the answer in the prompt, or raise `max_tokens`.",
    "RefusalError": "Change the prompt; the message, or `text`, has the reason that the model gives.",
    "TruncatedError": "Raise `max_tokens`, or ask for a shorter answer; `partial` has what arrived of it.",
    "FilteredError": "Change the prompt, or the filter settings of the provider.",
    "ParseError": "Simplify the prompt or the type, raise `reask`, or choose a stronger model.",
    "PostconditionError": "Describe the `@ensure` in the prompt, or raise `reask`.",
    "TurnLimitError": "Raise `max_tool_turns`, or say in the prompt when to stop.",
    "DeadlineError": "Raise `deadline`, or ask for less in one call.",
}


def error_table() -> str:
    """One row for each error: its cause, how to fix it, and whether Alloy tries again by default."""
    rows = []
    for name in (name for name in errors.__all__ if name != "AlloyError"):
        kind = getattr(errors, name)
        cause = (kind.__doc__ or "").partition("\n")[0]
        transient = "yes" if getattr(kind, "transient", False) else "no"
        rows.append((f"`{name}`", cause, FIXES[name], transient))
    order = list(FIXES)
    rows.sort(key=lambda row: order.index(row[0].strip("`")))
    return _table(("Error", "Cause", "How to fix it", "Transient"), rows)


def error_tree() -> str:
    """The tree in the docstring of `alloy.errors`."""
    lines = (errors.__doc__ or "").split("\n")
    drawn = [line[4:] for line in lines if line.startswith("    ")]
    return "```text\n" + "\n".join(drawn) + "\n```"


# --- servers ----------------------------------------------------------------------------------------


def servers() -> str:
    """One table for each server, from what `make test-servers` has seen."""
    results = json.loads((DOCS / "servers.json").read_text("utf-8"))
    return "\n\n".join(
        f"### {name} ({found['version']})\n\n{_server(found['apis'])}" for name, found in results.items()
    )


def _server(apis: dict[str, dict[str, str]]) -> str:
    rows = list(next(iter(apis.values())))
    head = ("", *(f"`{api}:`" for api in apis))
    return _table(head, ((row, *(seen[row] for seen in apis.values())) for row in rows))


# --- faults -----------------------------------------------------------------------------------------


def faults() -> str:
    """One table for each group of faults, from what `make test-faults` has measured."""
    groups = json.loads((DOCS / "faults.json").read_text("utf-8"))
    return "\n\n".join(f"## {name}\n\n{_faults(**group)}" for name, group in groups.items())


def _faults(faults: dict[str, dict[str, str]], notes: list[str]) -> str:
    head = ("Fault", *(f"`{api}:`" for api in next(iter(faults.values()))))
    table = _table(head, ((name, *cells.values()) for name, cells in faults.items()))
    return "\n".join([table, "", *(f"- {note}" for note in notes)]).rstrip()


# --- notebooks --------------------------------------------------------------------------------------

RUNNER = """
import contextlib, io, json, sys
namespace, outputs = {"__name__": "__main__"}, []
for source in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(source, "<cell>", "exec"), namespace)
    outputs.append(printed.getvalue())
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
    for number, (cell, printed) in enumerate(zip(cells, json.loads(run.stdout), strict=True), 1):
        lines = printed.splitlines(keepends=True)
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": lines}] if lines else []
        cell["execution_count"] = number
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


# --- all of it --------------------------------------------------------------------------------------

SECTIONS: dict[str, Callable[[], str]] = {
    "settings": settings,
    "error-tree": error_tree,
    "error-table": error_table,
    "servers": servers,
    "faults": faults,
}
MARKED = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def page(text: str) -> str:
    """*text* with its generated sections written again."""
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
