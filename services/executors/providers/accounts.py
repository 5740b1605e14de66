"""Which provider each account chose, in the family's database: actions ask it, ProviderService writes it.

An account's choices are read at most every two seconds by each process, so that an action costs no query;
a change made through this process is seen at once, through another within those two seconds. A choice whose
credentials the provider refused is marked, durably, until it is changed.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple, TypeAlias

import asyncpg
import orjson

from services.executors.providers.provider import ProviderAccount, Refusal
from services.executors.queries import statement
from services.runtime.keyring import Keyring

PURPOSE: Final = "provider_account.credentials"

_KEPT_S: Final = 2.0
_ACCOUNTS_KEPT: Final = 4096

Choices: TypeAlias = Mapping[str, ProviderAccount]
"""By channel."""


class ChangedMeanwhileError(Exception):
    """The choice that was to be replaced is not the stored one any more."""


class Listed(NamedTuple):
    """A choice, and when it was made."""

    account: ProviderAccount
    updated_at: datetime


class _Kept(NamedTuple):
    until: float
    reading: "asyncio.Task[Choices]"


class _Choosing(NamedTuple):
    until: float
    reading: "asyncio.Task[frozenset[int]]"


class ProviderAccounts:
    """Reads and writes one family's provider accounts."""

    def __init__(self, pool: asyncpg.Pool, keyring: Keyring) -> None:
        self._pool = pool
        self._keyring = keyring
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._choosing: dict[str, _Choosing] = {}
        self._read = statement("read_provider_accounts")
        self._read_choosing = statement("read_choosing_accounts")
        self._write = statement("write_provider_account")
        self._delete = statement("delete_provider_account")
        self._mark = statement("mark_provider_account")

    async def get(self, account_id: int, channel: str) -> ProviderAccount | None:
        """Give an account's choice, at most two seconds old. Raises KeyringError and what the pool raises."""
        now = asyncio.get_running_loop().time()
        kept = self._kept.get(account_id)
        if kept is None or kept.until <= now:
            # One reading for everybody who asks meanwhile.
            kept = _Kept(now + _KEPT_S, asyncio.create_task(self._choices(account_id)))
            kept.reading.add_done_callback(partial(self._forget_failed, account_id))
            self._kept[account_id] = kept
            self._kept.move_to_end(account_id)
            if len(self._kept) > _ACCOUNTS_KEPT:
                self._kept.popitem(last=False)
        return (await asyncio.shield(kept.reading)).get(channel)

    async def choosing(self, channel: str) -> frozenset[int]:
        """Give the accounts that chose a provider for a channel, as fresh as `get`. Raises as the pool."""
        now = asyncio.get_running_loop().time()
        kept = self._choosing.get(channel)
        if kept is None or kept.until <= now:
            kept = _Choosing(now + _KEPT_S, asyncio.create_task(self._choosing_now(channel)))
            self._choosing[channel] = kept
        try:
            return await asyncio.shield(kept.reading)
        except Exception:
            if self._choosing.get(channel) is kept:
                del self._choosing[channel]
            raise

    async def list(self, account_id: int) -> list[Listed]:
        """Give an account's choices as they are stored now, by channel."""
        rows = await self._pool.fetch(self._read, account_id)
        return [Listed(self._account(row), row["updated_at"]) for row in rows]

    async def put(self, account: ProviderAccount) -> int:
        """Store a choice in place of the one with its revision (0: of none); give its new revision.

        Raises ChangedMeanwhileError.
        """
        sealed = self._keyring.seal(PURPOSE, account.account_id, orjson.dumps(dict(account.credentials)))
        settings = orjson.dumps(dict(account.settings)).decode()
        revision: int | None = await self._pool.fetchval(
            self._write,
            account.account_id,
            account.channel,
            account.provider,
            settings,
            sealed,
            account.revision,
        )
        self._forget_choice(account.account_id)
        if revision is None:
            raise ChangedMeanwhileError
        return revision

    async def delete(self, account_id: int, channel: str) -> None:
        """Forget a choice; one that is not there is no error."""
        await self._pool.execute(self._delete, account_id, channel)
        self._forget_choice(account_id)

    async def mark(self, account: ProviderAccount, code: str, meaning: str) -> bool:
        """Note that these credentials are refused; False if it is noted, or the choice is another."""
        choice = (account.account_id, account.channel, account.revision)
        status = await self._pool.execute(self._mark, *choice, code, meaning)
        self.forget(account.account_id)
        return int(status.rpartition(" ")[2]) == 1

    async def _choices(self, account_id: int) -> Choices:
        return {listed.account.channel: listed.account for listed in await self.list(account_id)}

    async def _choosing_now(self, channel: str) -> frozenset[int]:
        return frozenset(row[0] for row in await self._pool.fetch(self._read_choosing, channel))

    def forget(self, account_id: int) -> None:
        """Have an account's choices read anew by whoever asks next."""
        self._kept.pop(account_id, None)

    def _forget_choice(self, account_id: int) -> None:
        self.forget(account_id)
        self._choosing.clear()

    def _forget_failed(self, account_id: int, reading: "asyncio.Task[Choices]") -> None:
        kept = self._kept.get(account_id)
        failed = reading.cancelled() or reading.exception() is not None
        if failed and kept is not None and kept.reading is reading:
            del self._kept[account_id]

    def _account(self, row: asyncpg.Record) -> ProviderAccount:
        opened = self._keyring.open(PURPOSE, row["account_id"], row["credentials_sealed"])
        return ProviderAccount(
            row["account_id"],
            row["channel"],
            row["provider"],
            orjson.loads(row["settings"]),
            orjson.loads(opened),
            row["revision"],
            Refusal(row["refusal_code"], row["refusal"], row["refused_at"]) if row["refused_at"] else None,
        )
