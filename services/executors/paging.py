"""Page sizes and tokens of the families' lists: keyset, opaque, bound to the list; their servicers use it."""

import base64
import hashlib
import uuid
from typing import Final

from google.protobuf.message import Message

DEFAULT_SIZE: Final = 50
_MARK_BYTES: Final = 8


class PageTokenInvalidError(Exception):
    """The token is no token of this list."""


def size_of(asked: int) -> int:
    """Give the page size: `asked`, or the default for 0. Its bound is a rule of the proto."""
    return asked or DEFAULT_SIZE


def mark_of(request: Message) -> bytes:
    """Give bytes that differ when the list, or anything but size and token, differs."""
    bare = type(request)()
    bare.CopyFrom(request)
    for name in ("page_size", "page_token"):
        bare.ClearField(name)
    kind = str(bare.DESCRIPTOR.full_name).encode()
    return hashlib.sha256(kind + bare.SerializeToString(deterministic=True)).digest()[:_MARK_BYTES]


def encode(last: bytes, mark: bytes) -> str:
    """Give the token that goes on after `last`."""
    return base64.urlsafe_b64encode(mark + last).decode().rstrip("=")


def decode_text(token: str, mark: bytes) -> str:
    """Give the key that the token goes on after; empty for the first page. Raises PageTokenInvalidError."""
    try:
        text = _decode(token, mark).decode() if token else ""
    except UnicodeDecodeError as error:
        raise PageTokenInvalidError from error
    if "\x00" in text:
        raise PageTokenInvalidError
    return text


def decode_id(token: str, mark: bytes) -> uuid.UUID | None:
    """Give the id that the token goes on after; None for the first page. Raises PageTokenInvalidError."""
    if not token:
        return None
    raw = _decode(token, mark)
    if len(raw) != 16:
        raise PageTokenInvalidError
    return uuid.UUID(bytes=raw)


def _decode(token: str, mark: bytes) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError as error:
        raise PageTokenInvalidError from error
    if len(raw) <= _MARK_BYTES or raw[:_MARK_BYTES] != mark:
        raise PageTokenInvalidError
    return raw[_MARK_BYTES:]
