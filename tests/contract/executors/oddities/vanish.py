"""Loses its answer after it has sent; the provider, which is the test's words, can be asked later."""

from collections.abc import Mapping
from typing import Final

from services.executors.action import (
    ActionConfig,
    ActionDefinition,
    Call,
    Certainty,
    DeliveryClass,
    EffectKey,
    ErrorClass,
    Failed,
    Pending,
    Result,
    succeeded,
)
from tests.contract.executors.oddities.words import Words


class Config(ActionConfig):
    """What the provider will say of it."""

    word: str
    pending: bool = False


async def run(call: Call[Config], words: Words) -> Result:
    call.gate.begin()
    words.sent[str(call.key)] += 1
    refs = (("word", call.config.word),)
    if call.config.pending:
        return Pending(refs)
    return Failed(ErrorClass.NETWORK, "LOST", "the answer was lost", Certainty.INDETERMINATE, refs=refs)


async def find(key: EffectKey, refs: Mapping[str, str], words: Words) -> Result | None:
    words.asked[str(key)] += 1
    match refs.get("word"):
        case "done":
            return succeeded({"found": True})
        case "overtaken":
            words.reached[str(key)].set()
            await words.go[str(key)].wait()
            return Failed(ErrorClass.SERVER_ERROR, "ABSENT", "nothing of it is there", Certainty.NOT_DONE)
        case "pending":
            return Pending((("word", "done"),))
        case "absent" | "failed":
            return Failed(ErrorClass.SERVER_ERROR, "ABSENT", "nothing of it is there", Certainty.NOT_DONE)
        case "maybe":
            return Failed(ErrorClass.NETWORK, "MAYBE", "it did not answer", Certainty.INDETERMINATE)
        case "raise":
            raise LookupError(key)
        case _:
            return None


ACTION: Final = ActionDefinition(
    name="vanish",
    summary="Loses its answer.",
    config=Config,
    sample={"word": "done"},
    delivery=DeliveryClass.UNKEYED_AT_MOST_ONCE,
    run=run,
    find=find,
)
