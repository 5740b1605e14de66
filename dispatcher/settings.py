"""What can be set about a worker; services/worker reads it from the environment."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Defaults suit two cores; all are safe to leave alone."""

    max_runs: int = 4_000
    """Executions driven at once by this process; bounds its memory."""
    lease_s: float = 20.0
    """How long a claim holds without renewal. Leases of a worker known to be dead end at once."""
    heartbeat_s: float = 1.0
    """How often the worker tells that it lives."""
    dead_after_s: float = 5.0
    """Silence after which another worker retires this one; it stops its own work before."""
    commit_flights: int = 3
    """Commits under way at once; each holds one connection."""
    commit_batch: int = 500
    """Executions in one commit."""
    action_batch: int = 200
    """Actions in one ExecuteBatch, where the type allows as many."""
    claim_batch: int = 500
    """Executions in one claim."""
    poll_s: float = 0.1
    """How often due executions are looked for when nothing hints at any."""

    @property
    def lease(self) -> timedelta:
        """The lease as an interval."""
        return timedelta(seconds=self.lease_s)

    @property
    def dead_after(self) -> timedelta:
        """The silence as an interval."""
        return timedelta(seconds=self.dead_after_s)
