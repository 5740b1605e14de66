"""The seven statuses and their legal moves as one table; cancel asks it, tests hold advance to it.

docs/states.md has the picture. COMPLETED and CANCELLED are absorbing; FAILED is left by an explicit retry.
"""

from collections.abc import Mapping
from types import MappingProxyType

from execution_engine.errors import IllegalTransition
from execution_engine.model import Status

_S = Status
LEGAL: Mapping[Status, frozenset[Status]] = MappingProxyType(
    {
        _S.QUEUED: frozenset({_S.ACTIVE, _S.CANCELLED, _S.PAUSED, _S.COMPLETED}),
        _S.ACTIVE: frozenset({_S.WAITING, _S.PAUSED, _S.COMPLETED, _S.FAILED, _S.CANCELLED}),
        _S.WAITING: frozenset({_S.ACTIVE, _S.PAUSED, _S.COMPLETED, _S.CANCELLED}),
        _S.PAUSED: frozenset({_S.QUEUED, _S.WAITING, _S.CANCELLED}),
        _S.FAILED: frozenset({_S.QUEUED}),
        _S.COMPLETED: frozenset(),
        _S.CANCELLED: frozenset(),
    }
)


def require_move(before: Status, after: Status) -> None:
    """Raises IllegalTransition, naming both, unless the table has the move."""
    if after not in LEGAL[before]:
        raise IllegalTransition(before.name, after.name)
