"""The account's campaigns and who is in them, in PostgreSQL; the campaign actions write, CrmService reads."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg

from services.executors.crm.contacts import columns
from services.executors.crm.ids import ContactKey
from services.executors.crm.statements import own
from services.runtime.keyring import Keyring

_PURPOSE: Final = "crm.campaign"


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign."""

    key: str
    name: str


class Enrolment(NamedTuple):
    """A contact's being in a campaign, as decisions go by it."""

    key: ContactKey
    campaign: str
    enrolment_id: uuid.UUID


@dataclass(frozen=True, slots=True)
class Stay:
    """A contact's being in a campaign, as people see it."""

    enrolment_id: uuid.UUID
    campaign: str
    joined_at: datetime
    left_at: datetime | None
    """None while it lasts."""


class Campaigns:
    """Reads and writes campaigns and enrolments."""

    def __init__(self, pool: asyncpg.Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring
        self._put = own("put_campaign")
        self._page = own("page_campaigns")
        self._get = own("get_campaigns")
        self._active = own("get_active_enrolments")
        self._end = own("end_enrolments")
        self._insert = own("insert_enrolments")
        self._page_stays = own("page_enrolments")

    async def put(self, account_id: int, campaign: Campaign) -> None:
        """Write a campaign."""
        sealed = self._keyring.seal(_PURPOSE, account_id, campaign.name.encode())
        await self._pool.execute(self._put, account_id, campaign.key, sealed)

    async def page(self, account_id: int, after: str, size: int) -> list[Campaign]:
        """Give an account's campaigns by key, those after `after`."""
        return [
            Campaign(row["campaign"], self._keyring.open(_PURPOSE, account_id, row["name_sealed"]).decode())
            for row in await self._pool.fetch(self._page, account_id, after, size)
        ]

    async def stays(self, key: ContactKey, before: uuid.UUID | None, size: int) -> list[Stay]:
        """Give a contact's enrolments, newest first, those before `before`."""
        rows = await self._pool.fetch(self._page_stays, *key, before, size)
        return [Stay(row[0], row[1], row[2], row[3]) for row in rows]

    async def known(
        self, connection: asyncpg.Connection, named: Iterable[tuple[int, str]]
    ) -> set[tuple[int, str]]:
        """Give those of the campaigns that exist, by (account, campaign)."""
        asked = list(named)
        rows = await connection.fetch(self._get, [one[0] for one in asked], [one[1] for one in asked])
        return {(row[0], row[1]) for row in rows}

    async def active(self, connection: asyncpg.Connection, keys: Sequence[ContactKey]) -> list[Enrolment]:
        """Give the enrolments that last, of contacts that the caller has locked."""
        rows = await connection.fetch(self._active, *columns(keys))
        return [Enrolment((row[0], row[1]), row[2], row[3]) for row in rows]

    async def end(self, connection: asyncpg.Connection, enrolments: Sequence[Enrolment]) -> None:
        """End enrolments of contacts that the caller has locked."""
        if enrolments:
            keys = columns([one.key for one in enrolments])
            await connection.execute(self._end, *keys, [one.enrolment_id for one in enrolments])

    async def enrol(
        self, connection: asyncpg.Connection, begun: Sequence[Enrolment], ended: set[uuid.UUID]
    ) -> None:
        """Write new enrolments, those in `ended` as ended already; the caller has locked the contacts."""
        if begun:
            await connection.execute(
                self._insert,
                *columns([one.key for one in begun]),
                [one.enrolment_id for one in begun],
                [one.campaign for one in begun],
                [one.enrolment_id in ended for one in begun],
            )
