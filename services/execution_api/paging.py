"""Page sizes and tokens of lists: keyset, opaque, bound to their filter; the servicers use it."""

import base64
import hashlib
from uuid import UUID

from google.protobuf.message import Message

from execution_engine.errors import PageTokenInvalid

DEFAULT_SIZE = 50


def size_of(asked: int, default: int = DEFAULT_SIZE) -> int:
    """The page size: `asked`, or the default for 0. Its bound is a rule of the proto."""
    return asked or default


def filter_mark(request: Message) -> bytes:
    """Eight bytes that differ when the list, or anything but size, token and page, differs."""
    bare = type(request)()
    bare.CopyFrom(request)
    for name in ("page_size", "page_token", "page"):
        if name in bare.DESCRIPTOR.fields_by_name:
            bare.ClearField(name)
    kind = str(bare.DESCRIPTOR.full_name).encode()
    return hashlib.sha256(kind + bare.SerializeToString(deterministic=True)).digest()[:8]


def encode(last: bytes, mark: bytes) -> str:
    """The token that goes on after `last`."""
    return base64.urlsafe_b64encode(mark + last).decode().rstrip("=")


def decode(token: str, mark: bytes) -> bytes | None:
    """What the token goes on after; None for the first page. Raises PageTokenInvalid."""
    if not token:
        return None
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError as error:
        raise PageTokenInvalid from error
    if len(raw) < 9 or raw[:8] != mark:
        raise PageTokenInvalid
    return raw[8:]


def decode_seq(token: str, mark: bytes) -> int:
    """As decode, for lists that go on after a sequence number; 0 for the first page."""
    raw = decode(token, mark)
    if raw is None:
        return 0
    if len(raw) != 4 or raw[0] > 0x7F:
        raise PageTokenInvalid
    return int.from_bytes(raw, "big")


def decode_number(token: str, mark: bytes) -> int | None:
    """As decode, for lists that go on before a number of eight bytes."""
    raw = decode(token, mark)
    if raw is None:
        return None
    if len(raw) != 8 or raw[0] > 0x7F:
        raise PageTokenInvalid
    return int.from_bytes(raw, "big")


def decode_id(token: str, mark: bytes) -> UUID | None:
    """As decode, for lists that go on after an id."""
    raw = decode(token, mark)
    if raw is None:
        return None
    if len(raw) != 16:
        raise PageTokenInvalid
    return UUID(bytes=raw)
