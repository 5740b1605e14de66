"""Waits for the test's word before it sends, or after; the runtime's cancel and join tests use it."""

from typing import Final

from services.executors.action import ActionConfig, ActionDefinition, Call, DeliveryClass, Result, succeeded
from tests.contract.executors.oddities.words import Words


class Config(ActionConfig):
    """Which word, and when."""

    word: str
    after_sending: bool = False


async def run(call: Call[Config], words: Words) -> Result:
    word = call.config.word
    if call.config.after_sending:
        call.gate.begin()
        words.sent[str(call.key)] += 1
    words.reached[word].set()
    await words.go[word].wait()
    if not call.config.after_sending:
        call.gate.begin()
        words.sent[str(call.key)] += 1
    return succeeded({"word": word})


ACTION: Final = ActionDefinition(
    name="hold",
    summary="Waits for a word.",
    config=Config,
    sample={"word": "go"},
    delivery=DeliveryClass.UNKEYED_AT_MOST_ONCE,
    run=run,
)
