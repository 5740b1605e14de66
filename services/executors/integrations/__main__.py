"""Entry point `python -m services.executors.integrations`."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg

from services.executors import integrations
from services.executors.family import Family, FamilySettings, Parts, main
from services.executors.integrations.caller import WebhookCaller, signing_secret
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
        help="whsec_…; empty: calls are not signed.",
    )


async def open_parts(
    settings: Settings, stack: AsyncExitStack, pool: asyncpg.Pool, keyring: Keyring
) -> Parts:
    """Equip the integrations family."""
    caller = WebhookCaller(frozenset(settings.webhook_allow), settings.webhook_secret)
    return Parts(await stack.enter_async_context(caller))


FAMILY = Family("integrations", integrations, Settings, open_parts)

if __name__ == "__main__":
    main(FAMILY)
