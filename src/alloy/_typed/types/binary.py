"""`bytes` in JSON: base64 (RFC 4648, section 4), so that every byte can be read back."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from alloy.jsontypes import JsonObject

__all__ = ["Base64"]


class Base64:
    """Metadata for `Annotated[…]`: *kind*, which is `bytes` or `bytearray`, is read from base64.

    *limits* are the limits of the number of bytes, `min_length` and `max_length`. They are only shown here;
    pydantic checks them.
    """

    def __init__(self, kind: type, limits: Mapping[str, int] | None = None) -> None:
        self._kind, self._limits = kind, limits or {}

    def _read(self, text: str) -> Any:
        try:
            return self._kind(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"expected bytes in base64, but: {error}") from None

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        # A class may be configured to change its texts (`str_to_upper`); base64 is not among them.
        text = core_schema.str_schema(strip_whitespace=False, to_lower=False, to_upper=False)
        return core_schema.no_info_after_validator_function(self._read, text)

    def __get_pydantic_json_schema__(self, schema: JsonObject, handler: Any) -> JsonObject:
        limits = {_KEYWORDS[name]: _characters(length) for name, length in self._limits.items()}
        return {"type": "string", "format": "base64", **limits}


_KEYWORDS = {"min_length": "minLength", "max_length": "maxLength"}


def _characters(length: int) -> int:
    """The number of base64 characters for *length* bytes."""
    return -(-length // 3) * 4
