"""Takes due executions: what is due where, the accounts' slots, claims in batches; worker.py runs it.

Polling is the truth: `discover` asks for the earliest wake-up of every account. Hints and the
worker's own commits only make it look sooner. The watermark keeps claims from re-reading dead index
entries; the sweep below it, every second, finds whatever arrived late.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import structlog

from dispatcher.settings import WorkerSettings
from dispatcher.shards import Shards
from execution_engine import ports
from execution_engine.model import AGEING_S, LEASED_LANE
from execution_engine.store import leases
from execution_engine.store.faults import DATABASE_FAULTS
from execution_engine.store.leases import Ask, Claim

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_TRAIL = timedelta(seconds=2)
"""How far the watermark trails what has been seen due: commits arrive late."""
_SWEEP_S = 1.0
_MOST_ASKS = 64
_RECOUNT_S = 1.0
_INTERLEAVED = 8
"""Executions claimed from one lane at a time where an account's lanes compete for slots."""
log = structlog.get_logger(__name__)


def _aged(due: float, key: tuple[int, int]) -> float:
    lane = key[1]
    return due if lane == LEASED_LANE else due + AGEING_S[lane - 1]


class Slots:
    """ACTIVE executions per account, as the owner of their shards counts them; the rows are the truth."""

    def __init__(self) -> None:
        self._active: dict[int, int] = {}
        self._limit: dict[int, int] = {}
        self._counted: dict[int, float] = {}

    def learn_limit(self, account_id: int, limit: int) -> None:
        """The account's limit as just read."""
        self._limit[account_id] = limit

    def active(self, account_id: int) -> int:
        """How many executions of the account are ACTIVE."""
        return self._active.get(account_id, 0)

    def free(self, account_id: int) -> int:
        """How many more executions of the account may become ACTIVE."""
        return self._limit.get(account_id, 0) - self._active.get(account_id, 0)

    def took(self, account_id: int) -> None:
        """One more is ACTIVE."""
        self._active[account_id] = self._active.get(account_id, 0) + 1

    def left(self, account_id: int) -> None:
        """One has left ACTIVE."""
        self._active[account_id] = max(self._active.get(account_id, 0) - 1, 0)

    def uncounted(self, accounts: Iterable[int]) -> list[int]:
        """Those never counted, or full and not counted for a second: others may have ended some."""
        now = time.monotonic()
        return [
            a
            for a in accounts
            if a not in self._counted or (self.free(a) <= 0 and now - self._counted[a] > _RECOUNT_S)
        ]

    def counted(self, truth: dict[int, tuple[int, int]]) -> None:
        """Takes over a count of the rows."""
        for account_id, (active, limit) in truth.items():
            self._active[account_id], self._limit[account_id] = active, limit
            self._counted[account_id] = time.monotonic()

    def forget(self) -> None:
        """Shards changed hands: count every account anew before its next claim."""
        self._counted.clear()


