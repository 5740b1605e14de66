"""Which accounts keep at a provider what a family's TX actions write here; the servicer asks before a batch.

Their actions are announced, sent and recorded one by one, as a provider's are.
"""

import asyncio
from collections.abc import Container
from typing import Final

import asyncpg

from services.executors.intake import Batch, Item
from services.executors.providers.accounts import ProviderAccounts
from services.runtime.database import DatabaseUnavailableError

_LOST: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    DatabaseUnavailableError,
    OSError,
)
_PATIENCE_S: Final = 5.0  # as long as a TX batch waits for a database that is being restarted
_PAUSE_S: Final = 0.2


class Elsewhere:
    """Asks one channel's choices."""

    def __init__(self, accounts: ProviderAccounts, channel: str) -> None:
        self._accounts = accounts
        self._channel = channel

    async def divert(self, batch: Batch) -> Batch:
        """Move what belongs elsewhere from the transactional items to the outbound ones."""
        away = await self._accounts_away()
        if away == frozenset():
            return batch
        own: list[Item] = []
        outbound = list(batch.outbound)
        for item in batch.transactional:
            leaves = item.definition.elsewhere is not None and item.call.key.account_id in away
            (outbound if leaves else own).append(item)
        return Batch(own, outbound, batch.refused)

    async def _accounts_away(self) -> Container[int]:
        patience = asyncio.get_running_loop().time() + _PATIENCE_S
        while True:
            try:
                return await self._accounts.choosing(self._channel)
            except _LOST:
                if asyncio.get_running_loop().time() > patience:
                    return _Everybody()
            await asyncio.sleep(_PAUSE_S)


class _Everybody(Container[int]):
    """What nobody can tell goes nowhere: no data into our own records unless it is known to belong there."""

    def __contains__(self, account_id: object) -> bool:
        return True
