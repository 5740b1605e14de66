"""Entry point `python -m services.executors.integrations`: ActionExecutor and IntegrationsAdminService."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import asyncpg
from wayfarer.integrations.v1.integrations_admin_service_pb2_grpc import (
    add_IntegrationsAdminServiceServicer_to_server,
)

from services.executors import integrations
from services.executors.family import Family, FamilySettings, Parts, main
from services.executors.integrations.account_book import AccountBook
from services.executors.integrations.admin_servicer import AdminServicer
from services.executors.integrations.caller import WebhookCaller
from services.executors.integrations.standings import Standings
from services.executors.integrations.tools import Tools
from services.executors.webhook_signing import signing_secret
from services.runtime.config import HostPort, host_ports, setting
from services.runtime.keyring import Keyring


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(FamilySettings):
    """What the integrations family needs to know."""

    webhook_allow: tuple[HostPort, ...] = setting(
        "WAYFARER_WEBHOOK_ALLOW",
        host_ports,
        default=(),
        help="host:port pairs that may be called although internal.",
    )
    webhook_secret: str = setting(
        "WAYFARER_WEBHOOK_SECRET",
        signing_secret,
        default="",
        secret=True,
        help="whsec_…; for accounts without a secret webhook_signing. Empty: their calls are not signed.",
    )


async def open_parts(
    settings: Settings, stack: AsyncExitStack, pool: asyncpg.Pool, keyring: Keyring
) -> Parts:
    """Equip the integrations family."""
    caller = await stack.enter_async_context(WebhookCaller(frozenset(settings.webhook_allow)))
    return parts(settings, pool, keyring, caller)


def parts(settings: Settings, pool: asyncpg.Pool, keyring: Keyring, caller: WebhookCaller) -> Parts:
    """Put the family together around its way out."""
    book = AccountBook(pool, keyring)
    standings = Standings(book)
    servicer = AdminServicer(book, standings)
    return Parts(
        Tools(caller, book, standings, settings.webhook_secret),
        ("wayfarer.integrations.v1.IntegrationsAdminService",),
        (partial(add_IntegrationsAdminServiceServicer_to_server, servicer),),
    )


FAMILY = Family("integrations", integrations, Settings, open_parts)

if __name__ == "__main__":
    main(FAMILY)
