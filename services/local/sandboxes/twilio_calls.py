"""The Twilio sandbox's calls: who answers depends on the number, what is said may be asked; twilio.py."""

import asyncio
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from services.local.sandboxes.twilio_callbacks import Courier
from services.local.sandboxes.twilio_numbers import CALLS, NOT_ANSWERED

_LONGEST_TWIML = 4000
_TALK_S = 12


def call_fault(form: Mapping[str, str]) -> tuple[int, str] | None:
    """Give what Twilio has against the form of a new call."""
    if not form.get("Url") and not form.get("Twiml"):
        return 21205, "Url parameter is required"
    if len(form.get("Twiml", "")) > _LONGEST_TWIML:
        return 21205, "Twiml is too long"
    timeout = form.get("Timeout", "60")
    if not timeout.isdecimal() or not 1 <= int(timeout) <= 600:
        return 20001, "Timeout must be between 1 and 600"
    if form.get("MachineDetection", "Enable") not in ("Enable", "DetectMessageEnd"):
        return 20001, "Invalid MachineDetection"
    return None


async def go_on(call: dict[str, Any], form: Mapping[str, str], courier: Courier, pace_s: float) -> None:
    """Let a call take its course."""
    ending = CALLS.get(call["to"], "human")
    await asyncio.sleep(pace_s)
    call["status"] = "ringing"
    await asyncio.sleep(pace_s)
    if ending in NOT_ANSWERED:
        call["status"] = ending
    else:
        call["status"] = "in-progress"
        if "MachineDetection" in form:
            call["answered_by"] = ending
        call["said"] = await _said(call, form, courier)
        await asyncio.sleep(pace_s)
        call["status"] = "completed"
        call["duration"] = str(1 if "<Hangup" in call["said"] else _TALK_S)
    fields = call_fields(call)
    await courier.post_all(form.get("StatusCallback", ""), [fields])


async def _said(call: dict[str, Any], form: Mapping[str, str], courier: Courier) -> str:
    """Give the TwiML that is followed; empty if there is none that can be read, as Twilio then hangs up."""
    text = form.get("Twiml", "")
    if form.get("Url"):
        status, body = await courier.post(form["Url"], call_fields(call))
        text = body.decode() if status == 200 else ""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return ""
    return text if root.tag == "Response" else ""


def call_fields(call: Mapping[str, Any]) -> dict[str, str]:
    """Give what Twilio tells of a call."""
    fields = {
        "ApiVersion": "2010-04-01",
        "AccountSid": call["account_sid"],
        "CallSid": call["sid"],
        "CallStatus": call["status"],
        "Called": call["to"],
        "Caller": call["from"],
        "Direction": "outbound-api",
        "From": call["from"],
        "To": call["to"],
    }
    if call["answered_by"]:
        fields["AnsweredBy"] = call["answered_by"]
    if call["duration"] is not None:
        fields |= {
            "CallDuration": call["duration"],
            "Duration": "1",
            "CallbackSource": "call-progress-events",
        }
        fields["Timestamp"] = call["date_updated"]
    return fields
