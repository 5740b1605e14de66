"""How often a key may be tried at the sign-in, per address and per key; console.py asks it first.

Only what fails counts: an attempt is taken when it begins, so that many at once are many, and given back if
the key was good. Each gateway process counts for itself.
"""

import hashlib
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_MOST_KEPT: Final = 10_000
_NETWORK_BITS: Final = 64
"""Of an IPv6 address: what one customer of a provider has at least."""


@dataclass(frozen=True, slots=True)
class Pace:
    """So many failures at once, then one each so many seconds."""

    most: int
    each_s: float


PER_ADDRESS: Final = Pace(10, 6.0)
PER_KEY: Final = Pace(5, 12.0)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One that was taken, or why it was not: `wait_s` is 0 for one that may go on."""

    names: tuple[tuple[str, Pace], ...]
    wait_s: float = 0.0


class Attempts:
    """Counts them in bounded memory: beyond 10,000 names the one that failed longest ago is forgotten."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._paid_at: OrderedDict[str, float] = OrderedDict()
        """By name, when its failures so far are forgiven."""

    def __len__(self) -> int:
        return len(self._paid_at)

    def take(self, address: str, key: str) -> Attempt:
        """Begins an attempt, unless its address or its key has failed too often."""
        now = self._now()
        names = ((_network(address), PER_ADDRESS), (_digest(key), PER_KEY))
        owed = max(self._paid_at.get(name, now) - now - (pace.most - 1) * pace.each_s for name, pace in names)
        if owed > 0:
            return Attempt((), owed)
        for name, pace in names:
            self._owe(name, max(self._paid_at.pop(name, now), now) + pace.each_s)
        return Attempt(names)

    def give_back(self, attempt: Attempt) -> None:
        """It was no failure, or none of the caller's."""
        for name, pace in attempt.names:
            if name in self._paid_at:
                self._owe(name, self._paid_at.pop(name) - pace.each_s)

    def _owe(self, name: str, until: float) -> None:
        if until > self._now():
            self._paid_at[name] = until
        while len(self._paid_at) > _MOST_KEPT:
            self._paid_at.popitem(last=False)


def _network(address: str) -> str:
    """The address; of IPv6 its network, for whoever has one has them all."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return f"address {address[:100]}"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return f"address {parsed.ipv4_mapped}"
        return f"address {ipaddress.IPv6Network((parsed, _NETWORK_BITS), strict=False)}"
    return f"address {parsed}"


def _digest(key: str) -> str:
    return f"key {hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}"
