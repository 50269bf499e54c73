"""The child process that runs one model: `python -P child.py`.

It reads one line of JSON from its standard input, the options of the server. It answers with one line on its
standard output: `{"address": …}`, or `{"error": …}`. Then it serves until its standard input is closed, which
also happens when the parent process dies in whatever way. llama.cpp writes its log to standard error.

The child imports nothing of Alloy.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from typing import Any

ERRORS_AND_INFO = 3  # llama.cpp logs why a file cannot be loaded at this level


def main() -> None:
    """Serve one model until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # native code that prints must not disturb the answer
    options = json.loads(sys.stdin.readline())
    try:
        server = _start(options)
        answer = {"address": server.listening_address}
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent reports it
        answer = {"error": f"{type(error).__name__}: {error}"}
    answers.write(json.dumps(answer) + "\n")
    answers.close()
    if "address" in answer:
        sys.stdin.read()
    os._exit(0)  # the native threads of the server do not end by themselves


def _start(options: dict[str, Any]) -> Any:
    xllamacpp: Any = import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = options["path"]
    params.model_alias = {options["name"]}
    if options["mmproj"]:
        params.mmproj.path = options["mmproj"]
    params.hostnames = ["127.0.0.1"]
    params.port = options["port"]
    params.api_keys = [options["key"]]
    # A context for each of them: requests that share one break off together when it is full.
    params.n_ctx = options["context"] * options["parallel"]
    params.n_parallel = options["parallel"]
    params.kv_unified = False
    params.use_jinja = True
    params.warmup = False
    params.ui = False
    params.verbosity = ERRORS_AND_INFO
    if options["threads"]:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options["threads"]
    if options["gpu_layers"] is not None:
        params.n_gpu_layers = options["gpu_layers"]
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
