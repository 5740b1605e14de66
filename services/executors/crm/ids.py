"""Makes ids of what the crm keeps; the actions call it once per batch."""

import secrets
import time
import uuid
from typing import Final

from asyncpg.pgproto.pgproto import UUID

_MOST: Final = 1 << 12


def new_ids(count: int) -> list[uuid.UUID]:
    """Give up to 4,096 UUIDv7 of now that ascend: lists and "the latest" go by id."""
    if count > _MOST:
        raise ValueError(f"at most {_MOST} ids at once, not {count}")
    moment = int(time.time() * 1000) << 80 | 0x7 << 76
    return [
        UUID((moment | place << 64 | 0b10 << 62 | secrets.randbits(62)).to_bytes(16))
        for place in range(count)
    ]
