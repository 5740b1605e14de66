"""Decides whether an action may begin now on its provider, and if not, until when; one per worker.

One worker owns an account, so the state lives in its memory; what matters is kept beside (store/lanes.py),
for showing and for the next owner. Asked before an attempt is opened: being blocked spends none.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from execution_engine.admission.state import BY_DAY, EXECUTOR, Lane, Rate, Settings
from execution_engine.model import BlockedOn, ErrorClass
from execution_engine.moves import Blocked

_COUNT = frozenset(
    {
        ErrorClass.UNSPECIFIED,
        ErrorClass.TIMEOUT,
        ErrorClass.SERVER_ERROR,
        ErrorClass.NETWORK,
        ErrorClass.INDETERMINATE,
        ErrorClass.AUTHENTICATION,
    }
)
"""Failures of the provider, or of the account's standing with it: the next action would meet the same. The
others (a bad address, say) are answers of a provider that is well."""
_NO_RATE = Rate()
_HELD = (BlockedOn.LANE, BlockedOn.RATE_LIMIT, BlockedOn.BREAKER)
_HELD_OR_AWAY = (*_HELD, BlockedOn.EXECUTOR)
_MOST_IDLE = 50_000
Key = tuple[int, str]


class Admission:
    """The lanes and breakers of the accounts that one worker owns."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings()
        self._lanes: dict[Key, Lane] = {}
        self._rates: dict[int, dict[str, Rate]] = {}

    def set_rates(self, account_id: int, rates: Mapping[str, Mapping[str, Any]]) -> None:
        """The account's own limits, by lane; a lane `webhook:host:port` falls back to `webhook`."""
        if not rates:
            self._rates.pop(account_id, None)
            return
        self._rates[account_id] = {
            lane: Rate(float(given.get("per_second", 0)), int(given.get("per_day", 0)))
            for lane, given in rates.items()
        }

    def ask(
        self,
        account_id: int,
        family: str,
        lanes: Sequence[str],
        now: datetime,
        was: BlockedOn = BlockedOn.NOTHING,
        by: str = "",
    ) -> Blocked | None:
        """None: go. `was` and `by` are what held this action up until now: then its turn has come.

        All lanes must be free; what they cost is taken from all, or from none. A turn given out by one lane
        holds at the others and at the executor (an executor's at the executor alone): were it each one's
        own, an action of two lanes could queue at one, then at the other, for ever.
        """
        if not self._lanes and not self._rates:
            return None  # the hot path: nothing ever went wrong here, and nothing is limited
        own = self._lanes.get((0, family))
        if own is not None:
            blocked = own.held(now, _NO_RATE, turn=was in _HELD_OR_AWAY, token=False)
            if blocked is not None:
                return Blocked(BlockedOn.EXECUTOR, family, blocked.until)
        turn_has_come = was in _HELD
        rates = self._rates.get(account_id)
        concerned: list[tuple[Lane, Rate, bool]] = []
        for name in lanes:
            lane = self._lanes.get((account_id, name))
            rate = _rate_of(rates, name) if rates is not None else _NO_RATE
            if lane is None:
                if rate is _NO_RATE:
                    continue
                lane = self._lane(account_id, name)
            token = by == name and was is BlockedOn.RATE_LIMIT
            blocked = lane.held(now, rate, turn=turn_has_come, token=token)
            if blocked is not None:
                return blocked
            concerned.append((lane, rate, token))
        if own is not None:
            own.take(now, _NO_RATE, token=False)
        for lane, rate, token in concerned:
            lane.take(now, rate, token=token)
        return None

    # Feedback

    def succeeded(self, account_id: int, family: str, lanes: Sequence[str], now: datetime) -> None:
        """An action was done, or refused by a provider that is well."""
        if not self._lanes:
            return
        for key in ((0, family), *((account_id, name) for name in lanes)):
            lane = self._lanes.get(key)
            if lane is not None:
                lane.succeeded(now)

    def failed(
        self,
        account_id: int,
        family: str,
        lanes: Sequence[str],
        error_class: ErrorClass,
        retry_after_s: float | None,
        now: datetime,
    ) -> None:
        """An attempt failed. Its executor is well in any case: it answered."""
        executor = self._lanes.get((0, family))
        if executor is not None:
            executor.succeeded(now)
        if error_class is ErrorClass.RATE_LIMIT:
            for name in lanes:
                self._lane(account_id, name).pause(retry_after_s, now)
        elif error_class in _COUNT:
            for name in lanes:
                self._lane(account_id, name).failed(now)
        else:
            self.succeeded(account_id, family, lanes, now)

    def unreachable(self, family: str, now: datetime) -> None:
        """The executor itself could not be asked, or its answer was lost."""
        lane = self._lanes.get((0, family))
        if lane is None:
            lane = self._lanes[(0, family)] = Lane(family, EXECUTOR)
        lane.failed(now)

    def not_sent(self, account_id: int, family: str, lanes: Sequence[str]) -> None:
        """An action that was let go did not go after all: if it was a probe, another may be one."""
        for key in ((0, family), *((account_id, name) for name in lanes)):
            lane = self._lanes.get(key)
            if lane is not None:
                lane.probe_until = None

    def _lane(self, account_id: int, name: str) -> Lane:
        lane = self._lanes.get((account_id, name))
        if lane is None:
            lane = self._lanes[(account_id, name)] = Lane(name, self._settings)
        return lane

    # Keeping

    def take_changed(self, now: datetime) -> list[tuple[int, Lane]]:
        """Lanes that changed since the last time; those that no longer matter are forgotten."""
        changed = [(key[0], lane) for key, lane in self._lanes.items() if lane.changed]
        for _, lane in changed:
            lane.changed = False
        if len(self._lanes) > _MOST_IDLE:
            self._lanes = {key: lane for key, lane in self._lanes.items() if not lane.idle(now)}
        return changed

    def restore(self, kept: Iterable[tuple[int, Lane]]) -> None:
        """Takes over lanes as another worker left them."""
        for account_id, lane in kept:
            self._lanes[(account_id, lane.name)] = lane


def _rate_of(rates: Mapping[str, Rate], lane: str) -> Rate:
    rate = rates.get(lane)
    if rate is None:
        rate = rates.get(lane.partition(":")[0], _NO_RATE)
    return rate


def turn(by: str) -> str:
    """The lane whose turn was given out in advance; none for one whose day was used up."""
    return "" if by.endswith(BY_DAY) else by
