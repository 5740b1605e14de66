"""Verifies and reads Twilio's requests to us; twilio.py calls it.

They tell how a message or a call fares and what came in, or ask what to say to whom answered.
"""

import base64
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha1
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from services.executors.action import JsonObject
from services.executors.phone import phone_faults, twiml
from services.executors.phone.callback_urls import CallbackUrls
from services.executors.phone.opting import is_opt_in, is_opt_out
from services.executors.providers.effect_token import Told
from services.executors.providers.provider import (
    Answered,
    Callback,
    CallbackRefusedError,
    Happening,
    ProviderAccount,
)

_MESSAGE_EVENTS: Final = {
    "sent": "sms_sent",
    "delivered": "sms_delivered",
    "undelivered": "sms_undelivered",
    "failed": "sms_failed",
}
_CALL_EVENTS: Final = {
    "completed": "call_completed",
    "no-answer": "call_no_answer",
    "busy": "call_busy",
    "failed": "call_failed",
    "canceled": "call_failed",
}
_OPTED: Final = {"STOP": "sms_opt_out", "START": "sms_opt_in"}
_MACHINE: Final = "machine_end"
_MOST_FIELDS: Final = 200
_NOTHING_SAID: Final = Answered((), twiml.EMPTY, twiml.CONTENT_TYPE)

Fields = Mapping[str, str]


class CallState(NamedTuple):
    """How far a call has come."""

    sid: str
    status: str
    answered_by: str
    duration_s: int

    @property
    def dropped(self) -> bool:
        """Whether a machine took the message: its greeting had ended before ours began."""
        return self.status == "completed" and self.answered_by.startswith(_MACHINE)


def verify(request: Callback, auth_token: str, account_sid: str) -> Fields:
    """Give the fields of a request that Twilio signed. Raises CallbackRefusedError."""
    if not auth_token:
        raise CallbackRefusedError("NO_SECRET")
    given = request.headers.get("x-twilio-signature", "")
    if not given:
        raise CallbackRefusedError("SIGNATURE_MISSING")
    try:
        pairs = parse_qsl(
            request.body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        if request.body:
            raise CallbackRefusedError("MALFORMED") from None
        pairs = []
    # Twilio signs the URL now with the port and now without.
    if not any(
        hmac.compare_digest(given.encode(), signature(url, pairs, auth_token).encode())
        for url in _spellings(request.url)
    ):
        raise CallbackRefusedError("SIGNATURE_WRONG")
    fields = dict(pairs)
    if fields.get("AccountSid", account_sid) != account_sid:
        raise CallbackRefusedError("OTHER_ACCOUNT")
    return fields


def signature(url: str, pairs: list[tuple[str, str]], auth_token: str) -> str:
    """Give X-Twilio-Signature: HMAC-SHA1 over the URL and the fields, sorted, each pair once."""
    signed = url + "".join(name + value for name, value in sorted(set(pairs)))
    return base64.b64encode(hmac.digest(auth_token.encode(), signed.encode(), sha1)).decode()


def read_callback(
    request: Callback, fields: Fields, urls: CallbackUrls, account: ProviderAccount
) -> Answered:
    """Say what a verified request tells, and what Twilio is to do. Raises CallbackRefusedError."""
    told = urls.told(request.url)
    if told is not None and told.effect.account_id != account.account_id:
        raise CallbackRefusedError("OTHER_ACCOUNT")
    if "CallSid" in fields:
        if urls.carries(request.url):
            return _to_be_said(request, fields, urls, account)
        return _call(request, fields, told)
    if not fields.get("MessageSid"):
        raise CallbackRefusedError("MALFORMED")
    if "MessageStatus" in fields and fields["MessageStatus"] != "received":
        return _message(request, fields, told)
    return _inbound(request, fields)


def _message(request: Callback, fields: Fields, told: Told | None) -> Answered:
    status = fields["MessageStatus"]
    kind = _MESSAGE_EVENTS.get(status)
    if kind is None:
        return Answered(())
    attributes: JsonObject = {"sid": fields["MessageSid"], "status": status}
    code = fields.get("ErrorCode", "")
    if code and code != "0":
        attributes["code"] = code
        forbids = phone_faults.suppression(phone_faults.row_of(phone_faults.TWILIO, (code,)), "sms")
        if forbids is not None:
            attributes["suppress"] = forbids.told()
    return Answered(
        (
            Happening(
                f"{fields['MessageSid']}:{status}",
                kind,
                request.received_at,
                told.effect if told is not None else None,
                told.contact_id if told is not None else None,
                fields.get("To", ""),
                attributes,
            ),
        )
    )


def _inbound(request: Callback, fields: Fields) -> Answered:
    sender, sid = fields.get("From", ""), fields["MessageSid"]
    if not sender:
        raise CallbackRefusedError("MALFORMED")
    body = fields.get("Body", "")
    attributes: JsonObject = {"sid": sid, "to": fields.get("To", ""), "body": body}
    kind = _OPTED.get(fields.get("OptOutType", "").upper()) or _by_keyword(body)
    happening = Happening(f"{sid}:received", kind, request.received_at, address=sender, attributes=attributes)
    return _NOTHING_SAID._replace(happenings=(happening,))


def _by_keyword(body: str) -> str:
    if is_opt_out(body):
        return "sms_opt_out"
    agrees = is_opt_in(body) or body.strip().upper() == "YES"  # which Twilio takes for one as well
    return "sms_opt_in" if agrees else "sms_reply"


def _call(request: Callback, fields: Fields, told: Told | None) -> Answered:
    call = call_state(fields)
    kind = _CALL_EVENTS.get(call.status)
    if kind is None:
        return _NOTHING_SAID
    attributes: JsonObject = {
        "sid": call.sid,
        "status": call.status,
        "answered_by": call.answered_by,
        "duration": call.duration_s,
        "voicemail_left": call.dropped,
    }
    if fields.get("RecordingUrl"):
        attributes["recording_url"] = fields["RecordingUrl"]
    happening = Happening(
        f"{call.sid}:{call.status}",
        kind,
        _said_at(fields.get("Timestamp", ""), request.received_at),
        told.effect if told is not None else None,
        told.contact_id if told is not None else None,
        fields.get("To", ""),
        attributes,
    )
    return _NOTHING_SAID._replace(happenings=(happening,))


def call_state(fields: Fields) -> CallState:
    """Read how far a call has come from a status callback's fields. Raises CallbackRefusedError."""
    duration = fields.get("CallDuration", "0")
    if not duration.isdecimal() or not fields.get("CallStatus"):
        raise CallbackRefusedError("MALFORMED")
    return CallState(fields["CallSid"], fields["CallStatus"], fields.get("AnsweredBy", ""), int(duration))


def _to_be_said(request: Callback, fields: Fields, urls: CallbackUrls, account: ProviderAccount) -> Answered:
    """Say the carried message to a machine, and nothing to a person."""
    to_machine = urls.carried(request.url, account.account_id)
    if to_machine and fields.get("AnsweredBy", "").startswith(_MACHINE):
        return Answered((), to_machine, twiml.CONTENT_TYPE)
    return Answered((), twiml.hang_up().encode(), twiml.CONTENT_TYPE)


def _said_at(text: str, otherwise: datetime) -> datetime:
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return otherwise
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def _spellings(url: str) -> tuple[str, ...]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return (url,)
    return url, parts._replace(netloc=host).geturl(), parts._replace(netloc=f"{host}:{port}").geturl()
