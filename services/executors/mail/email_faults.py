"""What every e-mail provider's refusals mean, as one table; the providers read it, the first match counts.

A message that was answered 5xx over HTTP may have been taken all the same, except with 503; a 4xx says that
it was not. SMTP says so stage by stage.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Final

from services.executors.action import Certainty, ErrorClass, Failed


class Stage(Enum):
    """How far a message came over SMTP."""

    CONNECT = "connect"
    SENDER = "sender"
    RECIPIENT = "recipient"
    CONTENT = "content"


class SideEffect(Enum):
    """What a refusal says beyond its own message."""

    NONE = "none"
    ADDRESS_SUPPRESSED = "address_suppressed"
    """The address does not exist: write to it no more."""
    ADDRESS_BOUNCED_SOFT = "address_bounced_soft"
    """It exists and cannot take mail now; several of these are as good as a suppression."""
    NEEDS_REAUTHORISATION = "needs_reauthorisation"
    """The account's credentials are of no use any more: its choice of provider is marked."""


@dataclass(frozen=True, slots=True)
class Row:
    """Answers `low`..`high` of a provider; 0 is no answer at all after the message began to leave."""

    provider: str
    low: int
    high: int
    error_class: ErrorClass
    certainty: Certainty
    meaning: str
    stages: tuple[Stage, ...] = tuple(Stage)
    names: tuple[str, ...] = ()
    """How the provider's own name of the fault begins; empty for any."""
    side_effect: SideEffect = SideEffect.NONE
    pause: timedelta = timedelta(0)
    """How long its lane waits at least; what the provider asks for is mostly of its shortest window."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What a provider answered."""

    provider: str
    code: int
    name: str = ""
    """SMTP: the enhanced status; SendGrid: the field at fault; Resend: the error's name."""
    stage: Stage = Stage.CONTENT
    retry_after: timedelta | None = None
    timed_out: bool = False


UNSUPPORTED: Final = "unsupported"
"""The name of the fault that a mail server lacks what it is to be used with."""

SMTP: Final = "smtp"
SENDGRID: Final = "sendgrid"
RESEND: Final = "resend"

_E = ErrorClass
_NOT: Final = Certainty.NOT_DONE
_UNSURE: Final = Certainty.INDETERMINATE
_ENVELOPE: Final = (Stage.CONNECT, Stage.SENDER, Stage.RECIPIENT)
_TO: Final = (Stage.RECIPIENT, Stage.CONTENT)
_GONE: Final = SideEffect.ADDRESS_SUPPRESSED
_FULL: Final = SideEffect.ADDRESS_BOUNCED_SOFT
_REAUTH: Final = SideEffect.NEEDS_REAUTHORISATION
_HOUR: Final = timedelta(hours=1)
_CANNOT: Final = "the mail server offers no encryption, or no login, as configured"
_LOST: Final = "the connection was lost while the message was being handed over"

