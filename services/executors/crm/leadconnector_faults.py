"""What a failure of LeadConnector means, as one table; leadconnector_api.py reads it.

The HTTP status decides, beside it what was asked for and, of a 400 or 404, whether the contact is what is
missing; without an answer, how far the request came. 500, 502 and 504 may come after it was done; 4xx and 503
say that it was not, but for a refused contact, which may have been made all the same. What only reads leaves
nothing in doubt.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Final

from services.executors.action import Certainty, ErrorClass, Failed
from services.executors.crm.provider import CONTACT_GONE

PROVIDER: Final = "leadconnector"
LANE: Final = "crm"


class Step(Enum):
    """What was asked for."""

    READ = "read"
    NEW_CONTACT = "new_contact"
    CONTACT = "contact"
    CAMPAIGN = "campaign"
    OPPORTUNITY = "opportunity"
    ITEM = "item"
    """A task or a note."""


class Then(Enum):
    """What is done about it at once."""

    NOTHING = "nothing"
    PAUSE = "pause"
    """The lane rests for as long as the answer says, with all the account's crm actions."""
    HOLD = "hold"
    """The account's choice is marked: what comes later waits for new credentials."""
    FORGET = "forget"
    """Their id of the contact is forgotten, and the contact looked for again."""
    SEARCH = "search"
    """Whether it was done after all is looked for."""


@dataclass(frozen=True, slots=True)
class Row:
    """These codes, in answer to this step (to any, if None), are of this class."""

    step: Step | None
    codes: tuple[str, ...]
    error_class: ErrorClass
    certainty: Certainty
    meaning: str
    then: Then = Then.NOTHING


_NOT_DONE: Final = Certainty.NOT_DONE
_UNKNOWN: Final = Certainty.INDETERMINATE
_E: Final = ErrorClass

TABLE: Final = (
    Row(None, (CONTACT_GONE,), _E.NOT_FOUND, _NOT_DONE, "there is no such contact any more", Then.FORGET),
    Row(
        Step.NEW_CONTACT,
        ("HTTP_400", "HTTP_409", "HTTP_422"),
        _E.CONTACT_DATA,
        _UNKNOWN,
        "the contact's data is refused, or it is there already",
        Then.SEARCH,
    ),
    Row(Step.CONTACT, ("HTTP_400", "HTTP_422"), _E.CONTACT_DATA, _NOT_DONE, "the contact's data is refused"),
    Row(Step.CAMPAIGN, ("HTTP_400", "HTTP_404"), _E.NOT_FOUND, _NOT_DONE, "there is no such campaign"),
    Row(Step.OPPORTUNITY, ("HTTP_404",), _E.NOT_FOUND, _NOT_DONE, "there is no such opportunity"),
    Row(None, ("HTTP_401",), _E.AUTHENTICATION, _NOT_DONE, "the token is refused", Then.HOLD),
    Row(None, ("HTTP_403",), _E.AUTHORIZATION, _NOT_DONE, "the token does not allow it, or not there"),
    Row(None, ("HTTP_404", "HTTP_410"), _E.NOT_FOUND, _NOT_DONE, "there is no such thing"),
    Row(None, ("HTTP_408",), _E.TIMEOUT, _NOT_DONE, "the request came too slowly"),
    Row(None, ("HTTP_425", "HTTP_429"), _E.RATE_LIMIT, _NOT_DONE, "too many at a time", Then.PAUSE),
    Row(None, ("HTTP_3xx", "HTTP_4xx"), _E.VALIDATION, _NOT_DONE, "the request is refused"),
    Row(None, ("HTTP_503",), _E.SERVER_ERROR, _NOT_DONE, "the service is not available for a moment"),
    Row(None, ("HTTP_5xx",), _E.SERVER_ERROR, _UNKNOWN, "the service failed"),
    Row(None, ("STRANGE_ANSWER",), _E.SERVER_ERROR, _UNKNOWN, "an answer that says nothing"),
    Row(None, ("ADDRESS_REFUSED",), _E.CONFIGURATION, _NOT_DONE, "the service is at an internal address"),
    Row(None, ("CONNECT_FAILED",), _E.NETWORK, _NOT_DONE, "the service could not be reached"),
    Row(None, ("CONNECTION_LOST",), _E.NETWORK, _UNKNOWN, "the connection was lost before the answer"),
    Row(None, ("TIMEOUT",), _E.TIMEOUT, _UNKNOWN, "the service did not answer in time"),
)
_STRANGE: Final = next(row for row in TABLE if "STRANGE_ANSWER" in row.codes)


def http_codes(status: int) -> tuple[str, str]:
    """Give the codes of an HTTP status, the most telling first."""
    return f"HTTP_{status}", f"HTTP_{status // 100}xx"


def row_of(step: Step, codes: tuple[str, ...]) -> Row:
    """Give the row of the first of these codes that the table has."""
    for code in codes:
        for row in TABLE:
            if code in row.codes and row.step in (None, step):
                return row
    return _STRANGE


def failure(step: Step, codes: tuple[str, ...], retry_after: timedelta | None = None) -> Failed:
    """Give the result of an attempt that failed like this."""
    row = row_of(step, codes)
    return Failed(
        row.error_class,
        codes[0],
        row.meaning,
        Certainty.NOT_DONE if step is Step.READ else row.certainty,
        retry_after,
        PROVIDER,
        lane=LANE if retry_after is not None else "",
        needs_reauthorisation=row.then is Then.HOLD,
    )
