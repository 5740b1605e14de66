"""What an SMTP failure means, as a table; send_email reads it row by row, the first match counts."""

from dataclasses import dataclass
from typing import Final

from services.executors.action import Certainty, ErrorClass, Failed
from services.executors.communication.mailer import MailError, Stage

PROVIDER: Final = "smtp"


@dataclass(frozen=True, slots=True)
class Row:
    """Replies `low`..`high` at one of `stages` are of this class; 0 is no reply at all."""

    stages: tuple[Stage, ...]
    low: int
    high: int
    error_class: ErrorClass
    certainty: Certainty
    meaning: str


_ANY: Final = tuple(Stage)
_ENVELOPE: Final = (Stage.CONNECT, Stage.SENDER, Stage.RECIPIENT)
_DONE_NOTHING: Final = Certainty.NOT_DONE

TABLE: Final = (
    Row(_ENVELOPE, 0, 0, ErrorClass.NETWORK, _DONE_NOTHING, "the mail server could not be reached"),
    Row(
        (Stage.CONTENT,),
        0,
        0,
        ErrorClass.INDETERMINATE,
        Certainty.INDETERMINATE,
        "the connection was lost while the message was being handed over",
    ),
    Row(_ANY, 421, 421, ErrorClass.SERVER_ERROR, _DONE_NOTHING, "the mail server is not available now"),
    Row(_ANY, 454, 454, ErrorClass.SERVER_ERROR, _DONE_NOTHING, "the login is not possible now"),
    Row(_ANY, 400, 499, ErrorClass.SERVER_ERROR, _DONE_NOTHING, "the mail server asks to try again later"),
    Row(_ANY, 530, 538, ErrorClass.AUTHENTICATION, _DONE_NOTHING, "the mail server refuses our login"),
    Row((Stage.CONNECT,), 500, 599, ErrorClass.AUTHORIZATION, _DONE_NOTHING, "the mail server refuses us"),
    Row((Stage.SENDER,), 500, 599, ErrorClass.CONFIGURATION, _DONE_NOTHING, "the sender is refused"),
    Row((Stage.RECIPIENT,), 500, 599, ErrorClass.CONTACT_DATA, _DONE_NOTHING, "the recipient is refused"),
    Row((Stage.CONTENT,), 550, 551, ErrorClass.CONTACT_DATA, _DONE_NOTHING, "the recipient is refused"),
    Row((Stage.CONTENT,), 500, 599, ErrorClass.VALIDATION, _DONE_NOTHING, "the message is refused"),
)

_STRANGE: Final = Row(
    _ANY, 0, 999, ErrorClass.INDETERMINATE, Certainty.INDETERMINATE, "an answer SMTP does not know"
)


def failure(error: MailError) -> Failed:
    """Give the result of a message that was not taken."""
    row = next(
        (row for row in TABLE if error.stage in row.stages and row.low <= error.code <= row.high), _STRANGE
    )
    code = str(error.code) if error.code else f"{error.stage.name}_FAILED"
    return Failed(row.error_class, code, row.meaning, row.certainty, provider=PROVIDER)
