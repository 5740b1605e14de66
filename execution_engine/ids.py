"""UUIDv7 made from the database's time; enrollment and the stores call it for new ids."""

import os
import secrets
from array import array
from datetime import datetime
from typing import Final
from uuid import UUID

from asyncpg.pgproto.pgproto import UUID as QuickUUID

from execution_engine.chain import microseconds

_RANDOM_BITS: Final = 62


def uuid_of(text: str) -> UUID:
    """A UUID from its 36 characters, made as asyncpg makes them: an eighth of the time."""
    parsed: UUID = QuickUUID(text)
    return parsed


def first_id(at: datetime) -> UUID:
    """The lowest id that an id of `at` may be; ids of before 1970 there are none."""
    return UUID(int=max(microseconds(at), 0) // 1000 << 80)


def past_id(at: datetime) -> UUID:
    """The lowest id that no id of `at` may be: of the millisecond after."""
    return UUID(int=first_id(at).int + (1 << 80))


def new_id(now: datetime) -> UUID:
    """A UUIDv7 of `now`: 48 bits of milliseconds, 12 of their fraction, 62 random (RFC 9562 §5.7)."""
    return UUID(int=_head(now) | secrets.randbits(_RANDOM_BITS))


def new_ids(now: datetime, number: int) -> list[UUID]:
    """So many ids of `now`, lowest first; asyncpg's own kind, as there may be thousands."""
    head = _head(now)
    tails = sorted(array("Q", os.urandom(8 * number)))
    return [QuickUUID((head | tail >> (64 - _RANDOM_BITS)).to_bytes(16, "big")) for tail in tails]


def _head(now: datetime) -> int:
    millis, micros = divmod(microseconds(now), 1000)
    fraction = micros * 4096 // 1000
    return millis << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62