TABLE: Final = (
    Row(SMTP, 0, 0, _E.CONFIGURATION, _NOT, _CANNOT, (Stage.CONNECT,), (UNSUPPORTED,)),
    Row(SMTP, 0, 0, _E.NETWORK, _NOT, "the mail server could not be reached", _ENVELOPE),
    Row(SMTP, 0, 0, _E.INDETERMINATE, _UNSURE, _LOST),
    Row(SMTP, 421, 421, _E.SERVER_ERROR, _NOT, "the mail server is not available now"),
    Row(SMTP, 454, 454, _E.SERVER_ERROR, _NOT, "the login is not possible now"),
    Row(SMTP, 400, 499, _E.SERVER_ERROR, _NOT, "the mail server asks to try again later"),
    Row(SMTP, 530, 538, _E.AUTHENTICATION, _NOT, "the mail server refuses our login", side_effect=_REAUTH),
    Row(SMTP, 500, 599, _E.AUTHORIZATION, _NOT, "the mail server refuses us", (Stage.CONNECT,)),
    Row(SMTP, 500, 599, _E.CONFIGURATION, _NOT, "the sender is refused", (Stage.SENDER,)),
    Row(SMTP, 550, 559, _E.CONTACT_DATA, _NOT, "the mailbox is full", _TO, ("5.2.2",), _FULL),
    Row(SMTP, 550, 559, _E.VALIDATION, _NOT, "the message is refused by a rule", _TO, ("5.7.",)),
    Row(SMTP, 550, 551, _E.CONTACT_DATA, _NOT, "the recipient is refused", _TO, side_effect=_GONE),
    Row(SMTP, 553, 553, _E.CONTACT_DATA, _NOT, "the recipient is refused", (Stage.RECIPIENT,), (), _GONE),
    Row(SMTP, 500, 599, _E.CONTACT_DATA, _NOT, "the recipient is refused", (Stage.RECIPIENT,)),
    Row(SMTP, 500, 599, _E.VALIDATION, _NOT, "the message is refused"),
    Row(SENDGRID, 0, 0, _E.INDETERMINATE, _UNSURE, _LOST),
    Row(SENDGRID, 300, 399, _E.CONFIGURATION, _NOT, "the address of the API is another"),
    Row(
        SENDGRID,
        400,
        400,
        _E.CONTACT_DATA,
        _NOT,
        "the recipient is refused",
        names=("personalizations.0.to",),
    ),
    Row(SENDGRID, 400, 400, _E.CONFIGURATION, _NOT, "the sender is refused", names=("from",)),
    Row(SENDGRID, 400, 400, _E.VALIDATION, _NOT, "the message is refused"),
    Row(SENDGRID, 401, 401, _E.AUTHENTICATION, _NOT, "the API key is refused", side_effect=_REAUTH),
    Row(SENDGRID, 403, 403, _E.AUTHORIZATION, _NOT, "the sender, or the API key, may not send this"),
    Row(SENDGRID, 404, 406, _E.CONFIGURATION, _NOT, "the address of the API is another"),
    Row(SENDGRID, 408, 408, _E.TIMEOUT, _NOT, "the message took too long to arrive"),
    Row(SENDGRID, 413, 413, _E.VALIDATION, _NOT, "the message is too large"),
    Row(SENDGRID, 429, 429, _E.RATE_LIMIT, _NOT, "too many messages at once"),
    Row(SENDGRID, 451, 451, _E.CONFIGURATION, _NOT, "the account's region does not take this"),
    Row(SENDGRID, 400, 499, _E.VALIDATION, _NOT, "the message is refused"),
    Row(SENDGRID, 503, 503, _E.SERVER_ERROR, _NOT, "the provider is not available now"),
    Row(SENDGRID, 500, 599, _E.SERVER_ERROR, _UNSURE, "the provider failed"),
    Row(RESEND, 0, 0, _E.INDETERMINATE, _UNSURE, _LOST),
    Row(RESEND, 300, 399, _E.CONFIGURATION, _NOT, "the address of the API is another"),
    Row(RESEND, 401, 401, _E.AUTHENTICATION, _NOT, "the API key is refused", side_effect=_REAUTH),
    Row(
        RESEND,
        403,
        403,
        _E.AUTHENTICATION,
        _NOT,
        "the API key is refused",
        names=("invalid_api_key",),
        side_effect=_REAUTH,
    ),
    Row(RESEND, 403, 403, _E.AUTHORIZATION, _NOT, "the sender's domain is not verified"),
    Row(RESEND, 404, 405, _E.CONFIGURATION, _NOT, "the address of the API is another"),
    Row(RESEND, 408, 408, _E.TIMEOUT, _NOT, "the message took too long to arrive"),
    # Either means that a message of this effect is there, or on its way.
    Row(RESEND, 409, 409, _E.INDETERMINATE, _UNSURE, "another message of this effect was taken before"),
    Row(RESEND, 413, 413, _E.VALIDATION, _NOT, "the message is too large"),
    Row(RESEND, 422, 422, _E.CONFIGURATION, _NOT, "the sender is refused", names=("invalid_from_address",)),
    Row(
        RESEND,
        429,
        429,
        _E.RATE_LIMIT,
        _NOT,
        "the account's quota is used up",
        names=("daily_quota_exceeded", "monthly_quota_exceeded"),
        pause=_HOUR,
    ),
    Row(RESEND, 429, 429, _E.RATE_LIMIT, _NOT, "too many messages at once"),
    Row(RESEND, 400, 499, _E.VALIDATION, _NOT, "the message is refused"),
    Row(RESEND, 503, 503, _E.SERVER_ERROR, _NOT, "the provider is not available now"),
    Row(RESEND, 500, 599, _E.SERVER_ERROR, _UNSURE, "the provider failed"),
)

_STRANGE: Final = "an answer that is not known"


def row_of(fault: Fault) -> Row:
    """Give the row that says what a fault means."""
    for row in TABLE:
        named = not row.names or fault.name.startswith(row.names)
        fits = row.provider == fault.provider and row.low <= fault.code <= row.high
        if fits and named and fault.stage in row.stages:
            return row
    return Row(fault.provider, fault.code, fault.code, _E.INDETERMINATE, _UNSURE, _STRANGE)


def failure(fault: Fault, lane: str = "") -> Failed:
    """Give the result of a message that was not taken; `lane` is what must pause if the provider says so."""
    row = row_of(fault)
    pause = fault.retry_after if fault.code in (421, 429, 503) else None
    if row.pause:
        pause = max(pause or row.pause, row.pause)
    error_class = _E.TIMEOUT if fault.timed_out and row.error_class is _E.INDETERMINATE else row.error_class
    return Failed(
        error_class,
        _code(fault),
        row.meaning,
        row.certainty,
        pause,
        fault.provider,
        lane=lane if pause is not None else "",
        needs_reauthorisation=row.side_effect is SideEffect.NEEDS_REAUTHORISATION,
    )


def unreachable(provider: str, *, refused: bool = False) -> Failed:
    """Give the result of a message that never began to leave; `refused` if we may not go there."""
    if refused:
        text = "the provider's address is internal and may not be used"
        return Failed(_E.CONFIGURATION, "ADDRESS_REFUSED", text, _NOT, provider=provider)
    text = "the provider could not be reached"
    return Failed(_E.NETWORK, "CONNECT_FAILED", text, _NOT, provider=provider)


def _code(fault: Fault) -> str:
    if fault.provider == SMTP:
        named = fault.name == UNSUPPORTED
        return str(fault.code) if fault.code else f"{fault.stage.name}_{'UNSUPPORTED' if named else 'FAILED'}"
    if not fault.code:
        return "TIMEOUT" if fault.timed_out else "CONNECTION_LOST"
    named = fault.provider == RESEND and fault.name.isidentifier()
    return fault.name.upper()[:64] if named else f"HTTP_{fault.code}"
