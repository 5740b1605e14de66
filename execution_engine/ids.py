"""UUIDv7 made from the database's time; enrollment and the stores call it for new ids."""

import secrets
from datetime import datetime
from uuid import UUID

from execution_engine.chain import microseconds


def new_id(now: datetime) -> UUID:
    """A UUIDv7 of `now`: 48 bits of milliseconds, 12 of their fraction, 62 random (RFC 9562 §5.7)."""
    millis, micros = divmod(microseconds(now), 1000)
    fraction = micros * 4096 // 1000
    return UUID(int=millis << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62))
