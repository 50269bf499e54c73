"""Prompts beyond text: images, documents, and earlier messages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest

from alloy import CommandError, ConfigurationError, Document, Image, Message, Prompt, ask, command
from alloy.messages import Reply, User
from alloy.prompts import read_prompt
from alloy.testing import replies

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8
PDF = b"%PDF-1.7\n"
PICTURE = Image.from_bytes(PNG)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a..", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
    ],
)
def test_an_image_tells_its_own_type(data: bytes, kind: str):
    """By its first bytes, whatever its name is."""
    image = Image.from_bytes(data, name="holiday.txt")
    assert (image.media_type, image.data) == (kind, data)
    assert image.data_url.startswith(f"data:{kind};base64,")


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.pdf", PDF, "application/pdf"),
        ("notes.md", b"# Hi", "text/markdown"),
        ("t.CSV", b"a,b", "text/csv"),
    ],
)
def test_a_document_is_read_from_its_file(tmp_path: Path, name: str, data: bytes, kind: str):
    """Its name comes along, for the model to speak of."""
    (tmp_path / name).write_bytes(data)
    document = Document.from_path(tmp_path / name)
    assert (document.media_type, document.name, document.data) == (kind, name, data)


@pytest.mark.parametrize("make", [Image.from_bytes, Document.from_bytes])
def test_what_is_no_such_file_is_refused(make: Any):
    """The error names what it is taken for and what would do."""
    with pytest.raises(CommandError, match="of an unknown type, not one of"):
        make(b"????")
    with pytest.raises(CommandError, match="not one of"):
        make(PDF if make == Image.from_bytes else PNG)


def test_a_type_can_be_said():
    """For text without a telling name."""
    assert Document.from_bytes(b"hello", "text/plain").media_type == "text/plain"


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("image/jpg", "image/jpeg"),
        ("IMAGE/JPEG", "image/jpeg"),
        ("image/pjpeg", "image/jpeg"),
        (" Image/PNG; charset=binary", "image/png"),
        ("image/x-png", "image/png"),
    ],
)
def test_a_type_may_have_another_name(given: str, kind: str):
    """Upper case, parameters, and the names of browsers and cameras."""
    assert Image.from_bytes(b"????", given).media_type == kind
    with pytest.raises(CommandError, match="not one of"):
        Image.from_bytes(b"????", "image/tiff")


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("application/x-pdf", "application/pdf"),
        ("Text/X-Markdown", "text/markdown"),
        ("text/x-csv", "text/csv"),
    ],
)
def test_a_document_type_may_have_another_name(given: str, kind: str):
    """As that of an image."""
    assert Document.from_bytes(b"????", given).media_type == kind


@pytest.mark.parametrize("url", ["ftp://x/y.png", "/etc/passwd", "javascript:alert(1)"])
def test_only_web_addresses_are_addresses(url: str):
    """A path is a path, and is read by `from_path`."""
    with pytest.raises(CommandError, match=r"http\(s\)"):
        Image.from_url(url)


def test_a_url_holds_no_data():
    """The provider fetches it."""
    image = Image.from_url("https://example.org/a.png")
    assert image.data_url == "https://example.org/a.png"
    with pytest.raises(ValueError, match="has a URL, not data"):
        _ = image.base64


def test_the_bytes_stay_out_of_a_repr():
    """A prompt in an error or a log is readable."""
    assert "PNG" not in repr(PICTURE)


def test_a_list_is_one_turn_in_its_order():
    """Text and pictures stand as they were written."""
    assert read_prompt(["See", PICTURE, "and say."], "f()") == (User(("See", PICTURE, "and say.")),)
    assert read_prompt(["Just text"], "f()") == (User("Just text"),)
    assert User(("a", PICTURE, "b")).text == "a\nb"


def test_messages_are_turns_of_their_own():
    """Earlier messages come first, each with its role."""
    prompt = ["Hello", Message("assistant", "Hi!"), Message("user", ["Look", PICTURE]), "So?"]
    assert read_prompt(prompt, "f()") == (
        User("Hello"),
        Reply("Hi!"),
        User(("Look", PICTURE)),
        User("So?"),
    )


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [
        ([], "end its prompt with a message of the user"),
        ([Message("assistant", "Hi")], "end its prompt with a message of the user"),
        (["x", 3], "has a int in its prompt"),
        (["x", b"bytes"], "has a bytes in its prompt"),
        (3, "must return its prompt as str, or as a list"),
        (None, "must return its prompt as str, or as a list"),
        ({"role": "user"}, "must return its prompt as str, or as a list"),
    ],
)
def test_what_is_no_prompt_says_why(prompt: Any, problem: str):
    """Before anything is sent, and naming the function."""
    with pytest.raises(CommandError, match=f"f\\(\\).*{problem}"):
        read_prompt(prompt, "f()")


@pytest.mark.parametrize(("role", "content"), [("system", "x"), ("assistant", ["x"])])
def test_a_message_is_of_the_user_or_of_the_assistant(role: Any, content: Any):
    """An assistant's message is text; the system prompt is a setting."""
    with pytest.raises(CommandError):
        Message(role, content)


