"""The built-in courses as a provider, over the family's database; accounts that chose no other have it.

A contact's access to a course is decided under a lock and written in one transaction, with the effect that
changed it.
"""

import uuid
from collections.abc import Callable
from typing import Final

import asyncpg

from services.executors.action import Certainty, ErrorClass, Failed
from services.executors.gate import SendGate
from services.executors.membership.access import Access, Decided, granted, revoked
from services.executors.membership.provider import Asker, Grant, Revocation, Standing, refused
from services.executors.membership.statements import own
from services.executors.providers.provider import ProviderError
from services.runtime.database import DatabaseUnavailableError

_LOST: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    DatabaseUnavailableError,
    OSError,
)


class BuiltIn:
    """Every account's built-in courses."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._lock = own("lock_access")
        self._read = own("read_access")
        self._write = own("write_access")

    async def grant(self, asker: Asker, grant: Grant) -> Standing:
        """Let a contact into a course. Raises ProviderError, AttemptStoppedError."""
        effect = str(asker.effect)

        def decide(row: asyncpg.Record) -> Decided:
            before = _access(row)
            if before is not None and before.grant_effect == effect:
                return Decided(before, changed=True, write=False)
            if not row["active"]:
                raise refused(ErrorClass.CONFIGURATION, "COURSE_INACTIVE", "the course is not active")
            fresh = Access(str(uuid.uuid4()), row["at"], grant.until(row["at"]), grant_effect=effect)
            return granted(before, fresh, row["at"])

        return await self._done(asker, grant.course, decide)

    async def revoke(self, asker: Asker, revocation: Revocation) -> Standing:
        """End a contact's access, if there is any. Raises ProviderError, AttemptStoppedError."""

        def decide(row: asyncpg.Record) -> Decided | None:
            before = _access(row)
            if before is None:
                return None
            keep, effect = revocation.keep_progress, str(asker.effect)
            return revoked(before, revocation.at, row["at"], keep_progress=keep, effect=effect)

        return await self._done(asker, revocation.course, decide)

    async def _done(
        self, asker: Asker, course: str, decide: Callable[[asyncpg.Record], Decided | None]
    ) -> Standing:
        key = asker.effect.account_id, asker.contact_id, course
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(self._lock, *key)
                row = await connection.fetchrow(self._read, *key)
                if row is None:
                    raise refused(
                        ErrorClass.CONFIGURATION, "COURSE_UNKNOWN", "the account has no such course"
                    )
                decided = decide(row)
                if decided is None:
                    return Standing(None, changed=False)
                if decided.write:
                    asker.gate.begin()
                    await connection.execute(self._write, *key, *_columns(decided.access))
        except _LOST as error:
            raise ProviderError(_lost(error, asker.gate)) from error
        return Standing(decided.access, decided.changed)


def _access(row: asyncpg.Record) -> Access | None:
    if row["enrollment_id"] is None:
        return None
    return Access(
        str(row["enrollment_id"]),
        row["granted_at"],
        row["expires_at"],
        row["revoked_at"],
        row["progress"],
        row["grant_effect"],
        row["revoke_effect"] or "",
    )


def _columns(access: Access) -> tuple[object, ...]:
    return (
        uuid.UUID(access.enrollment_id),
        access.granted_at,
        access.expires_at,
        access.revoked_at,
        access.progress,
        access.grant_effect,
        access.revoke_effect or None,
    )


def _lost(error: Exception, gate: SendGate) -> Failed:
    """Nothing was written before the gate; after it COMMIT's answer may be what is missing."""
    certainty = Certainty.INDETERMINATE if gate.begun else Certainty.NOT_DONE
    code = (error.sqlstate if isinstance(error, asyncpg.PostgresError) else None) or "COURSES_UNAVAILABLE"
    return Failed(ErrorClass.DATABASE, code, "the courses' database failed", certainty)
