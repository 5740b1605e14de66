"""Entry point `python -m services.executors.crm`: ActionExecutor and ContactRecordService on one server."""

from contextlib import AsyncExitStack
from functools import partial

import asyncpg
from wayfarer.crm.v1.contact_record_service_pb2_grpc import add_ContactRecordServiceServicer_to_server

from services.executors import crm
from services.executors.crm.record_servicer import RecordServicer
from services.executors.crm.records import ContactRecords
from services.executors.family import Family, FamilySettings, Parts, main
from services.runtime.keyring import Keyring


async def open_parts(
    settings: FamilySettings, stack: AsyncExitStack, pool: asyncpg.Pool, keyring: Keyring
) -> Parts:
    """Equip the crm family."""
    records = ContactRecords(pool, keyring)
    servicer = RecordServicer(records)
    return Parts(
        records,
        ("wayfarer.crm.v1.ContactRecordService",),
        (partial(add_ContactRecordServiceServicer_to_server, servicer),),
    )


FAMILY = Family("crm", crm, FamilySettings, open_parts)

if __name__ == "__main__":
    main(FAMILY)
