"""Entry point `python -m services.executors.crm`: ActionExecutor and the crm's own services on one server."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

import asyncpg
from wayfarer.crm.v1.contact_record_service_pb2_grpc import add_ContactRecordServiceServicer_to_server
from wayfarer.crm.v1.crm_service_pb2_grpc import add_CrmServiceServicer_to_server

from services.executors import crm
from services.executors.crm import leadconnector
from services.executors.crm.crm_servicer import CrmServicer
from services.executors.crm.desk import Desk
from services.executors.crm.provider import CHANNEL, CrmProvider
from services.executors.crm.record_servicer import RecordServicer
from services.executors.elsewhere import Elsewhere
from services.executors.family import Family, FamilySettings, Parts, main
from services.executors.providers.accounts import ProviderAccounts
from services.executors.providers.http_exchange import ProviderHttp
from services.executors.providers.offering import Chosen, Offers
from services.runtime.config import HostPort, host_ports, number, setting
from services.runtime.keyring import Keyring
from services.runtime.lifecycle import periodic, supervise

_DROP_EVERY_S: Final = 6 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(FamilySettings):
    """What the crm family needs to know."""

    provider_allow: tuple[HostPort, ...] = setting(
        "WAYFARER_PROVIDER_ALLOW",
        host_ports,
        default=(),
        help="host:port pairs that accounts' providers may be at although internal.",
    )
    provider_answer_s: float = setting(
        "WAYFARER_PROVIDER_ANSWER_S",
        number(1, 60),
        default=6.0,
        help="How long each answer of a provider is waited for, in seconds; an action takes up to five.",
    )


async def open_parts(
    settings: Settings, stack: AsyncExitStack, pool: asyncpg.Pool, keyring: Keyring
) -> Parts:
    """Equip the crm family."""
    allow = frozenset(settings.provider_allow)
    http = await stack.enter_async_context(ProviderHttp(allow, answer_s=settings.provider_answer_s))
    accounts = ProviderAccounts(pool, keyring)
    offers: Offers[CrmProvider] = {"leadconnector": leadconnector.offered(http)}
    chosen: Chosen[CrmProvider] = Chosen(accounts, CHANNEL, offers)
    stack.callback(chosen.close)
    desk = Desk.open(pool, keyring, chosen)
    drop_old = periodic(_DROP_EVERY_S, desk.errands.drop_old, asyncio.Event(), name="errands")
    supervise(stack, drop_old, "errands")
    return Parts(
        desk,
        ("wayfarer.crm.v1.ContactRecordService", "wayfarer.crm.v1.CrmService"),
        (
            partial(add_ContactRecordServiceServicer_to_server, RecordServicer(desk.records)),
            partial(add_CrmServiceServicer_to_server, CrmServicer(desk)),
        ),
        providers={CHANNEL: offers},
        accounts=accounts,
        elsewhere=Elsewhere(accounts, CHANNEL),
    )


FAMILY = Family("crm", crm, Settings, open_parts)

if __name__ == "__main__":
    main(FAMILY)
