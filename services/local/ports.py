"""Which ports a stack uses: fixed offsets from one base, reserved for its life; stack.py asks."""

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.local.state_files import AlreadyHeld, exclusive

DEFAULT_BASE = 7_700
_LAST_BASE = 9_900
_STEP = 100
_LAST_PORT = 65_535
FAMILIES = ("communication", "crm", "integrations", "sandbox", "membership", "internal")
MOST_WORKERS = 8


class PortsTaken(Exception):
    """The base asked for, or every base, is in use."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of a stack with this base."""

    base: int

    @property
    def api(self) -> int:
        return self.base

    @property
    def api_metrics(self) -> int:
        return self.base + 1

    def worker_metrics(self, number: int) -> int:
        """Of worker `number`, from 0."""
        return self.base + 2 + number

    def executor(self, family: str) -> int:
        return self.base + 11 + FAMILIES.index(family)

    def executor_metrics(self, family: str) -> int:
        return self.base + 40 + FAMILIES.index(family)

    @property
    def smtp(self) -> int:
        return self.base + 25

    @property
    def mailbox(self) -> int:
        return self.base + 26

    @property
    def receiver(self) -> int:
        return self.base + 30

    @property
    def sandboxes(self) -> int:
        return self.base + 31

    @property
    def postgres(self) -> int:
        return self.base + 32

    @property
    def gateway(self) -> int:
        return self.base + 33

    @property
    def gateway_metrics(self) -> int:
        return self.base + 34

    def all(self) -> list[int]:
        """Every port of the stack."""
        executors = [port for f in FAMILIES for port in (self.executor(f), self.executor_metrics(f))]
        workers = [self.worker_metrics(number) for number in range(MOST_WORKERS)]
        own = [
            self.api,
            self.api_metrics,
            self.smtp,
            self.mailbox,
            self.receiver,
            self.sandboxes,
            self.postgres,
            self.gateway,
            self.gateway_metrics,
        ]
        return own + executors + workers


@contextmanager
def reserve(base: int | None) -> Iterator[Ports]:
    """Ports from `base`, or (None) from the first base that is free, 7700 first.

    Held by a lock on a file, so that two stacks that start at once cannot both think a base free.
    Raises PortsTaken.
    """
    for candidate in [base] if base is not None else range(DEFAULT_BASE, _LAST_BASE + 1, _STEP):
        ports = Ports(candidate)
        if candidate < 1 or max(ports.all()) > _LAST_PORT:
            raise PortsTaken(f"there are no ports from {candidate} to {max(ports.all())}")
        with ExitStack() as held:
            try:
                held.enter_context(exclusive(_lock_file(candidate)))
            except (AlreadyHeld, PermissionError):
                continue
            if _all_free(ports.all()):
                yield ports
                return
    wanted = f"port {base} or one above it" if base is not None else "every base from 7700 to 9900"
    raise PortsTaken(f"{wanted} is in use; choose another with --port-base")


def _lock_file(base: int) -> Path:
    return Path(tempfile.gettempdir()) / f"wayfarer-ports-{os.geteuid()}-{base}.lock"


def _all_free(ports: list[int]) -> bool:
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
