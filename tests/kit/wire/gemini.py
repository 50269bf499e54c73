"""What Gemini says: whole answers, and the same answers as the chunks of a stream.

The builders make what the API reference shows, field by field. `chunks` takes any whole answer and
cuts its texts at will, so that a test can say the same thing both ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kit.wire.openai import Pieces, words
from kit.wire.server import Answer, json_answer, sse

Call = tuple[str, Any] | tuple[str, Any, str]  # name, arguments (`None` leaves them out), id


def call_part(name: str, arguments: Any = None, call_id: str = "", signature: str = "") -> dict[str, Any]:
    """A part: a call of a function."""
    call = {"name": name}
    call |= {} if arguments is None else {"args": arguments}
    call |= {"id": call_id} if call_id else {}
    return {"functionCall": call, **({"thoughtSignature": signature} if signature else {})}


def content(
    *parts: dict[str, Any],
    text: str = "",
    calls: Sequence[Call] = (),
    thoughts: str = "",
    finish: str | None = "STOP",
    usage: tuple[int, int, int, int] = (10, 5, 2, 1),
    model: str = "gemini-3-flash-preview",
    **candidate: Any,
) -> dict[str, Any]:
    """An answer of *parts* and what the shorter words name; *usage*: in, out, cached, thought."""
    said = [*parts]
    said += [{"text": thoughts, "thought": True}] if thoughts else []
    said += [{"text": text}] if text else []
    said += [call_part(*call) for call in calls]
    first = {"content": {"role": "model", "parts": said}, "finishReason": finish, "index": 0, **candidate}
    return {
        "candidates": [{key: value for key, value in first.items() if value is not None}],
        "usageMetadata": {
            "promptTokenCount": usage[0],
            "cachedContentTokenCount": usage[2],
            "candidatesTokenCount": usage[1] - usage[3],
            "thoughtsTokenCount": usage[3],
            "totalTokenCount": usage[0] + usage[1],
        },
        "modelVersion": model,
        "responseId": "resp-1",
    }


def blocked(reason: str = "PROHIBITED_CONTENT", message: str = "") -> dict[str, Any]:
    """The answer to a prompt that was blocked: no candidates at all."""
    feedback = {"blockReason": reason, **({"blockReasonMessage": message} if message else {})}
    usage = {"promptTokenCount": 7, "totalTokenCount": 7}
    return {"promptFeedback": feedback, "usageMetadata": usage, "responseId": "resp-1"}


def chunks(answer: dict[str, Any], pieces: Pieces = words) -> list[dict[str, Any]]:
    """*answer* as the chunks of a stream; a part with a signature is not cut."""
    if "candidates" not in answer:
        return [answer]
    (candidate,) = answer["candidates"]
    head = {key: value for key, value in answer.items() if key != "candidates"}
    told: list[dict[str, Any]] = []
    for part in candidate["content"].get("parts") or ():
        cut = pieces(part["text"]) if part.keys() <= {"text", "thought"} else ()
        saids = [{"role": "model", "parts": [{**part, "text": text}]} for text in cut]
        saids = saids or [{"role": "model", "parts": [part]}]
        told += [{**head, "candidates": [{"content": said, "index": 0}]} for said in saids]
    end = {key: value for key, value in candidate.items() if key != "content"}
    if not told:
        return [{**head, "candidates": [end]}]
    told[-1]["candidates"][0] |= end  # what ends an answer stands in the chunk of its last words
    return told


def reply(answer: dict[str, Any]) -> Answer:
    """*answer* as a whole HTTP answer."""
    return json_answer(answer)


def stream(answer: dict[str, Any], pieces: Pieces = words) -> Answer:
    """*answer* as an event stream."""
    return sse(chunks(answer, pieces), line_end="\r\n", named=False)


def failure(status: int, message: str, word: str = "INVALID_ARGUMENT", *details: dict[str, Any]) -> Answer:
    """An error as Google says it; a detail's `@type` may be the last word of it."""
    said = [{**each, "@type": f"type.googleapis.com/google.rpc.{each['@type']}"} for each in details]
    error = {"code": status, "message": message, "status": word, **({"details": said} if said else {})}
    return json_answer({"error": error}, status=status)
