"""Asks providers what became of effects in doubt, through the action types' `find`; reconcile.py calls it.

Whatever goes wrong here leaves an effect as doubtful as it was.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import structlog

from services.executors.action import Certainty, EffectKey, Failed, Pending, Result, Skipped, Succeeded
from services.executors.registry import Registry

log = structlog.get_logger(__name__)

_CONCURRENT: Final = 16
_PATIENCE_S: Final = 5.0  # Reconcile's caller waits 10 s for all it asked


class Doubt(NamedTuple):
    """An effect in doubt: its type, and the refs its recorded result holds."""

    key: EffectKey
    action_type: str
    refs: Mapping[str, str]


class Finder:
    """The finding side of one family's action types."""

    def __init__(self, registry: Registry, tools: object, *, patience_s: float = _PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._definitions = registry.definitions
        self._tools = tools
        self._places = asyncio.Semaphore(_CONCURRENT)

    def finds(self, action_type: str) -> bool:
        """Whether a type has a way to find out."""
        definition = self._definitions.get(action_type)
        return definition is not None and definition.find is not None

    async def ask(self, doubts: Sequence[Doubt]) -> list[Result | None]:
        """Give, for each, a result that settles it, or None, also for those not answered in time."""
        tasks = [asyncio.create_task(self._ask(doubt)) for doubt in doubts]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._patience_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        return [None if task.cancelled() else task.result() for task in tasks]

    async def _ask(self, doubt: Doubt) -> Result | None:
        find = self._definitions[doubt.action_type].find
        assert find is not None
        try:
            async with self._places:
                return _settling(await find(doubt.key, doubt.refs, self._tools))
        except Exception as error:  # of whatever kind: Reconcile must answer for the others
            log.warning("find_failed", action=doubt.action_type, error=type(error).__name__)
            return None


def _settling(result: Result | None) -> Result | None:
    match result:
        case Succeeded() | Skipped() | Pending():
            return result
        case Failed(certainty=Certainty.NOT_DONE):
            return result
        case _:
            return None
