"""The providers an account acts through: chosen, changed, forgotten; credentials are only written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from starlette.requests import Request
from wayfarer.admin.v1 import admin_service_pb2 as pb

from services.gateway.console.api import Api
from services.gateway.console.forms import Done, Field, Form, Question, ask, read_json
from services.gateway.console.rendering import Page, plain
from services.gateway.console.words import words

_CRUMBS: Final = (("Settings", "/console/settings"),)


@dataclass(frozen=True, slots=True)
class Offered:
    """What a provider asks for: settings of one line, those written as JSON, and credentials."""

    about: str
    settings: tuple[str, ...]
    objects: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()


OFFERED: Final[Mapping[tuple[str, str], Offered]] = {
    ("email", "smtp"): Offered(
        "A mail server of yours.",
        ("host", "port", "security", "from_email", "from_name"),
        (),
        ("user", "password"),
    ),
    ("email", "sendgrid"): Offered(
        "Twilio SendGrid.", ("from_email", "from_name", "base_url"), (), ("api_key",)
    ),
    ("email", "resend"): Offered(
        "Resend.", ("from_email", "from_name", "base_url"), (), ("api_key", "webhook_secret")
    ),
    ("sms", "twilio"): Offered(
        "Texts by Twilio.",
        ("account_sid", "from_number", "messaging_service_sid", "base_url"),
        (),
        ("auth_token", "api_key_sid", "api_key_secret"),
    ),
    ("voice", "twilio"): Offered(
        "Calls and voicemail by Twilio.",
        ("account_sid", "from_number", "base_url"),
        (),
        ("auth_token", "api_key_sid", "api_key_secret"),
    ),
    ("messenger", "meta"): Offered(
        "Messenger, by a page.",
        ("page_id", "base_url"),
        (),
        ("page_token", "app_secret", "verify_token"),
    ),
    ("courses", "thinkific"): Offered(
        "Courses at Thinkific.", ("subdomain", "base_url"), ("course_ids",), ("api_key",)
    ),
    ("crm", "leadconnector"): Offered(
        "Contacts at LeadConnector.",
        ("location_id", "base_url", "opportunity_effect_field"),
        ("users", "pipelines", "campaigns", "workflows", "fields"),
        ("access_token",),
    ),
    ("slack", "slack"): Offered(
        "Notices to the team in Slack.", ("channel", "base_url"), (), ("webhook_url", "bot_token")
    ),
    ("notify_webhook", "webhook"): Offered(
        "Notices to the team by webhook.", ("url",), (), ("signing_secret",)
    ),
}


async def offered(request: Request, api: Api, form: Form) -> Page:
    """Which provider to choose, by channel."""
    return Page("providers.html", {"offered": OFFERED})


async def choose(request: Request, api: Api, form: Form) -> Page | Done:
    """A provider of a channel, with its settings and credentials."""
    channel, provider = request.path_params["channel"], request.path_params["provider"]
    wants = OFFERED.get((channel, provider))
    if wants is None:
        return await offered(request, api, form)
    listed = await api.call(api.stubs.admin.ListProviders, pb.ListProvidersRequest())
    known = next(
        (one for one in listed.providers if (one.channel, one.provider) == (channel, provider)), None
    )
    before = plain(known.settings) if known is not None else {}
    form.begin(**_texts(wants, before))
    fields = _fields(wants, list(known.credential_names) if known is not None else [])
    settings = _settings(form, wants, before) if form.sent else {}
    if form.sound:
        made = Struct()
        ParseDict(settings, made)
        credentials = {name: form.get(f"credentials.{name}") for name in wants.credentials}
        call = pb.SetProviderRequest(
            channel=channel,
            provider=provider,
            settings=made,
            credentials={name: value for name, value in credentials.items() if value},
        )
        answer = await form.attempt(
            api.call(api.stubs.admin.SetProvider, call), [field.name for field in fields]
        )
        if answer is not None:
            return Done("/console/settings", f"{words(channel)} goes by {words(provider)} from now on.")
    question = Question(
        title=f"{words(channel)} by {words(provider)}",
        button="Save",
        back="/console/settings",
        lines=[wants.about, "Credentials are kept sealed and never shown again."],
        fields=fields,
        crumbs=_CRUMBS,
    )
    more = [("Stop using it …", f"/console/settings/provider/{channel}/remove")] if known is not None else []
    return ask(form, question, elsewhere=more)


def _texts(wants: Offered, settings: Mapping[str, Any]) -> dict[str, str]:
    texts = {f"settings.{name}": str(settings.get(name, "")) for name in wants.settings}
    for name in wants.objects:
        value = settings.get(name)
        texts[f"settings.{name}"] = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() if value else ""
    return texts


def _fields(wants: Offered, have: list[str]) -> list[Field]:
    secret = "Left empty, all credentials stay as they are." if have else ""
    return [
        *(Field(f"settings.{name}", words(name), group="Settings") for name in wants.settings),
        *(
            Field(
                f"settings.{name}", words(name), "code", "As JSON; may be left out.", rows=3, group="Settings"
            )
            for name in wants.objects
        ),
        *(
            Field(
                f"credentials.{name}",
                words(name),
                "password",
                f"Set. {secret}" if name in have else secret,
                group="Credentials",
            )
            for name in wants.credentials
        ),
    ]


def _settings(form: Form, wants: Offered, before: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as filled in; those this form does not know stay."""
    known = {*wants.settings, *wants.objects}
    settings = {name: value for name, value in before.items() if name not in known}
    for name in wants.settings:
        text = form.get(f"settings.{name}")
        if text:
            settings[name] = int(text) if name == "port" and text.isdecimal() and len(text) < 6 else text
    for name in wants.objects:
        text = form.get(f"settings.{name}")
        if text:
            try:
                settings[name] = read_json(text)
            except ValueError as error:
                form.refuse(f"settings.{name}", f"Not JSON: {error}.")
    return settings


async def remove(request: Request, api: Api, form: Form) -> Page | Done:
    """Forgets the choice of a channel, and its credentials."""
    channel = request.path_params["channel"]
    if form.sound:
        call = pb.RemoveProviderRequest(channel=channel)
        if await form.attempt(api.call(api.stubs.admin.RemoveProvider, call)) is not None:
            return Done(
                "/console/settings", f"{words(channel)}: the choice and its credentials are forgotten."
            )
    question = Question(
        title=f"Stop using the provider of {words(channel)}",
        button="Forget it",
        back="/console/settings",
        lines=["Its credentials are forgotten. What would go by it goes by the platform's own, or fails."],
        danger=True,
        crumbs=_CRUMBS,
    )
    return ask(form, question)
