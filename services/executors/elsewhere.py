"""Which accounts keep at a provider what a family's TX actions write here; the servicer asks before a batch.

Their actions are announced, sent and recorded one by one, as a provider's are.
"""

import asyncio
from collections.abc import Collection
from typing import Final

import asyncpg

from services.executors.intake import Batch, Item
from services.executors.providers.accounts import ProviderAccounts
from services.runtime.database import DatabaseUnavailableError
from services.runtime.keyring import KeyringError

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
        moving = [item for item in batch.transactional if item.definition.elsewhere is not None]
        away = await self._among({item.call.key.account_id for item in moving})
        if not away:
            return batch
        own: list[Item] = []
        outbound = list(batch.outbound)
        for item in batch.transactional:
            leaves = item.definition.elsewhere is not None and item.call.key.account_id in away
            (outbound if leaves else own).append(item)
        return Batch(own, outbound, batch.refused)

    async def _among(self, account_ids: Collection[int]) -> set[int]:
        if len(account_ids) == 1:  # the usual case: no tasks
            return {one for one in account_ids if await self._is_away(one)}
        answers = await asyncio.gather(*(self._is_away(one) for one in account_ids))
        return {one for one, away in zip(account_ids, answers, strict=True) if away}

    async def _is_away(self, account_id: int) -> bool:
        patience = asyncio.get_running_loop().time() + _PATIENCE_S
        while True:
            try:
                return await self._accounts.get(account_id, self._channel) is not None
            except KeyringError:
                return True  # there is a choice, and it cannot be read: the action says so
            except _LOST:
                if asyncio.get_running_loop().time() > patience:
                    return True  # never into our own records unless we know; the action says what is wrong
            await asyncio.sleep(_PAUSE_S)
