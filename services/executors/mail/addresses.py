"""Reads e-mail addresses, a person's or a setting's; everything that sends an e-mail asks it."""

from email.utils import parseaddr
from typing import NamedTuple

from email_validator import EmailNotValidError, validate_email


class Sender(NamedTuple):
    """Whom messages come from."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        """What comes after the @."""
        return self.address.rpartition("@")[2].lower()


class InvalidAddressError(ValueError):
    """A text that is no deliverable e-mail address."""


def deliverable(text: str) -> str:
    """Give an address in the form SMTP takes. Raises InvalidAddressError."""
    try:
        address = validate_email(text, check_deliverability=False, test_environment=True).ascii_email
    except EmailNotValidError as error:
        raise InvalidAddressError(str(error)) from None
    if address is None:
        raise InvalidAddressError("the part before the @ is not ASCII")
    return address


def sender(raw: str) -> Sender:
    """Read "Name <address>" or an address; a parser for settings."""
    name, address = parseaddr(raw)
    try:
        return Sender(name, deliverable(address))
    except InvalidAddressError:
        raise ValueError('must be an e-mail address, or "Name <address>"') from None
