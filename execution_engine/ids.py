"""UUIDv7 made from the database's time; enrollment and the stores call it for new ids."""

import secrets
from datetime import datetime
from typing import Final
from uuid import UUID

from execution_engine.chain import microseconds

RANDOM_BITS: Final = 62


def first_id(at: datetime) -> UUID:
    """The lowest id that an id of `at` may be; ids of before 1970 there are none."""
    return UUID(int=max(microseconds(at), 0) // 1000 << 80)


def past_id(at: datetime) -> UUID:
    """The lowest id that no id of `at` may be: of the millisecond after."""
    return UUID(int=first_id(at).int + (1 << 80))


def new_id(now: datetime) -> UUID:
    """A UUIDv7 of `now`: 48 bits of milliseconds, 12 of their fraction, 62 random (RFC 9562 §5.7)."""
    return UUID(int=head_of(now) | secrets.randbits(RANDOM_BITS))


def head_of(now: datetime) -> int:
    """What ids of `now` have in common: all but their random bits, which are the lowest."""
    millis, micros = divmod(microseconds(now), 1000)
    fraction = micros * 4096 // 1000
    return millis << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62