class Claimer:
    """Claims while there is room. `take` gets each batch; `held` and `room` tell what is driven."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        vault: ports.Vault,
        shards: Shards,
        settings: WorkerSettings,
        take: Callable[[list[Claim]], None],
        held: Callable[[], list[UUID]],
        room: Callable[[], int],
        healthy: Callable[[], bool],
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._shards = shards
        self._settings = settings
        self._take = take
        self._held = held
        self._room = room
        self._doubtful = False
        self._healthy = healthy
        self.slots = Slots()
        self.wake = asyncio.Event()
        self._due: dict[tuple[int, int], float] = {}
        self._guessed: set[tuple[int, int]] = set()
        """Lanes that a hint may have meant: it names accounts only."""
        self._hinted = False
        self._ahead = 0.0
        self._watermark = _EPOCH
        self._swept_at = 0.0
        self._discovered_at = 0.0
        self._discovery_cost = 0.0

    def expect(self, account_id: int, lane: int, at: datetime) -> None:
        """An execution of this account wakes at `at`: look then, without being told."""
        due = at.timestamp()
        key = (account_id, lane)
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            self.wake.set()

    def hint(self, accounts: frozenset[int] | None) -> None:
        """Something may be due now, in these accounts or (None) anywhere."""
        if accounts is None or len(accounts) > _MOST_ASKS:
            self._hinted = True
        else:
            now = time.monotonic() + self._ahead
            for account_id in accounts:
                for lane in (1, 2, 3):
                    # What is known to have been due for longer keeps its age.
                    key = (account_id, lane)
                    if key not in self._due:
                        self._guessed.add(key)
                    self._due[key] = min(self._due.get(key, now), now)
        self.wake.set()

    def freed(self, account_id: int) -> None:
        """A slot of the account, and room here, is free again."""
        self.slots.left(account_id)
        self.wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Claims until `stop` is set; database errors are waited out."""
        while not stop.is_set():
            try:
                pause = await self._round()
            except Exception as error:
                # Whatever it was, claiming goes on; a fault of ours is told with its trace.
                ours = not isinstance(error, DATABASE_FAULTS)
                log.warning("claim_failed", problem=str(error) or type(error).__name__, exc_info=ours)
                self._doubtful = True
                pause = 0.5
            if pause > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.wake.wait(), pause)
            else:
                await asyncio.sleep(0)

    async def _round(self) -> float:
        """One look and at most one claim; the seconds until the next are returned."""
        self.wake.clear()
        room = self._room()
        if room <= 0 or not self._healthy() or not self._shards.owned:
            return self._settings.poll_s
        if self._doubtful:
            await self._release_unheld()
        now = time.monotonic()
        if self._hinted or now - self._discovered_at >= max(self._settings.poll_s, 20 * self._discovery_cost):
            await self._discover(now)
        asks = await self._asks(min(room, self._settings.claim_batch))
        if not asks:
            return self._until_next()
        await self._claim(asks)
        return 0.0

    async def _release_unheld(self) -> None:
        """A claim may have been made whose answer never came: nobody would drive it before its lease ends."""
        async with self._pool.acquire() as connection:
            await leases.release_unheld(
                connection, self._shards.worker_id, sorted(self._shards.owned), self._held()
            )
        self._doubtful = False

    async def _discover(self, now: float) -> None:
        sweep = now - self._swept_at >= _SWEEP_S
        self._hinted = False
        async with self._pool.acquire() as connection:
            found = await leases.discover(
                connection, sorted(self._shards.owned), _EPOCH if sweep else self._watermark
            )
        done = time.monotonic()
        self._discovered_at, self._discovery_cost = done, done - now
        if sweep:
            self._swept_at = now
            self._due.clear()
        if not found:
            return
        self._ahead = found[0].now.timestamp() - done
        for due in found:
            self.slots.learn_limit(due.account_id, due.active_limit)
            self._due[(due.account_id, due.lane)] = due.wake_at.timestamp()
            self._guessed.discard((due.account_id, due.lane))
        if sweep:
            self._watermark = min(min(d.wake_at for d in found), found[0].now) - _TRAIL
        else:
            self._watermark = max(self._watermark, min(min(d.wake_at for d in found), found[0].now) - _TRAIL)

    async def _asks(self, room: int) -> list[Ask]:
        """Shares the room between the accounts and lanes that are due.

        Within an account the longest due goes first, a lane of lower priority standing some time behind.
        Between accounts, those that hold more than their share come last, however long theirs are due.
        """
        now = time.monotonic() + self._ahead
        due = [(at, key) for key, at in self._due.items() if at <= now]
        accounts = {key[0] for _, key in due}
        share = self._settings.max_runs // max(len(accounts), 1)
        ready = sorted(due, key=lambda one: (self.slots.active(one[1][0]) > share, _aged(*one)))
        lanes = Counter(key[0] for _, key in ready if key[1] != LEASED_LANE and key not in self._guessed)
        unknown = self.slots.uncounted(accounts)
        if unknown:
            async with self._pool.acquire() as connection:
                self.slots.counted(await leases.count_active(connection, unknown))
        asks: list[Ask] = []
        each = max(room // max(min(len(ready), _MOST_ASKS), 1), 1)
        granted: dict[int, int] = {}
        for _, (account_id, lane) in ready:
            if room <= 0 or len(asks) == _MOST_ASKS:
                break
            quota = min(each, room)
            competes = False
            if lane != LEASED_LANE:
                free = self.slots.free(account_id) - granted.get(account_id, 0)
                competes = lanes[account_id] > 1 and free < each * lanes[account_id]
                if competes:
                    # Slots are few: a few at a time, so that priorities are weighed again for the next.
                    quota = min(quota, _INTERLEAVED)
                quota = min(quota, free)
            if quota <= 0:
                continue
            granted[account_id] = granted.get(account_id, 0) + quota
            asks.append(Ask(account_id, lane, quota, competes))
            room -= quota
        return asks

    async def _claim(self, asks: list[Ask]) -> None:
        async with self._pool.acquire() as connection:
            claims = await leases.claim(
                connection,
                self._vault,
                self._shards.worker_id,
                asks,
                self._watermark,
                self._settings.lease,
            )
        got: dict[tuple[int, int], int] = {}
        latest: dict[tuple[int, int], datetime] = {}
        for claim in claims:
            key = (claim.run.account_id, claim.lane)
            got[key] = got.get(key, 0) + 1
            latest[key] = max(latest.get(key, claim.due_at), claim.due_at)
            if claim.lane != LEASED_LANE:
                self.slots.took(claim.run.account_id)
        for ask in asks:
            key = (ask.account_id, ask.lane)
            self._guessed.discard(key)
            if got.get(key, 0) < ask.quota:
                self._due.pop(key, None)  # drained; the next discovery, hint or commit tells more
            else:
                self._due[key] = latest[key].timestamp()
                if ask.competes:
                    self._hinted = True  # whose turn is next depends on what is left: look anew
        if claims:
            self._take(claims)

    def _until_next(self) -> float:
        """Seconds until something known falls due, at most the poll interval."""
        now = time.monotonic() + self._ahead
        nearest = min((at for at in self._due.values() if at > now), default=float("inf"))
        return max(min(nearest - now, self._settings.poll_s), 0.001)
