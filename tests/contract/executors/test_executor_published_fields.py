"""Our requests to Meta and Thinkific, which have no light client of their own, beside what their references name.

R-ACT: paths, logins, queries and every field.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from services.local.postgres import Postgres
from services.local.sandboxes.meta import APP_SECRET, PAGE_ID, PAGE_TOKEN
from services.local.sandboxes.thinkific import API_KEY, SUBDOMAIN
from tests.contract.executors.membership_world import MembershipWorld
from tests.contract.executors.notification_world import Notices
from tests.contract.executors.recorded_world import Families, Recorded, open_families, open_recorded
from tests.contract.executors.world import Client

SEND_API: dict[str, set[str]] = {
    "": {"recipient", "message", "messaging_type", "tag", "notification_type", "persona_id", "reply_to"},
    "recipient": {"id"},
    "message": {"text", "attachment", "metadata", "quick_replies"},
}
"""Parameters of POST /{page-id}/messages; developers.facebook.com/docs/messenger-platform/reference/send-api."""


@pytest.fixture(scope="module")
async def recorded() -> AsyncIterator[Recorded]:
    async with open_recorded() as served:
        yield served


@pytest.fixture(scope="module")
async def families(
    recorded: Recorded,
    postgres: Postgres,
    keyring: Path,
    communication: Client,
    notices: Notices,
    membership: MembershipWorld,
) -> AsyncIterator[Families]:
    """On the databases of these three."""
    async with open_families(recorded, postgres, keyring) as opened:
        yield opened


@pytest.mark.parametrize(
    "config",
    [
        {"text": "Hi", "messaging_type": "UPDATE"},
        {"text": "Hi", "messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"},
        {
            "messaging_type": "RESPONSE",
            "attachment": {"type": "image", "url": "https://example.test/a.png"},
        },
    ],
)
async def test_meta(families: Families, recorded: Recorded, config: dict[str, Any]) -> None:
    """R-ACT: path, page token and names as the Send API's reference has them."""
    settings = {"page_id": PAGE_ID, "base_url": f"{recorded.url}/meta"}
    known = {"page_token": PAGE_TOKEN, "app_secret": APP_SECRET, "verify_token": "v"}
    await families.put(families.communication, "messenger", "meta", settings, known)
    await families.done(families.communication, "send_messenger", config, messenger_id="24681")
    ours = recorded.last()
    method, path, login, kind = ours.essence()
    assert (method, login, kind) == ("POST", f"Bearer {PAGE_TOKEN}", "application/json")
    version, page, edge = path.removeprefix("/meta/").split("/")
    assert (version[:1], version[1:].replace(".", "").isdigit(), page, edge) == (
        "v",
        True,
        PAGE_ID,
        "messages",
    )
    body = ours.json()
    assert set(body) <= SEND_API[""]
    assert set(body["recipient"]) == SEND_API["recipient"]
    assert set(body["message"]) <= SEND_API["message"]
    assert body["messaging_type"] in ("RESPONSE", "UPDATE", "MESSAGE_TAG", "UTILITY")
    if "attachment" in body["message"]:
        assert set(body["message"]["attachment"]) == {"type", "payload"}
        assert body["message"]["attachment"]["type"] in ("audio", "file", "image", "template", "video")


THINKIFIC: dict[tuple[str, str], set[str]] = {
    ("GET", "/users"): set(),
    ("POST", "/users"): {"first_name", "last_name", "email", "send_welcome_email"},
    ("GET", "/enrollments"): set(),
    ("POST", "/enrollments"): {"course_id", "user_id", "activated_at", "expiry_date"},
    ("PUT", "/enrollments"): {"activated_at", "expiry_date"},
}
"""Operations and fields of the public API's description; developers.thinkific.com/api/api-documentation."""
THINKIFIC_QUERIES = {"query[email]", "query[user_id]", "query[course_id]", "page", "limit"}


async def test_thinkific(families: Families, recorded: Recorded) -> None:
    """R-ACT: paths, headers, queries and names as the public API's description has them."""
    settings = {
        "subdomain": SUBDOMAIN,
        "base_url": f"{recorded.url}/thinkific",
        "course_ids": {"masterclass": 101},
    }
    await families.put(families.membership, "courses", "thinkific", settings, {"api_key": API_KEY})
    before = len(recorded.asked)
    contact = {"email": "ada@example.test", "first_name": "Ada", "last_name": "Lovelace"}
    grant = {"course": "masterclass", "duration_days": 3}
    for config in (grant, {"course": "masterclass"}):
        await families.done(families.membership, "grant_course_access", config, **contact)
    await families.done(families.membership, "revoke_course_access", {"course": "masterclass"}, **contact)
    asked = recorded.asked[before:]
    met = set()
    for one in asked:
        path, _, query = one.path.removeprefix("/thinkific/api/public/v1").partition("?")
        operation = one.method, "/" + path.split("/")[1]
        met.add(operation)
        assert (one.headers["x-auth-api-key"], one.headers["x-auth-subdomain"]) == (API_KEY, SUBDOMAIN)
        assert {name for name, _ in parse_qsl(query)} <= THINKIFIC_QUERIES
        if one.method != "GET":
            assert set(one.json()) <= THINKIFIC[operation]
            assert one.headers["content-type"] == "application/json"
    assert met == set(THINKIFIC)
