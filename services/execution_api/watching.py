"""Wakes watchers when something of their account changed; WatchExecution waits on it.

Hints only tell that it is worth looking: what is sent is read from the log after the watcher's own
position, which has no gaps. A slow watcher costs no writer anything and misses nothing.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator

_POLL_S = 1.0


class Watching:
    """Events of the watchers, by account."""

    def __init__(self) -> None:
        self._watchers: defaultdict[int, set[asyncio.Event]] = defaultdict(set)

    def heard(self, accounts: frozenset[int] | None) -> None:
        """Something of these accounts (None: any) has changed."""
        for account_id in list(self._watchers) if accounts is None else accounts:
            for changed in self._watchers.get(account_id, ()):
                changed.set()

    @contextlib.contextmanager
    def of(self, account_id: int) -> Iterator[asyncio.Event]:
        """An event that is set when the account changes; clear it before reading."""
        changed = asyncio.Event()
        self._watchers[account_id].add(changed)
        try:
            yield changed
        finally:
            self._watchers[account_id].discard(changed)
            if not self._watchers[account_id]:
                del self._watchers[account_id]

    @staticmethod
    async def wait(changed: asyncio.Event) -> None:
        """Returns at a change, and at the latest after a second: a hint may be lost."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), _POLL_S)
