"""Fires triggers on a schedule: each becomes a bulk enrolment; whichever API process comes first does it."""

from datetime import datetime
from uuid import UUID

import asyncpg
import orjson
import structlog

from execution_engine import ports, schedule
from execution_engine.bulk import BRISK, BulkKind, Params
from execution_engine.definition.triggers import TriggerKind, priority_of
from execution_engine.model import Priority
from execution_engine.store import bulk, triggers
from execution_engine.store.accounts import account_transaction

log = structlog.get_logger(__name__)
_ACTOR = "schedule"


class Scheduler:
    """One per API process."""

    def __init__(self, pool: asyncpg.Pool, vault: ports.Vault) -> None:
        self._pool = pool
        self._vault = vault

    async def sweep(self) -> bool:
        """Fires what is due; False, as the next second is soon enough."""
        for account_id, workflow_id, place in await triggers.due(self._pool, 100):
            try:
                await self._fire(account_id, workflow_id, place)
            except Exception:
                # One bad trigger must not stop the others; it is tried again.
                log.exception("trigger_failed", workflow_id=str(workflow_id), place=place)
        return False

    async def _fire(self, account_id: int, workflow_id: UUID, place: int) -> None:
        """The enrolment and the trigger's next time are one transaction: it fires once."""
        async with account_transaction(self._pool, account_id) as connection:
            found = await triggers.lock(connection, self._vault, account_id, workflow_id, place)
            if found is None:
                return  # another process fires it, or it has just been published anew
            now: datetime = await connection.fetchval("SELECT wf_now()")
            definition, kind = found.definition, found.kind
            if found.active:
                is_date = kind is TriggerKind.DATE
                params = Params(
                    BulkKind.ENROLL,
                    workflow_id=workflow_id,
                    contact_filter=str(definition.get("contacts", "")),
                    date_trigger=orjson.dumps(definition).decode() if is_date else "",
                    after=found.next_at - schedule.SCAN if is_date else None,
                    until=schedule.scanned_until(now) if is_date else None,
                    trigger=orjson.dumps({"schedule": {"due": found.next_at.isoformat()}}).decode(),
                    priority=priority_of(definition, Priority.NORMAL),
                )
                await bulk.create(connection, self._vault, account_id, params, _ACTOR, BRISK)
            following = schedule.next_time(definition, kind, now)
            await triggers.set_next(connection, account_id, workflow_id, place, following)
