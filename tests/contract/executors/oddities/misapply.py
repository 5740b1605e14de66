"""A TX action that raises for some of its calls."""

from collections.abc import Sequence
from typing import Final

import asyncpg

from services.executors.action import ActionConfig, ActionDefinition, Call, DeliveryClass, Result, succeeded
from tests.contract.executors.oddities.words import Words


class Config(ActionConfig):
    """Whether to."""

    fail: bool = False


async def apply(connection: asyncpg.Connection, calls: Sequence[Call[Config]], words: Words) -> list[Result]:
    if any(call.config.fail for call in calls):
        raise LookupError("not applicable")
    return [succeeded({"applied": True}) for _ in calls]


ACTION: Final = ActionDefinition(
    name="misapply",
    summary="Raises when told to.",
    config=Config,
    sample={"fail": False},
    delivery=DeliveryClass.TX,
    apply=apply,
)
