"""Chooses the sandboxes as an account's providers, as its administrator would; stack.py does so at start."""

from collections.abc import Mapping
from typing import Any, Final

from wayfarer.admin.v1 import admin_service_pb2 as pb
from wayfarer.admin.v1.admin_service_pb2_grpc import AdminServiceStub

from services.local.sandboxes.meta import APP_SECRET, PAGE_ID, PAGE_TOKEN, VERIFY_TOKEN
from services.local.sandboxes.slack import BOT_TOKEN
from services.local.sandboxes.twilio import ACCOUNT_SID, AUTH_TOKEN
from services.runtime.grpc_client import open_channel

_TIMEOUT_S: Final = 15.0
_FROM: Final = "+15005550006"


async def choose_sandboxes(address: str, api_key: str, sandboxes_url: str) -> None:
    """Where the account has chosen nobody yet; e-mail goes to the mailbox."""
    metadata = (("authorization", f"Bearer {api_key}"),)
    async with open_channel(address) as channel:
        admin = AdminServiceStub(channel)
        listed = await admin.ListProviders(pb.ListProvidersRequest(), metadata=metadata, timeout=_TIMEOUT_S)
        chosen = {one.channel for one in listed.providers}
        for name, request in _choices(sandboxes_url).items():
            if name not in chosen:
                await admin.SetProvider(request, metadata=metadata, timeout=_TIMEOUT_S)


def _choices(sandboxes_url: str) -> Mapping[str, pb.SetProviderRequest]:
    twilio = {"account_sid": ACCOUNT_SID, "from_number": _FROM, "base_url": f"{sandboxes_url}/twilio"}
    page = {"page_id": PAGE_ID, "base_url": f"{sandboxes_url}/meta"}
    known = {"page_token": PAGE_TOKEN, "app_secret": APP_SECRET, "verify_token": VERIFY_TOKEN}
    slack = {"channel": "#general", "base_url": f"{sandboxes_url}/slack"}
    return {
        "sms": _choice("sms", "twilio", twilio, {"auth_token": AUTH_TOKEN}),
        "voice": _choice("voice", "twilio", twilio, {"auth_token": AUTH_TOKEN}),
        "messenger": _choice("messenger", "meta", page, known),
        "slack": _choice("slack", "slack", slack, {"bot_token": BOT_TOKEN}),
    }


def _choice(
    channel: str, provider: str, settings: Mapping[str, Any], credentials: Mapping[str, str]
) -> pb.SetProviderRequest:
    request = pb.SetProviderRequest(channel=channel, provider=provider, credentials=credentials)
    request.settings.update(settings)
    return request
