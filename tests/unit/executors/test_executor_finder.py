"""Asking providers about effects in doubt: slow and failing ones hold nobody up.

G5.
"""

import asyncio
from collections.abc import Mapping

from services.executors.action import (
    ActionConfig,
    ActionDefinition,
    Call,
    DeliveryClass,
    EffectKey,
    Result,
    Succeeded,
    succeeded,
)
from services.executors.find import Doubt, Finder
from services.executors.registry import Registry
from tests.contract.executors.world import uuid7


class _Config(ActionConfig):
    pass


async def _run(call: Call[_Config], tools: object) -> Result:
    return succeeded()


async def _find(key: EffectKey, refs: Mapping[str, str], tools: object) -> Result | None:
    if refs["how"] == "slow":
        await asyncio.Event().wait()
    if refs["how"] == "raise":
        raise TimeoutError
    return succeeded({"found": True})


def _registry() -> Registry:
    action = ActionDefinition(
        name="lost",
        summary="Gets lost.",
        config=_Config,
        sample={},
        delivery=DeliveryClass.UNKEYED_AT_MOST_ONCE,
        run=_run,
        find=_find,
    )
    return Registry("odd", [action])


async def test_the_slow_and_the_failing_stay_in_doubt_alone() -> None:
    finder = Finder(_registry(), None, patience_s=0.05)
    ways = ("slow", "fine", "raise", "fine", "slow")
    results = await finder.ask([Doubt(EffectKey(1, uuid7(), "s", 1), "lost", {"how": how}) for how in ways])
    assert [isinstance(one, Succeeded) for one in results] == [False, True, False, True, False]
    assert await finder.ask([]) == []


def test_only_known_types_with_a_find_are_asked() -> None:
    finder = Finder(_registry(), None)
    assert finder.finds("lost")
    assert not finder.finds("unheard_of")
