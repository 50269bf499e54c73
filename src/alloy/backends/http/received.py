"""A response whose headers have arrived, and the errors for one that is neither a reply nor an error."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from alloy.backends.http.transport_errors import asked_url, settings_to_check
from alloy.errors import BadReplyError, ProviderError
from alloy.excerpts import beginning, excerpt

__all__ = ["Received", "bad_reply", "redirect_error"]

SNIPPET = 200  # characters of an unexpected body that a message shows


class Received(NamedTuple):
    """A response whose headers have arrived; *max_bytes* limits its body."""

    provider: str
    response: Any
    request_id: str | None = None
    max_bytes: int | None = None


def bad_reply(
    received: Received, what: str, content: bytes, *, transient: bool | None = None
) -> BadReplyError:
    """The error for a body with a good status that is not an answer: shows its type and its beginning."""
    response = received.response
    kind = response.headers.get("content-type", "no content type")
    text = content[: SNIPPET * 4].decode("utf-8", "replace").strip()
    shown = excerpt(text, SNIPPET) if text else "an empty body"
    return BadReplyError(
        f"{what}: {shown} ({kind}); is `base_url` the address of its API? The request went to "
        f"{asked_url(response.request)}",
        provider=received.provider,
        status=response.status_code,
        request_id=received.request_id,
        transient=transient,
    )


_REDIRECTS = (300, 301, 302, 303, 307, 308)


def redirect_error(received: Received, variable: str) -> ProviderError | None:
    """The error for a redirect, `None` for any other response.

    None is followed: it would give the key and the prompt to another server, and after a 302 a `POST`
    becomes a `GET`.
    """
    response = received.response
    if response.status_code not in _REDIRECTS:
        return None
    try:
        target = urlsplit(urljoin(str(response.request.url), response.headers.get("location", "")))
        host = target.netloc.rpartition("@")[2]  # a name and a password may come before it
        where = beginning(f"{target.scheme}://{host}{target.path}", SNIPPET)
    except ValueError:
        where = "something that is not an address"
    return ProviderError(
        f"the server redirects to {where}, where keys are not sent: set {settings_to_check(variable)} to the "
        "address that answers without a redirect",
        provider=received.provider,
        status=response.status_code,
        request_id=received.request_id,
    )
