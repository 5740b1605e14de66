"""Reads telephone numbers as the world writes them; the configs and actions of sms and calls use it."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, StringConstraints, ValidationInfo

from services.executors.action import Certainty, ErrorClass, Failed
from services.executors.config_faults import is_publishing

_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_FORMATTING: Final = str.maketrans("", "", " -().\u00a0")


class InvalidNumberError(ValueError):
    """A text that is no telephone number with its country."""


def e164(text: str) -> str:
    """Give a number as providers take it, e.g. +4930123456. Raises InvalidNumberError."""
    number = text.translate(_FORMATTING)
    if not _E164.fullmatch(number):
        raise InvalidNumberError("must be a number with + and its country, e.g. +4930123456")
    return number


def _number(text: str, info: ValidationInfo) -> str:
    # Only where a person wrote it: of a rendered one the contact is at fault, which is not CONFIGURATION.
    if text and is_publishing(info):
        e164(text)
    return text


PhoneText = Annotated[str, StringConstraints(strip_whitespace=True, max_length=40), AfterValidator(_number)]


def recipient(configured: str | None, known: object) -> str | Failed:
    """Give the number to reach, the configured or the contact's own, or why there is none."""
    raw = configured or known
    if not isinstance(raw, str) or not raw.strip():
        return _nobody("NO_ADDRESS", "the contact has no telephone number")
    try:
        return e164(raw)
    except InvalidNumberError:
        return _nobody("INVALID_ADDRESS", "it is no telephone number with its country")


def _nobody(code: str, text: str) -> Failed:
    return Failed(ErrorClass.CONTACT_DATA, code, text, Certainty.NOT_DONE)
