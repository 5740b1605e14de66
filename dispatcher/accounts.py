"""The settings of accounts that waits and limits depend on, kept for two seconds; programs.py asks."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import asyncpg
import orjson

from execution_engine.run import Run

_LOAD = "SELECT account_id, settings FROM account WHERE account_id = ANY ($1::bigint[])"
_KEPT_S = 2.0
_MOST = 20_000


class Accounts:
    """A cache of settings by account. `learned` gets each that was read."""

    def __init__(
        self, pool: asyncpg.Pool, learned: Callable[[int, Mapping[str, Any]], None] | None = None
    ) -> None:
        self._pool = pool
        self._learned = learned
        self._known: dict[int, tuple[float, dict[str, Any]]] = {}

    async def attach(self, runs: Sequence[Run]) -> None:
        """Sets `run.settings` of each."""
        now = time.monotonic()
        stale = {
            run.account_id
            for run in runs
            if run.account_id not in self._known or now - self._known[run.account_id][0] > _KEPT_S
        }
        if stale:
            await self._load(stale, now)
        for run in runs:
            run.settings = self._known[run.account_id][1]

    async def _load(self, accounts: set[int], now: float) -> None:
        if len(self._known) + len(accounts) > _MOST:
            self._known.clear()
        for account_id in accounts:
            self._known[account_id] = (now, {})
        for row in await self._pool.fetch(_LOAD, list(accounts)):
            settings = orjson.loads(row["settings"])
            self._known[row["account_id"]] = (now, settings)
            if self._learned is not None:
                self._learned(row["account_id"], settings)
