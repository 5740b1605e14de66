"""Opportunities of contacts in PostgreSQL, their names sealed; two actions write, CrmService reads."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

import asyncpg

from services.executors.crm.contacts import columns
from services.executors.crm.ids import ContactKey
from services.executors.crm.statements import own
from services.runtime.keyring import Keyring

_PURPOSE: Final = "crm.opportunity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opportunity:
    """One opportunity."""

    key: ContactKey
    opportunity_id: uuid.UUID
    pipeline: str
    stage: str
    status: str
    """open, won, lost or abandoned."""
    name: str
    value: Decimal | None = None
    currency: str | None = None
    source: str | None = None
    assigned_to: str | None = None
    created_at: datetime | None = None
    """None until it is written, as updated_at."""
    updated_at: datetime | None = None


class Opportunities:
    """Reads and writes opportunities."""

    def __init__(self, pool: asyncpg.Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring
        self._get = own("get_opportunities")
        self._insert = own("insert_opportunities")
        self._write = own("write_opportunities")
        self._page = own("page_opportunities")

    async def standing(
        self, connection: asyncpg.Connection, keys: Sequence[ContactKey], named: Sequence[uuid.UUID] = ()
    ) -> list[Opportunity]:
        """Give locked contacts' open opportunities and those named, oldest first."""
        rows = await connection.fetch(self._get, *columns(keys), list(named))
        return [self._opportunity(row) for row in rows]

    async def insert(self, connection: asyncpg.Connection, made: Sequence[Opportunity]) -> None:
        """Write new opportunities; the caller has locked their contacts."""
        if made:
            await connection.execute(
                self._insert,
                *columns([one.key for one in made]),
                [one.opportunity_id for one in made],
                [one.pipeline for one in made],
                [one.stage for one in made],
                [one.status for one in made],
                [self._keyring.seal(_PURPOSE, one.key[0], one.name.encode()) for one in made],
                [one.value for one in made],
                [one.currency for one in made],
                [one.source for one in made],
                [one.assigned_to for one in made],
            )

    async def write(self, connection: asyncpg.Connection, changed: Sequence[Opportunity]) -> None:
        """Write stage, status and value; the caller has locked the contacts."""
        if changed:
            await connection.execute(
                self._write,
                *columns([one.key for one in changed]),
                [one.opportunity_id for one in changed],
                [one.stage for one in changed],
                [one.status for one in changed],
                [one.value for one in changed],
            )

    async def page(self, key: ContactKey, before: uuid.UUID | None, size: int) -> list[Opportunity]:
        """Give a contact's opportunities, newest first, those before `before`."""
        return [self._opportunity(row) for row in await self._pool.fetch(self._page, *key, before, size)]

    def _opportunity(self, row: asyncpg.Record) -> Opportunity:
        account_id = row["account_id"]
        return Opportunity(
            key=(account_id, row["contact_id"]),
            opportunity_id=row["opportunity_id"],
            pipeline=row["pipeline"],
            stage=row["stage"],
            status=row["status"],
            name=self._keyring.open(_PURPOSE, account_id, row["name_sealed"]).decode(),
            value=row["value"],
            currency=row["currency"],
            source=row["source"],
            assigned_to=row["assigned_to"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
        )
