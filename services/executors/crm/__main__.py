"""Entry point `python -m services.executors.crm`: ActionExecutor and the crm's own services on one server."""

from contextlib import AsyncExitStack
from functools import partial

import asyncpg
from wayfarer.crm.v1.contact_record_service_pb2_grpc import add_ContactRecordServiceServicer_to_server
from wayfarer.crm.v1.crm_service_pb2_grpc import add_CrmServiceServicer_to_server

from services.executors import crm
from services.executors.crm.crm_servicer import CrmServicer
from services.executors.crm.desk import Desk
from services.executors.crm.record_servicer import RecordServicer
from services.executors.family import Family, FamilySettings, Parts, main
from services.runtime.keyring import Keyring


async def open_parts(
    settings: FamilySettings, stack: AsyncExitStack, pool: asyncpg.Pool, keyring: Keyring
) -> Parts:
    """Equip the crm family."""
    desk = Desk.open(pool, keyring)
    return Parts(
        desk,
        ("wayfarer.crm.v1.ContactRecordService", "wayfarer.crm.v1.CrmService"),
        (
            partial(add_ContactRecordServiceServicer_to_server, RecordServicer(desk.records)),
            partial(add_CrmServiceServicer_to_server, CrmServicer(desk)),
        ),
    )


FAMILY = Family("crm", crm, FamilySettings, open_parts)

if __name__ == "__main__":
    main(FAMILY)
