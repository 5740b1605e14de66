"""The account's settings, changed part by part: hours, sending, limits, notices, retention."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
import orjson
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from starlette.requests import Request
from wayfarer.admin.v1 import account_pb2
from wayfarer.admin.v1 import admin_service_pb2 as pb

from services.gateway.console.api import Api, Trouble
from services.gateway.console.forms import Done, Field, Form, Option, Question, ask
from services.gateway.console.rendering import Page
from services.gateway.console.words import words

_DAYS: Final = [Option(day, day.title()) for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")]
_CHANNELS: Final = [Option(name, words(name)) for name in ("email", "sms", "voice", "messenger")]
_HHMM: Final = "HH:MM, by the clock of the time zone."
_NO_PART: Final = Trouble(grpc.StatusCode.NOT_FOUND, "There is no such part of the settings.", "", ())
Values = Mapping[str, str | list[str]]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the settings: its fields, what they hold, and the account that they make.

    `paths` is what the API is told has changed; `names` are the fields by the API's name for them.
    """

    title: str
    line: str
    paths: tuple[str, ...]
    fields: tuple[Field, ...]
    names: Mapping[str, str]
    shown: Callable[[account_pb2.Account], Values]
    made: Callable[[Form, account_pb2.Account], None]


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def _hours_shown(account: account_pb2.Account) -> Values:
    settings, hours = account.settings, account.settings.business_hours
    told = MessageToDict(hours, preserving_proto_field_name=True)
    return {
        "time_zone": settings.time_zone,
        "open": "on" if settings.HasField("business_hours") else "",
        "days": list(hours.days) or ["mon", "tue", "wed", "thu", "fri"],
        "from": told.get("from", "09:00"),
        "to": told.get("to", "17:00"),
        "holidays": "\n".join(settings.holidays),
    }


def _hours_made(form: Form, account: account_pb2.Account) -> None:
    settings = account.settings
    settings.time_zone = form.get("time_zone")
    settings.ClearField("business_hours")
    if form.get("open"):
        given: dict[str, Any] = {"from": form.get("from"), "to": form.get("to"), "days": form.all("days")}
        settings.business_hours.CopyFrom(account_pb2.BusinessHours(**given))
    del settings.holidays[:]
    settings.holidays.extend(_lines(form.raw("holidays")))


def _window_fields(prefix: str, group: str, hint: str) -> tuple[Field, ...]:
    return (
        Field(f"{prefix}_from", "From", group=group, hint=hint, placeholder="21:00"),
        Field(f"{prefix}_to", "To", group=group, placeholder="08:00"),
        Field(f"{prefix}_time_zone", "Whose clock", group=group,
              hint="contact, account, workflow or an IANA name; the contact's if left out."),
        Field(f"{prefix}_days", "On", "checks", "On every day if none is chosen.", _DAYS, group=group),
        Field(f"{prefix}_channels", "For", "checks", "For all if none is chosen.", _CHANNELS, group=group),
    )  # fmt: skip


_WINDOWS: Final = (("quiet", "quiet_hours"), ("window", "send_window"))


def _sending_shown(account: account_pb2.Account) -> Values:
    sending = account.settings.sending
    caps = [MessageToDict(cap, preserving_proto_field_name=True) for cap in sending.frequency_caps]
    values: dict[str, str | list[str]] = {
        "explicit_consent": list(sending.explicit_consent),
        "frequency_caps": orjson.dumps(caps, option=orjson.OPT_INDENT_2).decode() if caps else "",
    }
    for prefix, name in _WINDOWS:
        told = MessageToDict(getattr(sending, name), preserving_proto_field_name=True)
        values |= {f"{prefix}_{part}": told.get(part, "") for part in ("from", "to", "time_zone")}
        values |= {f"{prefix}_{part}": told.get(part, []) for part in ("days", "channels")}
    return values


