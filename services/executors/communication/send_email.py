"""Sends an e-mail through the account's provider. The registry finds ACTION.

SMTP and SendGrid know no keys: a message is handed over at most once, and carries the effect's name, so that
whoever finds two knows them for one.
"""

import re
from dataclasses import dataclass
from html import escape
from typing import Annotated, Final, Literal, Protocol
from urllib.parse import quote

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, model_validator

from services.executors.action import (
    ActionConfig,
    ActionDefinition,
    Call,
    Certainty,
    DeliveryClass,
    EffectKey,
    ErrorClass,
    Failed,
    JsonObject,
    Result,
    succeeded,
)
from services.executors.communication.email import CHANNEL, NO_CONTROL, EmailProvider, OutgoingEmail
from services.executors.communication.tracking import Tracking
from services.executors.config_faults import is_publishing
from services.executors.mail.addresses import InvalidAddressError, Sender, deliverable
from services.executors.providers.effect_token import EffectTokens
from services.executors.providers.offering import Chosen
from services.executors.providers.provider import ProviderError

_BODY_MAX: Final = 200_000
_COPIES_MAX: Final = 10
_HEADERS_MAX: Final = 20
_HEADER: Final = re.compile(r"[Xx]-[A-Za-z0-9-]{1,70}")
_BODY: Final = re.compile(r"<body\b[^>]*>", re.IGNORECASE)
_HIDDEN: Final = "display:none;max-height:0;overflow:hidden"


def _address(text: str, info: ValidationInfo) -> str:
    # Only where a person wrote it: of a rendered one the contact is at fault, which is not CONFIGURATION.
    if text and is_publishing(info):
        deliverable(text)
    return text


def _headers(headers: dict[str, str]) -> dict[str, str]:
    if len(headers) > _HEADERS_MAX:
        raise ValueError(f"at most {_HEADERS_MAX} headers")
    for name in headers:
        if not _HEADER.fullmatch(name):
            raise ValueError(f"{name[:40]!r} is not a header that begins with X-")
    return headers


Line = Annotated[str, StringConstraints(max_length=998, pattern=NO_CONTROL)]
AddressText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=320, pattern=NO_CONTROL),
    AfterValidator(_address),
]
Body = Annotated[str, StringConstraints(max_length=_BODY_MAX)]
Copies = Annotated[tuple[AddressText, ...], Field(max_length=_COPIES_MAX)]
Headers = Annotated[dict[str, Line], AfterValidator(_headers)]


class Config(ActionConfig):
    """The message."""

    to: Annotated[AddressText | None, Field(description="Recipient; the contact's email if left out.")] = None
    subject: Annotated[Line, StringConstraints(min_length=1)]
    text: Annotated[Body | None, Field(description="Plain text; needed unless there is html.")] = None
    html: Annotated[Body | None, Field(description="HTML; needed unless there is text.")] = None
    category: Annotated[
        Literal["marketing", "transactional"],
        Field(description="Marketing can be unsubscribed from, and asks consent and quiet hours."),
    ] = "marketing"
    from_email: Annotated[
        AddressText | None, Field(description="Sender, of the provider's verified ones; its own if left out.")
    ] = None
    from_name: Annotated[Line | None, Field(description="Shown sender; the provider's if left out.")] = None
    reply_to: AddressText | None = None
    cc: Annotated[Copies, Field(description="Who gets a copy that others see.")] = ()
    bcc: Annotated[Copies, Field(description="Who gets a copy that nobody sees.")] = ()
    preheader: Annotated[Line | None, Field(description="Shown beside the subject in lists; html only.")] = (
        None
    )
    headers: Annotated[Headers, Field(description="More headers; names begin with X-.")] = Field(
        default_factory=dict
    )
    track_clicks: Annotated[bool, Field(description="Lead links of the html over ours.")] = False
    track_opens: Annotated[bool, Field(description="Add a pixel to the html.")] = False

    @model_validator(mode="after")
    def _check_body(self) -> "Config":
        if not self.text and not self.html:
            raise ValueError("needs text, html or both")
        return self


