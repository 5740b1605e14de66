"""What a failure of Twilio or Meta means, as one table; their clients and callbacks read it.

Codes are the provider's own; where the table has none, the HTTP status decides, and without an answer how far
the request came. 500, 502 and 504 may come after the message was taken; 4xx and 503 say that it was not.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Final

from services.executors.action import Certainty, ErrorClass, Failed, Skipped
from services.executors.providers.suppression import Suppression


class SideEffect(Enum):
    """What a failure changes beyond the attempt; how it is told is in providers/suppression.py."""

    NUMBER_INVALID = "number_invalid"
    SMS_DND_TEMPORARY = "sms_dnd_temporary"
    SMS_DND_PERMANENT = "sms_dnd_permanent"
    MESSENGER_UNREACHABLE = "messenger_unreachable"
    NEEDS_REAUTHORISATION = "needs_reauthorisation"
    """Of the account's choice of provider, not of the contact: no suppression, it is marked."""


@dataclass(frozen=True, slots=True)
class Row:
    """These codes of this provider (of any, if empty) are of this class."""

    provider: str
    codes: tuple[str, ...]
    error_class: ErrorClass | None
    """None: the attempt is SKIPPED, a rule forbade it."""
    certainty: Certainty
    meaning: str
    side_effect: SideEffect | None = None
    pause_s: int | None = None
    """When to try again, unless the provider says."""


TWILIO: Final = "twilio"
META: Final = "meta"
SUPPRESSED: Final = "RECIPIENT_SUPPRESSED"

_UNREACHED_S: Final = 3600
_NOT_DONE: Final = Certainty.NOT_DONE
_UNKNOWN: Final = Certainty.INDETERMINATE
_E: Final = ErrorClass
_S: Final = SideEffect

TABLE: Final = (
    Row(
        TWILIO,
        ("21211", "21214", "21217", "21614", "13224", "30005", "30006"),
        _E.CONTACT_DATA,
        _NOT_DONE,
        "the number does not exist, or cannot take this",
        _S.NUMBER_INVALID,
    ),
    Row(
        TWILIO,
        ("30003",),
        _E.SERVER_ERROR,
        _NOT_DONE,
        "the handset is switched off or out of reach",
        _S.SMS_DND_TEMPORARY,
        _UNREACHED_S,
    ),
    Row(
        TWILIO,
        ("21610", "30004"),
        None,
        _NOT_DONE,
        "the recipient has opted out of messages, or blocks them",
        _S.SMS_DND_PERMANENT,
    ),
    Row(TWILIO, ("30007",), _E.VALIDATION, _NOT_DONE, "a carrier filtered the message"),
    Row(TWILIO, ("21612",), _E.VALIDATION, _NOT_DONE, "no route from this sender to this number"),
    Row(TWILIO, ("30036",), _E.VALIDATION, _NOT_DONE, "the message expired before it could be sent"),
    Row(TWILIO, ("30008",), _E.SERVER_ERROR, _UNKNOWN, "the carrier gave no reason"),
    Row(TWILIO, ("20429", "10004", "21611", "30001"), _E.RATE_LIMIT, _NOT_DONE, "too many at a time"),
    Row(TWILIO, ("20003",), _E.AUTHENTICATION, _NOT_DONE, "the login is refused", _S.NEEDS_REAUTHORISATION),
    Row(TWILIO, ("21606",), _E.CONFIGURATION, _NOT_DONE, "the sender's number cannot send this"),
    Row(TWILIO, ("21408",), _E.AUTHORIZATION, _NOT_DONE, "the recipient's country is not enabled"),
    Row(TWILIO, ("21608",), _E.AUTHORIZATION, _NOT_DONE, "a trial may reach verified numbers only"),
    Row(META, ("2", "1200"), _E.SERVER_ERROR, _NOT_DONE, "the service is not available for a moment"),
    Row(META, ("4", "32", "613"), _E.RATE_LIMIT, _NOT_DONE, "too many at a time"),
    Row(META, ("190",), _E.AUTHENTICATION, _NOT_DONE, "the login is refused", _S.NEEDS_REAUTHORISATION),
    Row(
        META,
        ("10/1893063", "200", "230"),
        _E.AUTHORIZATION,
        _NOT_DONE,
        "the page must be connected anew",
        _S.NEEDS_REAUTHORISATION,
    ),
    Row(
        META,
        ("10", "551", "100/2018001", "368"),
        _E.CONTACT_DATA,
        _NOT_DONE,
        "the person cannot be written to now",
        _S.MESSENGER_UNREACHABLE,
    ),
    Row("", ("HTTP_401",), _E.AUTHENTICATION, _NOT_DONE, "the login is refused", _S.NEEDS_REAUTHORISATION),
    Row("", ("HTTP_403",), _E.AUTHORIZATION, _NOT_DONE, "it is not allowed", _S.NEEDS_REAUTHORISATION),
    Row("", ("HTTP_404", "HTTP_410"), _E.NOT_FOUND, _NOT_DONE, "there is no such thing"),
    Row("", ("HTTP_408",), _E.TIMEOUT, _NOT_DONE, "the request came too slowly"),
    Row("", ("HTTP_425", "HTTP_429"), _E.RATE_LIMIT, _NOT_DONE, "too many at a time"),
    Row("", ("HTTP_3xx", "HTTP_4xx"), _E.VALIDATION, _NOT_DONE, "the request is refused"),
    Row("", ("HTTP_503",), _E.SERVER_ERROR, _NOT_DONE, "the service is not available for a moment"),
    Row("", ("HTTP_5xx",), _E.SERVER_ERROR, _UNKNOWN, "the service failed"),
    Row("", ("ADDRESS_REFUSED",), _E.CONFIGURATION, _NOT_DONE, "the service is at an internal address"),
    Row("", ("CONNECT_FAILED",), _E.NETWORK, _NOT_DONE, "the service could not be reached"),
    Row("", ("CONNECTION_LOST",), _E.NETWORK, _UNKNOWN, "the connection was lost before the answer"),
    Row("", ("TIMEOUT",), _E.TIMEOUT, _UNKNOWN, "the service did not answer in time"),
)