def _sending_made(form: Form, account: account_pb2.Account) -> None:
    sending = account.settings.sending
    for prefix, name in _WINDOWS:
        before = getattr(sending, name)
        kept = {"categories": list(before.categories), "spread": before.spread}
        sending.ClearField(name)  # type: ignore[arg-type]
        texts = {part: form.get(f"{prefix}_{part}") for part in ("from", "to", "time_zone")}
        if texts["from"] or texts["to"]:
            lists = {part: form.all(f"{prefix}_{part}") for part in ("days", "channels")}
            had = {"spread": kept["spread"]} if kept["spread"] != Duration() else {}
            made: dict[str, Any] = {**texts, **lists, "categories": kept["categories"], **had}
            getattr(sending, name).CopyFrom(account_pb2.SendingHours(**made))
    del sending.explicit_consent[:]
    sending.explicit_consent.extend(form.all("explicit_consent"))
    del sending.frequency_caps[:]
    text = form.get("frequency_caps") or "[]"
    try:
        ParseDict({"frequency_caps": orjson.loads(text)}, sending)
    except (orjson.JSONDecodeError, ParseError) as error:
        form.refuse("frequency_caps", f"Not a list of caps: {error}.")


def _limits_shown(account: account_pb2.Account) -> Values:
    lines = []
    for lane, rate in sorted(account.settings.rates.items()):
        parts = [f"{rate.per_second:g}/s"] * bool(rate.per_second) + [f"{rate.per_day}/day"] * bool(
            rate.per_day
        )
        lines.append(" ".join([lane, *parts]))
    return {"active_limit": str(account.active_limit), "rates": "\n".join(lines)}


def _limits_made(form: Form, account: account_pb2.Account) -> None:
    account.active_limit = form.whole("active_limit", 1, 100_000)
    account.settings.rates.clear()
    for line in _lines(form.raw("rates")):
        lane, *told = line.split()
        rate = account_pb2.Rate()
        for part in told:
            number, _, per = part.partition("/")
            try:
                match per:
                    case "s":
                        rate.per_second = float(number)
                    case "day":
                        rate.per_day = int(number)
                    case _:
                        raise ValueError(part)
            except ValueError:
                form.refuse("rates", f"{line!r}: write a lane and rates, as email 50/s 200000/day.")
        account.settings.rates[lane].CopyFrom(rate)


def _told_shown(account: account_pb2.Account) -> Values:
    told = account.settings.notifications
    return {
        "off": "on" if told.off else "",
        **{name: "\n".join(getattr(told, name)) for name in ("email", "webhook", "slack")},
        "digest": str(told.digest.seconds) if told.HasField("digest") else "",
    }


def _told_made(form: Form, account: account_pb2.Account) -> None:
    digest = form.whole("digest", 0, 3_600)
    told = account_pb2.Notifications(
        off=bool(form.get("off")),
        **{name: _lines(form.raw(name)) for name in ("email", "webhook", "slack")},
        digest=Duration(seconds=digest) if digest else None,
    )
    account.settings.notifications.CopyFrom(told)


def _kept_shown(account: account_pb2.Account) -> Values:
    kept = account.settings.retention
    return {name: str(getattr(kept, name) or "") for name in ("history_days", "event_days")}


def _kept_made(form: Form, account: account_pb2.Account) -> None:
    days = {name: form.whole(name, 0, 3_650) for name in ("history_days", "event_days")}
    account.settings.retention.CopyFrom(account_pb2.Retention(**days))


