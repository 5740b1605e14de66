"""Which shards of accounts this worker owns: joining, sharing out, taking over; services/worker runs it.

Only a shard's owner moves executions to ACTIVE, so that it can count the accounts' slots in memory.
Two owners at once cannot be: a shard is taken only when its owner has been retired or gave it up,
and a claim locks its worker's row, which retiring waits for.
"""

import math
import os
import socket
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import structlog

from dispatcher.settings import WorkerSettings
from execution_engine.store import leases

SHARDS = 64
log = structlog.get_logger(__name__)


def host_name() -> str:
    """This host and process namespace: two workers with the same one see each other's pids."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        return f"{socket.gethostname()}/{uuid4()}"
    return f"{socket.gethostname()}/{boot}/{namespace}"


class Shards:
    """Membership of one worker."""

    def __init__(self, pool: asyncpg.Pool, settings: WorkerSettings, incarnation: UUID) -> None:
        """The pool's sessions go by `leases.session_name(incarnation)`."""
        self._pool = pool
        self._incarnation = incarnation
        self._settings = settings
        self._host = host_name()
        self.worker_id = 0
        self.owned: frozenset[int] = frozenset()

    async def join(self) -> None:
        """Enters this process as a worker and takes what shards are free."""
        async with self._pool.acquire() as connection:
            self.worker_id = await leases.register(connection, self._incarnation, self._host, os.getpid())
        await self.share_out()

    async def share_out(self) -> frozenset[int]:
        """Retires the dead, takes or gives up shards for an even share; returns those newly owned."""
        async with self._pool.acquire() as connection:
            live = await leases.live_workers(connection)
            dead = [w.worker_id for w in live if w.worker_id != self.worker_id and self._is_dead(w)]
            retired = await leases.retire(connection, self.worker_id, self._settings.dead_after, dead)
            if retired:
                ended = await leases.end_sessions(connection, retired)
                log.warning("workers_retired", worker_ids=retired, sessions_ended=ended)
                live = await leases.live_workers(connection)
            me = next((w for w in live if w.worker_id == self.worker_id), None)
            owned = set(me.shards) if me is not None else set()
            share = math.ceil(SHARDS / max(len(live), 1))
            if len(owned) > share:
                surplus = sorted(owned)[share:]
                # Stop claiming from them first; only then may another take them.
                self.owned = frozenset(owned.difference(surplus))
                await leases.release_shards(connection, self.worker_id, surplus)
                owned.difference_update(surplus)
            elif len(owned) < share and me is not None:
                owned.update(await leases.take_shards(connection, self.worker_id, share - len(owned)))
            gained = frozenset(owned) - self.owned
            if retired or gained:
                while await leases.end_orphaned_leases(connection, sorted(owned)):
                    pass
            self.owned = frozenset(owned)
            return gained

    def _is_dead(self, worker: leases.LiveWorker) -> bool:
        """True if it ran here and its process is gone: known at once, without waiting for its silence."""
        if worker.host != self._host:
            return False
        if worker.pid == os.getpid():
            return True
        try:
            os.kill(worker.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return False

    async def leave(self) -> None:
        """Gives up all shards and retires itself, at the end of a drain."""
        self.owned = frozenset()
        async with self._pool.acquire() as connection:
            await connection.execute(
                "UPDATE shard_owner SET worker_id = NULL, epoch = epoch + 1 WHERE worker_id = $1",
                self.worker_id,
            )
            await connection.execute(
                "UPDATE worker SET retired_at = clock_timestamp() WHERE worker_id = $1", self.worker_id
            )
