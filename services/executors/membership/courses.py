"""The built-in courses and who has access, as those who keep them see it; membership_servicer.py asks."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg

from services.executors.membership.statements import own
from services.runtime.keyring import Keyring

PURPOSE: Final = "membership.course"

_FORGOTTEN_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class Course:
    """One course."""

    key: str
    name: str
    active: bool
    """Whether access may be granted."""


class Enrollment(NamedTuple):
    """A contact's standing with a course."""

    enrollment_id: uuid.UUID
    course: str
    granted_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    progress: int
    """Percent."""
    lasts: bool


class Courses:
    """Reads and writes courses, reads access, and forgets what has long ended."""

    def __init__(self, pool: asyncpg.Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring
        self._put = own("put_course")
        self._page = own("page_courses")
        self._page_access = own("page_access")
        self._put_progress = own("put_progress")
        self._forget = own("forget_access")

    async def put(self, account_id: int, course: Course) -> None:
        """Write a course."""
        sealed = self._keyring.seal(PURPOSE, account_id, course.name.encode())
        await self._pool.execute(self._put, account_id, course.key, sealed, course.active)

    async def page(self, account_id: int, after: str, size: int) -> list[Course]:
        """Give an account's courses by key, those after `after`."""
        return [
            Course(
                row["course"],
                self._keyring.open(PURPOSE, account_id, row["name_sealed"]).decode(),
                row["active"],
            )
            for row in await self._pool.fetch(self._page, account_id, after, size)
        ]

    async def access(self, account_id: int, contact_id: uuid.UUID, after: str, size: int) -> list[Enrollment]:
        """Give a contact's access by course, that after `after`."""
        rows = await self._pool.fetch(self._page_access, account_id, contact_id, after, size)
        return [Enrollment(*row) for row in rows]

    async def put_progress(self, account_id: int, contact_id: uuid.UUID, course: str, progress: int) -> bool:
        """Write how far a contact has come; whether it ever had access."""
        tag = await self._pool.execute(self._put_progress, account_id, contact_id, course, progress)
        return bool(tag != "UPDATE 0")

    async def forget(self, days: int) -> bool:
        """Drop access that ended longer ago than this, with its progress; True if there may be more."""
        return len(await self._pool.fetch(self._forget, days)) == _FORGOTTEN_AT_ONCE
