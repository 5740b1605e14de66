"""Notes about contacts in PostgreSQL, their text sealed; add_note writes, CrmService reads."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg
import orjson

from services.executors.crm.contacts import columns
from services.executors.crm.ids import ContactKey
from services.executors.crm.statements import own
from services.runtime.keyring import Keyring

_PURPOSE: Final = "crm.note"


@dataclass(frozen=True, slots=True)
class Note:
    """One note."""

    key: ContactKey
    note_id: uuid.UUID
    title: str
    """Empty for none."""
    body: str
    pinned: bool
    created_at: datetime | None = None
    """None until it is written."""


class Notes:
    """Writes and reads notes."""

    def __init__(self, pool: asyncpg.Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring
        self._insert = own("insert_notes")
        self._page = own("page_notes")

    async def write(self, connection: asyncpg.Connection, notes: Sequence[Note]) -> None:
        """Write new notes; the caller holds their contacts."""
        if notes:
            await connection.execute(
                self._insert,
                *columns([note.key for note in notes]),
                [note.note_id for note in notes],
                [self._sealed(note) for note in notes],
                [note.pinned for note in notes],
            )

    async def page(self, key: ContactKey, before: uuid.UUID | None, size: int) -> list[Note]:
        """Give a contact's notes, newest first, those before `before`."""
        return [self._note(key, row) for row in await self._pool.fetch(self._page, *key, before, size)]

    def _sealed(self, note: Note) -> bytes:
        text = orjson.dumps({"title": note.title, "body": note.body})
        return self._keyring.seal(_PURPOSE, note.key[0], text)

    def _note(self, key: ContactKey, row: asyncpg.Record) -> Note:
        text = orjson.loads(self._keyring.open(_PURPOSE, key[0], row["text_sealed"]))
        return Note(key, row["note_id"], text["title"], text["body"], row["pinned"], row["created_at"])
