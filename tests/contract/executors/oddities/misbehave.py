"""Raises, or says too much, after it has sent; shows that neighbours come to no harm."""

from typing import Final, Literal

from services.executors.action import ActionConfig, ActionDefinition, Call, DeliveryClass, Result, succeeded
from tests.contract.executors.oddities.words import Words


class Config(ActionConfig):
    """In what way."""

    how: Literal["raise", "babble", "behave"]


async def run(call: Call[Config], words: Words) -> Result:
    call.gate.begin()
    words.sent[str(call.key)] += 1
    match call.config.how:
        case "raise":
            raise LookupError("ada@example.test was not there")
        case "babble":
            return succeeded({"much": "x" * 20_000})
        case _:
            return succeeded({"fine": True})


ACTION: Final = ActionDefinition(
    name="misbehave",
    summary="Misbehaves.",
    config=Config,
    sample={"how": "behave"},
    delivery=DeliveryClass.UNKEYED_AT_LEAST_ONCE,
    run=run,
)
