"""Answers what became of interrupted effects; the servicer's Reconcile calls it.

A key answered NOT_DONE is closed to every lower fence by a tombstone, so that a later zombie is refused.
"""

from collections.abc import Sequence
from typing import Final

from wayfarer.action.v1 import action_executor_pb2

from services.executors.action import EffectKey
from services.executors.decisions import LedgerRow
from services.executors.ledger import Ledger
from services.executors.results import LedgerState, ResultCodec
from services.runtime.keyring import KeyringError

Finding = action_executor_pb2.ReconcileFinding

_ROUNDS: Final = 5
_UNDONE: Final = (LedgerState.NOT_DONE, LedgerState.TOMBSTONE)


class Reconciler:
    """Reads and closes out effects of one family."""

    def __init__(self, ledger: Ledger, codec: ResultCodec) -> None:
        self._ledger = ledger
        self._codec = codec

    async def findings(self, asked: Sequence[tuple[EffectKey, int]]) -> list[Finding]:
        """Give one finding per (key, asking fence), in order."""
        fences: dict[EffectKey, int] = {}
        for key, fence in asked:
            fences[key] = max(fence, fences.get(key, fence))
        found: dict[EffectKey, Finding] = {}
        for _ in range(_ROUNDS):
            open_keys = {key: fence for key, fence in fences.items() if key not in found}
            if not open_keys:
                break
            for key in await self._ledger.close_out(open_keys):
                found[key] = Finding(finding=action_executor_pb2.FINDING_NOT_DONE)
            rows = await self._ledger.read([key for key in open_keys if key not in found])
            for key, row in rows.items():
                # Undone below the asking fence: its attempt ended between the two statements; close it anew.
                if row.state not in _UNDONE or row.fence >= fences[key]:
                    found[key] = self._finding(row)
        unknown = Finding(finding=action_executor_pb2.FINDING_UNKNOWN)
        return [found.get(key, unknown) for key, _ in asked]

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
