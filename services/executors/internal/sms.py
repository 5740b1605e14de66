"""Texts notifications to users through the account's sms provider; Desk makes it of the account's choice.

One message per number, each at most once. Twilio knows no keys: one whose answer is lost is uncertain.
"""

import asyncio
from dataclasses import replace
from typing import Final

from services.executors.action import Certainty, ErrorClass, Failed, Skipped
from services.executors.gate import AttemptStoppedError, SendGate
from services.executors.internal.notification import Notification, Receipt
from services.executors.phone.twilio import PROVIDER, Twilio
from services.executors.providers.provider import ProviderError

CHANNEL: Final = "sms"

_LONGEST: Final = 1600
"""What Twilio takes, in characters."""
_AT_ONCE: Final = 10
_OF_EVERY_NUMBER: Final = (ErrorClass.RATE_LIMIT, ErrorClass.AUTHENTICATION, ErrorClass.CONFIGURATION)
"""What the next number would be refused for as well."""


class TextPost:
    """The way of notifications to telephones."""

    def __init__(self, twilio: Twilio) -> None:
        self._twilio = twilio

    async def send(self, notification: Notification, gate: SendGate) -> Receipt:
        """Send one message to each number. Raises ProviderError if none was taken; AttemptStoppedError.

        Once one was taken, or may have been, no number is tried again: that would text the others twice.
        """
        sender = self._twilio.settings.sender
        if sender is None:
            text = "the account's sms provider has no sender"
            raise ProviderError(Failed(ErrorClass.CONFIGURATION, "NO_SENDER", text, Certainty.NOT_DONE))
        form = [sender, ("Body", text_of(notification))]
        sids: list[str] = []
        failures: list[Failed] = []
        numbers = notification.recipients
        for place in range(0, len(numbers), _AT_ONCE):
            some = numbers[place : place + _AT_ONCE]
            answers = await asyncio.gather(*(self._sent([("To", one), *form], gate) for one in some))
            sids += [one for one in answers if isinstance(one, str)]
            failures += [one for one in answers if isinstance(one, Failed)]
            stopped = next((one for one in answers if isinstance(one, AttemptStoppedError)), None)
            if stopped is not None and not sids and not _uncertain(failures):
                raise stopped
            if stopped is not None or any(one.error_class in _OF_EVERY_NUMBER for one in failures):
                break
        uncertain = _uncertain(failures)
        if not sids:
            raise ProviderError((uncertain or failures)[0])
        return Receipt({"channel": CHANNEL, "message_sid": sids[0]}, len(sids), len(uncertain))

    async def _sent(self, form: list[tuple[str, str]], gate: SendGate) -> str | Failed | AttemptStoppedError:
        """Send one message and give its sid, or why it was not taken.

        What a user's number forbids is not to be kept of the contact: changes are dropped.
        """
        try:
            message = await self._twilio.send_message(form, gate)
        except AttemptStoppedError as stopped:
            return stopped
        except ProviderError as error:
            return replace(error.failed, contact_changes=b"", refs=())
        if isinstance(message, Skipped):
            reason, text = message.reason, message.message
            return Failed(ErrorClass.VALIDATION, reason, text, Certainty.NOT_DONE, provider=PROVIDER)
        return message.sid


def _uncertain(failures: list[Failed]) -> list[Failed]:
    return [one for one in failures if one.certainty is Certainty.INDETERMINATE]


def text_of(notification: Notification) -> str:
    """Give title and body as one text, cut to what a message holds."""
    text = f"{notification.headline}\n{notification.body}".strip()
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "\u2026"