PARTS: Final[Mapping[str, Part]] = {
    "hours": Part(
        "Hours of the account",
        "What business hours and days in waits count, and the time zone of whoever has none.",
        ("settings.time_zone", "settings.business_hours", "settings.holidays"),
        (
            Field("time_zone", "Time zone", placeholder="Europe/Berlin"),
            Field("open", "Business hours are set", "check", group="Business hours"),
            Field("from", "From", hint=_HHMM, group="Business hours"),
            Field("to", "To", group="Business hours"),
            Field("days", "On", "checks", options=_DAYS, group="Business hours"),
            Field("holidays", "Holidays", "area", "One per line: 2026-12-25, or 12-25 for every year."),
        ),
        {
            "settings.time_zone": "time_zone",
            "settings.business_hours": "from",
            "settings.holidays": "holidays",
        },
        _hours_shown,
        _hours_made,
    ),
    "sending": Part(
        "When and how often contacts are written to",
        "Marketing alone, unless a rule says otherwise; what must wait goes when it may.",
        ("settings.sending",),
        (
            *_window_fields("quiet", "Quiet hours: nothing is sent", "Left out: none."),
            *_window_fields("window", "Send window: only then something is sent", "Left out: at any time."),
            Field("explicit_consent", "A consent is needed first", "checks", options=_CHANNELS),
            Field("frequency_caps", "Frequency caps", "code",
                  'JSON, e.g. [{"most": 3, "per": "604800s", "channels": ["email"], "then": "defer"}]'),
        ),
        {
            **{
                f"settings.sending.{name}{dot}{part}": f"{prefix}_{part or 'from'}"
                for prefix, name in _WINDOWS
                for dot, part in ((".", "from"), (".", "to"), (".", "time_zone"), (".", "days"),
                                  (".", "channels"), ("", ""))
            },
            "settings.sending.frequency_caps": "frequency_caps",
            "settings.sending.explicit_consent": "explicit_consent",
        },
        _sending_shown,
        _sending_made,
    ),
    "limits": Part(
        "Limits",
        "How much may be under way, and go out, at once; what is more waits its turn.",
        ("active_limit", "settings.rates"),
        (
            Field("active_limit", "Executions active at once", "number", "1 to 100,000."),
            Field("rates", "Rates by lane", "area", "One lane per line: email 50/s 200000/day", rows=5),
        ),
        {"account.active_limit": "active_limit", "settings.rates": "rates"},
        _limits_shown,
        _limits_made,
    ),
    "notifications": Part(
        "Who is told of failures",
        "Like failures within a short time are told of together.",
        ("settings.notifications",),
        (
            Field("off", "Tell nobody", "check"),
            Field("email", "E-mail addresses", "area", "One per line.", rows=3),
            Field("webhook", "Webhooks", "area", "One URL per line; each gets a JSON body.", rows=3),
            Field("slack", "Slack's incoming webhooks", "area", "One URL per line.", rows=2),
            Field("digest", "Together within, seconds", "number", "10 to 3,600; a minute if left out."),
        ),
        {f"settings.notifications.{name}": name for name in ("email", "webhook", "slack", "digest")},
        _told_shown,
        _told_made,
    ),
    "retention": Part(
        "How long things are kept",
        "What is past its time is deleted for good.",
        ("settings.retention",),
        (
            Field("history_days", "Executions and logs, days", "number", "Left out: the platform's time."),
            Field("event_days", "Events, days", "number", "From 30; left out: the platform's time."),
        ),
        {f"settings.retention.{name}": name for name in ("history_days", "event_days")},
        _kept_shown,
        _kept_made,
    ),
}  # fmt: skip


async def change(request: Request, api: Api, form: Form) -> Page | Done:
    """One part of the settings. For keys with the role ADMIN."""
    part = PARTS.get(request.path_params["part"])
    if part is None:
        return Page("error.html", {"trouble": _NO_PART}, status=404)
    account = (await api.call(api.stubs.admin.GetAccount, pb.GetAccountRequest())).account
    form.begin(**part.shown(account))
    if form.sent:
        part.made(form, account)
    if form.sound:
        call = pb.UpdateAccountRequest(account=account, update_mask=FieldMask(paths=part.paths))
        if await form.attempt(api.call(api.stubs.admin.UpdateAccount, call), part.names) is not None:
            return Done("/console/settings", f"Saved: {part.title[:1].lower()}{part.title[1:]}.")
    question = Question(
        title=part.title,
        button="Save",
        back="/console/settings",
        lines=[part.line],
        fields=part.fields,
        crumbs=(("Settings", "/console/settings"),),
    )
    return ask(form, question)