@pytest.mark.parametrize(
    "annotation",
    [
        "list[str | Image]",
        "list[str | Image | Document | Message]",
        "tuple[str, Image]",
        "Prompt",
        "list[Image]",
        'Annotated[list[str | Image], "x"]',
        "list[str | Message]",
    ],
)
def test_a_body_may_return_a_list_of_parts(annotation: str):
    """Whichever form of the list is written."""
    made: dict[str, Any] = {}
    names = {"Image": Image, "Document": Document, "Message": Message, "Prompt": Prompt}
    source = f"def look() -> {annotation}:\n    return ['What is it?', picture]"
    exec(source, {**names, "Annotated": Annotated, "picture": PICTURE}, made)
    with replies("a cat") as seen:
        assert command(made["look"])() == "a cat"
    assert len(seen.requests[0]["messages"][0]["content"]) == 2


@pytest.mark.parametrize("annotation", [list[str], list[int], list, dict[str, Image], Image])
def test_a_list_of_text_is_taken_for_the_answers_type(annotation: Any):
    """It is far more often meant as `output=`."""

    def look() -> None: ...

    look.__annotations__["return"] = annotation
    with pytest.raises(ConfigurationError, match="output="):
        command(look)


def test_ask_takes_parts_and_context():
    """Context follows as a part of its own."""
    with replies("fine") as seen:
        ask(["See", PICTURE], context={"a": 1})
    assert seen.requests[0]["messages"][0]["content"][-1] == 'Context:\n{"a":1}'


def test_the_offline_backend_answers_prompts_of_parts():
    """Without a script, too."""
    assert "See" in ask(["See", PICTURE], backend="fake")


@pytest.mark.parametrize(
    ("model", "part", "problem"),
    [
        (
            "ollama:llava",
            Image.from_url("https://example.org/a.png"),
            "by URL: read it and use Image.from_bytes",
        ),
        ("ollama:llava", Document.from_bytes(PDF), "does not take documents"),
    ],
)
def test_what_a_provider_cannot_look_at_is_said_before_anything_is_sent(model: str, part: Any, problem: str):
    """The error names the model and a way out."""
    with pytest.raises(ConfigurationError, match=f"{model}.*{problem}"):
        ask(["See", part], model=model)


@pytest.mark.parametrize("prompt", ["", " \n", [""], ["", "  "], [Message("user", " ")]])
def test_an_empty_prompt_is_refused(prompt: Any):
    """There is nothing to ask; no provider would say so as clearly."""
    with replies(), pytest.raises(CommandError, match="empty prompt"):
        ask(prompt)


def test_a_picture_alone_is_a_prompt():
    """It may speak for itself."""
    with replies("a cat"):
        assert ask([PICTURE]) == "a cat"
