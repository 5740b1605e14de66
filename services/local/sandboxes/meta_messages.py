"""What the Meta sandbox has against a message, as Meta would say it; meta.py."""

from collections.abc import Mapping
from typing import Any, Final

_LONGEST_TEXT: Final = 2000
_TYPES: Final = ("RESPONSE", "UPDATE", "MESSAGE_TAG")
_TAGS: Final = ("HUMAN_AGENT", "ACCOUNT_UPDATE", "CONFIRMED_EVENT_UPDATE", "POST_PURCHASE_UPDATE")
REFUSED: Final = {
    "9000000000000010": (10, 2018278, "This message is sent outside of allowed window."),
    "9000000000000551": (551, 0, "This person isn't available right now."),
    "9000000000002018": (100, 2018001, "No matching user found"),
    "9000000000000368": (368, 0, "The action attempted has been deemed abusive or is otherwise disallowed"),
    "9000000000000200": (200, 0, "Requires pages_messaging permission to manage the object"),
    "9000000000001893": (10, 1893063, "The page is restricted from sending messages"),
}
"""By page-scoped id of the recipient."""


def message_fault(body: Mapping[str, Any]) -> tuple[int, int, str] | None:
    """Give code, subcode and message of what is wrong; None if it would be taken."""
    recipient, message = body.get("recipient"), body.get("message")
    person = recipient.get("id") if isinstance(recipient, dict) else None
    if not isinstance(person, str) or not person.isdigit():
        return 100, 0, "(#100) The parameter recipient is required"
    if not isinstance(message, dict) or ("text" in message) == ("attachment" in message):
        return 100, 2018109, "(#100) The message cannot be empty. Must provide valid attachment or text."
    if len(message.get("text", "")) > _LONGEST_TEXT:
        return 100, 0, "(#100) Length of param message[text] must be less than or equal to 2000"
    if body.get("messaging_type") not in _TYPES:
        return 100, 0, "(#100) Param messaging_type must be one of {RESPONSE, UPDATE, MESSAGE_TAG}"
    if (body["messaging_type"] == "MESSAGE_TAG") != (body.get("tag") in _TAGS):
        return 100, 0, "(#100) Param tag must be one of the supported tags"
    return REFUSED.get(person)
