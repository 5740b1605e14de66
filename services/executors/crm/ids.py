"""What the crm's data goes by: contacts' keys, and new ids; the actions make those once per batch."""

import secrets
import time
import uuid
from typing import Final, TypeAlias

from asyncpg.pgproto.pgproto import UUID

from services.executors.action import EffectKey

ContactKey: TypeAlias = tuple[int, uuid.UUID]
"""Account and contact."""

_MOST: Final = 1 << 12
_EFFECTS: Final = uuid.UUID("7b7f3c6e-8d43-5d0a-9a53-2f4f0c1f6f11")
"""The namespace of ids that derive from effect keys."""


def new_ids(count: int) -> list[uuid.UUID]:
    """Give up to 4,096 UUIDv7 of now that ascend: lists and "the latest" go by id."""
    if count > _MOST:
        raise ValueError(f"at most {_MOST} ids at once, not {count}")
    moment = int(time.time() * 1000) << 80 | 0x7 << 76
    return [
        UUID((moment | place << 64 | 0b10 << 62 | secrets.randbits(62)).to_bytes(16))
        for place in range(count)
    ]


def id_of_effect(key: EffectKey) -> uuid.UUID:
    """Give the id of what an effect makes elsewhere: always the same for the same key.

    A UUIDv7 of the execution's moment, the rest from the UUIDv5 of the key: where ids order lists, it stands
    among those made then.
    """
    derived = uuid.uuid5(_EFFECTS, f"{key.account_id}.{key}").bytes
    raw = bytearray(key.execution_id.bytes[:6] + derived[6:])
    raw[6] = 0x70 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    made: uuid.UUID = UUID(bytes(raw))
    return made
