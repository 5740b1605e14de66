"""All that the crm family keeps, opened once; its actions are given it, and its servicers read from it."""

from dataclasses import dataclass
from typing import Self

import asyncpg

from services.executors.crm.addresses import Addresses
from services.executors.crm.campaigns import Campaigns
from services.executors.crm.contacts import Contacts
from services.executors.crm.errands import Errands
from services.executors.crm.notes import Notes
from services.executors.crm.opportunities import Opportunities
from services.executors.crm.pipelines import Pipelines
from services.executors.crm.provider import CrmProvider
from services.executors.crm.records import ContactRecords
from services.executors.crm.tasks import Tasks
from services.executors.crm.users import Users
from services.executors.providers.offering import Chosen
from services.runtime.keyring import Keyring


@dataclass(frozen=True, slots=True)
class Desk:
    """One part per kind of data, on one database, and the way to providers for accounts that chose one."""

    pool: asyncpg.Pool
    records: ContactRecords
    contacts: Contacts
    notes: Notes
    tasks: Tasks
    users: Users
    pipelines: Pipelines
    opportunities: Opportunities
    campaigns: Campaigns
    addresses: Addresses
    elsewhere: Chosen[CrmProvider]
    errands: Errands

    @classmethod
    def open(cls, pool: asyncpg.Pool, keyring: Keyring, elsewhere: Chosen[CrmProvider]) -> Self:
        """Make every part on this pool."""
        addresses = Addresses(keyring)
        records = ContactRecords(pool, keyring, addresses)
        return cls(
            pool,
            records,
            Contacts(),
            Notes(pool, keyring),
            Tasks(pool, keyring),
            Users(pool, keyring),
            Pipelines(pool, keyring),
            Opportunities(pool, keyring),
            Campaigns(pool, keyring),
            addresses,
            elsewhere,
            Errands(pool, keyring, records, addresses),
        )
