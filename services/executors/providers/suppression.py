"""How a result says that a contact may not be reached on a channel for a while, or any more; providers' fault
tables make it, the orchestrator applies it.

It travels as the `contact_changes` of a result, whatever its outcome, and as the attribute `suppress` of a
callback's happening, in this shape:

    {"suppress": {"channel": "sms", "reason": "SMS_DND_PERMANENT", "until": null}}

`until` is seconds from now; null means until something new is known: another number, a START, an inbound
message.
"""

from typing import NamedTuple

import orjson

from services.executors.action import JsonObject


class Suppression(NamedTuple):
    """Which channel, why, and for how long."""

    channel: str
    """email, sms, voice, messenger."""
    reason: str
    """UPPER_SNAKE."""
    until_s: int | None = None

    def told(self) -> JsonObject:
        """Give it as the value of `suppress`."""
        return {"channel": self.channel, "reason": self.reason, "until": self.until_s}

    def changes(self) -> bytes:
        """Give it as the contact changes of a result."""
        return orjson.dumps({"suppress": self.told()})