_STRANGE: Final = Row("", (), _E.SERVER_ERROR, _UNKNOWN, "an answer that says nothing")
_UNTIL_S: Final = {SideEffect.SMS_DND_TEMPORARY: _UNREACHED_S}
_CHANNEL: Final = {
    SideEffect.SMS_DND_TEMPORARY: "sms",
    SideEffect.SMS_DND_PERMANENT: "sms",
    SideEffect.MESSENGER_UNREACHABLE: "messenger",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What a provider, or the lack of its answer, said."""

    provider: str
    channel: str
    codes: tuple[str, ...]
    """The most telling first."""
    retry_after: timedelta | None = None
    lane: str = ""
    refs: tuple[tuple[str, str], ...] = ()
    """What an uncertain one may be found by."""


def http_codes(status: int) -> tuple[str, str]:
    """Give the codes of an HTTP status."""
    return f"HTTP_{status}", f"HTTP_{status // 100}xx"


def row_of(provider: str, codes: tuple[str, ...]) -> Row:
    """Give the row of the first of these codes that the table has."""
    for code in codes:
        for row in TABLE:
            if code in row.codes and row.provider in ("", provider):
                return row
    return _STRANGE


def suppression(row: Row, channel: str) -> Suppression | None:
    """Give what a failure on this channel forbids from now on."""
    effect = row.side_effect
    if effect is None or effect is SideEffect.NEEDS_REAUTHORISATION:
        return None
    return Suppression(_CHANNEL.get(effect, channel), effect.name, _UNTIL_S.get(effect))


def verdict(fault: Fault) -> Failed | Skipped:
    """Give the result of an attempt that failed like this."""
    row = row_of(fault.provider, fault.codes)
    forbids = suppression(row, fault.channel)
    changes = forbids.changes() if forbids is not None else b""
    if row.error_class is None:
        return Skipped(SUPPRESSED, f"{row.meaning} ({fault.provider} {fault.codes[0]})", changes)
    pause = fault.retry_after
    if pause is None and row.pause_s is not None:
        pause = timedelta(seconds=row.pause_s)
    return Failed(
        row.error_class,
        fault.codes[0],
        row.meaning,
        row.certainty,
        pause,
        fault.provider,
        lane=fault.lane if fault.retry_after is not None else "",
        refs=fault.refs if row.certainty is Certainty.INDETERMINATE else (),
        contact_changes=changes,
        needs_reauthorisation=row.side_effect is SideEffect.NEEDS_REAUTHORISATION,
    )