@dataclass(frozen=True, slots=True)
class Post:
    """What sending takes: each account's provider, and what makes links of our own."""

    providers: Chosen[EmailProvider]
    tokens: EffectTokens
    tracking: Tracking


class HasPost(Protocol):
    """What this action needs of its tools."""

    @property
    def post(self) -> Post:
        """What sending takes."""
        ...


async def run(call: Call[Config], tools: HasPost) -> Result:
    """Hand the message to the account's provider."""
    post = tools.post
    raw = call.config.to or call.contact.get("email")
    if not isinstance(raw, str) or not raw.strip():
        return _no_address("NO_ADDRESS", "the contact has no e-mail address")
    try:
        async with post.providers.acting(call.key.account_id) as provider:
            message = outgoing(call, post, raw.strip(), provider.sender)
            accepted = await provider.send(message, call.gate)
    except InvalidAddressError:
        return _no_address("INVALID_ADDRESS", "an address of this message is not a valid e-mail address")
    except ProviderError as error:
        return error.failed
    refs = {"message_id": message.message_id, **accepted.refs}
    return succeeded({"message_id": message.message_id, "provider": provider.name}, refs=refs)


def outgoing(call: Call[Config], post: Post, recipient: str, default: Sender) -> OutgoingEmail:
    """Make the message: the same over all attempts at an effect. Raises InvalidAddressError."""
    config, key = call.config, call.key
    address = deliverable(config.from_email) if config.from_email else default.address
    sender = Sender(config.from_name or default.name, address)
    token = post.tokens.make(key, call.contact_id)
    html = post.tracking.tracked(
        _with_preheader(config.html or "", config.preheader or ""),
        key.account_id,
        token,
        clicks=config.track_clicks,
        opens=config.track_opens,
    )
    marketing = config.category == "marketing"
    return OutgoingEmail(
        key=key,
        token=token,
        message_id=message_id(key, sender),
        sender=sender,
        recipient=deliverable(recipient),
        reply_to=deliverable(config.reply_to) if config.reply_to else "",
        subject=config.subject,
        text=config.text or "",
        html=html,
        cc=tuple(map(deliverable, config.cc)),
        bcc=tuple(map(deliverable, config.bcc)),
        headers={**config.headers, **(post.tracking.unsubscribe_headers(token) if marketing else {})},
        categories=(config.category,),
    )


def message_id(key: EffectKey, sender: Sender) -> str:
    """Give the Message-ID of an effect: the same over all its attempts."""
    step = quote(key.step_id, safe="").replace("~", "%7E").replace(".", "%2E")
    return f"<{key.execution_id}.{step}.{key.visit}@wayfarer.{sender.domain}>"


def preview(call: Call[Config]) -> JsonObject:
    """Show the message as it would be sent, without the headers and links made at sending."""
    shown: JsonObject = call.config.model_dump(mode="json")
    shown["to"] = call.config.to or call.contact.get("email") or None
    return {name: value for name, value in shown.items() if value}


def _with_preheader(html: str, preheader: str) -> str:
    if not html or not preheader:
        return html
    hidden = f'<div style="{_HIDDEN}">{escape(preheader)}</div>'
    body = _BODY.search(html)
    place = body.end() if body else 0
    return html[:place] + hidden + html[place:]


def _no_address(code: str, text: str) -> Failed:
    return Failed(ErrorClass.CONTACT_DATA, code, text, Certainty.NOT_DONE)


ACTION: Final = ActionDefinition(
    name="send_email",
    summary="Sends an e-mail to the contact, or to a given address.",
    config=Config,
    sample={"subject": "Welcome", "text": "Hello, and welcome."},
    delivery=DeliveryClass.UNKEYED_AT_MOST_ONCE,
    run=run,
    preview=preview,
    contact_fields=("email",),
    sensitive_fields=("to", "subject", "text", "html", "reply_to", "cc", "bcc", "preheader", "headers"),
    lanes=(CHANNEL,),
    channel=CHANNEL,
)
