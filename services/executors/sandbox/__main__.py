"""Entry point `python -m services.executors.sandbox`."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg

from services.executors import sandbox
from services.executors.family import Family, FamilySettings, Parts, main
from services.executors.sandbox.custom_code import Sandbox
from services.executors.sandbox.pool import SandboxPool
from services.runtime.config import boolean, integer, setting
from services.runtime.keyring import Keyring


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(FamilySettings):
    """What the sandbox family needs to know."""

    custom_code: bool = setting(
        "WAYFARER_CUSTOM_CODE", boolean, default=False, help="on lets accounts run code of their own."
    )
    sandbox_processes: int = setting(
        "WAYFARER_SANDBOX_PROCESSES",
        integer(1, 64),
        default=4,
        help="Scripts at a time; each takes a process of up to 170 MB.",
    )


async def open_parts(
    settings: Settings, stack: AsyncExitStack, pool: asyncpg.Pool, keyring: Keyring
) -> Parts:
    """Equip the sandbox family; without custom code it has no processes."""
    if not settings.custom_code:
        return Parts(Sandbox(None))
    return Parts(Sandbox(await stack.enter_async_context(SandboxPool(settings.sandbox_processes))))


FAMILY = Family("sandbox", sandbox, Settings, open_parts)

if __name__ == "__main__":
    main(FAMILY)
