"""Answers what became of interrupted effects; the servicer's Reconcile calls it.

A key answered NOT_DONE is closed to every lower fence by a tombstone, so that a later zombie is refused. What
the ledger does not know, or knows as PENDING, the action type's `find` may ask the provider.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from wayfarer.action.v1 import action_executor_pb2, action_pb2

from services.executors.action import EffectKey, Failed, Pending, Result
from services.executors.decisions import LedgerRow
from services.executors.find import Doubt, Finder
from services.executors.ledger import Ledger, Written
from services.executors.results import LedgerState, ResultCodec
from services.runtime.keyring import KeyringError

Finding = action_executor_pb2.ReconcileFinding

_ROUNDS: Final = 5
_UNDONE: Final = (LedgerState.NOT_DONE, LedgerState.TOMBSTONE)
_NO_REFS: Final[Mapping[str, str]] = {}


class Asked(NamedTuple):
    """An effect asked about, the asking fence, and its type."""

    key: EffectKey
    fence: int
    action_type: str


class Reconciler:
    """Reads and closes out effects of one family."""

    def __init__(self, ledger: Ledger, codec: ResultCodec, finder: Finder) -> None:
        self._ledger = ledger
        self._codec = codec
        self._finder = finder

    async def findings(self, asked: Sequence[Asked]) -> list[Finding]:
        """Give one finding per effect asked about, in order."""
        fences: dict[EffectKey, int] = {}
        for key, fence, _ in asked:
            fences[key] = max(fence, fences.get(key, fence))
        types = {one.key: one.action_type for one in asked}
        found: dict[EffectKey, Finding] = {}
        for _ in range(_ROUNDS):
            open_keys = {key: fence for key, fence in fences.items() if key not in found}
            if not open_keys:
                break
            for key in await self._ledger.close_out(open_keys):
                found[key] = Finding(finding=action_executor_pb2.FINDING_NOT_DONE)
            rows = await self._ledger.read([key for key in open_keys if key not in found])
            doubtful: list[LedgerRow] = []
            for key, row in rows.items():
                # Undone below the asking fence: its attempt ended between the two statements; close it anew.
                if row.state not in _UNDONE or row.fence >= fences[key]:
                    found[key] = self._finding(row)
                    if _is_doubtful(found[key]) and self._finder.finds(types[key]):
                        doubtful.append(row)
            found.update(await self._asked_of_provider(doubtful, fences, types))
        unknown = Finding(finding=action_executor_pb2.FINDING_UNKNOWN)
        return [found.get(one.key, unknown) for one in asked]

    def _finding(self, row: LedgerRow) -> Finding:
        match row.state:
            case LedgerState.DONE:
                try:
                    result = self._codec.open(row.key.account_id, row.stored)
                except KeyringError:
                    return Finding(finding=action_executor_pb2.FINDING_UNKNOWN)
                return Finding(finding=action_executor_pb2.FINDING_DONE, result=result)
            case LedgerState.SENDING if row.remaining:
                finding = Finding(finding=action_executor_pb2.FINDING_IN_FLIGHT)
                finding.in_flight_for.FromTimedelta(row.remaining)
                return finding
            case LedgerState.SENDING | LedgerState.UNKNOWN:
                return Finding(finding=action_executor_pb2.FINDING_UNKNOWN)
            case _:
                return Finding(finding=action_executor_pb2.FINDING_NOT_DONE)

    async def _asked_of_provider(
        self, rows: Sequence[LedgerRow], fences: Mapping[EffectKey, int], types: Mapping[EffectKey, str]
    ) -> dict[EffectKey, Finding]:
        """Find out what can be, record it, and give what was recorded: nothing is told that is not kept."""
        results = await self._finder.ask([Doubt(row.key, types[row.key], self._refs(row)) for row in rows])
        settled = {
            row.key: (row, self._written(row, result, fences[row.key]))
            for row, result in zip(rows, results, strict=True)
            if result is not None and not (isinstance(result, Pending) and row.state is LedgerState.DONE)
        }
        if not settled:
            return {}
        return {key: self._told(settled[key][1]) for key in await self._ledger.record_found(settled.values())}

    def _refs(self, row: LedgerRow) -> Mapping[str, str]:
        if not row.stored:
            return _NO_REFS
        try:
            return dict(self._codec.open(row.key.account_id, row.stored).provider_refs)
        except KeyringError:
            return _NO_REFS

    def _written(self, row: LedgerRow, result: Result, fence: int) -> Written:
        if isinstance(result, Failed) and row.state is not LedgerState.DONE:
            return Written(row.key, max(fence, row.fence), 0, LedgerState.TOMBSTONE, b"")
        # What was PENDING and failed is told as that failure; it may be tried anew, as after any other.
        encoded = self._codec.encode(result)
        stored = self._codec.stored(row.key.account_id, encoded)
        return Written(row.key, row.fence, row.attempt, encoded.state, stored)

    def _told(self, written: Written) -> Finding:
        if written.state is LedgerState.TOMBSTONE:
            return Finding(finding=action_executor_pb2.FINDING_NOT_DONE)
        result = self._codec.open(written.key.account_id, written.stored)
        return Finding(finding=action_executor_pb2.FINDING_DONE, result=result)


def _is_doubtful(finding: Finding) -> bool:
    pending = finding.result.outcome == action_pb2.OUTCOME_PENDING
    return pending or finding.finding == action_executor_pb2.FINDING_UNKNOWN
