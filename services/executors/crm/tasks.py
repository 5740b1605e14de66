"""Tasks about contacts in PostgreSQL, their text sealed; create_task writes, CrmService reads."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import orjson

from services.executors.crm.contacts import columns
from services.executors.crm.ids import ContactKey
from services.executors.crm.statements import own
from services.runtime.keyring import Keyring

_PURPOSE: Final = "crm.task"


@dataclass(frozen=True, slots=True)
class Task:
    """One task."""

    key: ContactKey
    task_id: uuid.UUID
    title: str
    body: str
    """Empty for none."""
    due: datetime | timedelta
    """When, or how long after it is written; a time once it is."""
    assigned_to: str | None
    priority: str
    """low, normal or high."""
    created_at: datetime | None = None
    """None until it is written."""


class Tasks:
    """Writes and reads tasks."""

    def __init__(self, pool: asyncpg.Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring
        self._insert = own("insert_tasks")
        self._page = own("page_tasks")

    async def write(self, connection: asyncpg.Connection, tasks: Sequence[Task]) -> dict[uuid.UUID, datetime]:
        """Write new tasks and give when each is due; the caller holds their contacts."""
        if not tasks:
            return {}
        rows = await connection.fetch(
            self._insert,
            *columns([task.key for task in tasks]),
            [task.task_id for task in tasks],
            [self._sealed(task) for task in tasks],
            [task.due if isinstance(task.due, datetime) else None for task in tasks],
            [task.due.total_seconds() if isinstance(task.due, timedelta) else None for task in tasks],
            [task.assigned_to for task in tasks],
            [task.priority for task in tasks],
        )
        return {row["task_id"]: row["due_at"] for row in rows}

    async def page(self, key: ContactKey, before: uuid.UUID | None, size: int) -> list[Task]:
        """Give a contact's tasks, newest first, those before `before`."""
        return [self._task(key, row) for row in await self._pool.fetch(self._page, *key, before, size)]

    def _sealed(self, task: Task) -> bytes:
        text = orjson.dumps({"title": task.title, "body": task.body})
        return self._keyring.seal(_PURPOSE, task.key[0], text)

    def _task(self, key: ContactKey, row: asyncpg.Record) -> Task:
        text = orjson.loads(self._keyring.open(_PURPOSE, key[0], row["text_sealed"]))
        return Task(
            key,
            row["task_id"],
            text["title"],
            text["body"],
            row["due_at"],
            row["assigned_to"],
            row["priority"],
            row["created_at"],
        )
