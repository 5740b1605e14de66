"""Access to courses at Thinkific, through the real server and the sandbox on loopback.

R-ACT: grant_course_access, revoke_course_access. R-ERR-1, R-ERR-3: every failure has its class, certainty and
pause, and the next attempt leaves one enrollment.
"""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from aiohttp import web
from wayfarer.action.v1 import action_pb2
from wayfarer.action.v1 import provider_service_pb2 as providers
from wayfarer.common.v1 import failure_pb2
from yarl import URL

from services.executors.membership.thinkific_api import ThinkificApi, ThinkificCredentials, ThinkificSettings
from services.executors.providers.http_exchange import ProviderHttp
from services.runtime.config import HostPort
from tests.contract.executors.membership_world import MembershipWorld, action, output, somebody
from tests.contract.executors.phone_world import serve
from tests.contract.executors.test_executor_membership import FAR, FARTHER, kind_of
from tests.contract.executors.world import TIMEOUT_S


@pytest.fixture
async def account(membership: MembershipWorld) -> int:
    return await membership.account_at_thinkific()


async def test_a_grant_makes_user_and_enrollment(membership: MembershipWorld, account: int) -> None:
    contact, before = somebody(), datetime.now(UTC)
    told = output(await membership.grant(account, contact=contact, duration_days=30, send_credentials=True))
    (user,) = await membership.site.users(contact["email"])
    assert (user["first_name"], user["last_name"], user["_welcomed"]) == ("Ada", "Lovelace", True)
    (enrollment,) = await membership.site.enrollments(contact["email"])
    assert (enrollment["course_id"], enrollment["user_id"]) == (101, user["id"])
    ends = datetime.fromisoformat(enrollment["expiry_date"])
    assert abs(ends - before - timedelta(days=30)) < timedelta(minutes=1)
    assert (told["enrollment_id"], told["changed"]) == (str(enrollment["id"]), True)
    assert (datetime.fromisoformat(told["expires_at"]), told["credentials_sent"]) == (ends, True)


async def test_a_user_is_found_and_not_written_to(membership: MembershipWorld, account: int) -> None:
    """Whatever the case of the address."""
    contact = somebody()
    await membership.grant(account, contact=contact)
    shouted = contact | {"email": contact["email"].upper()}
    told = output(await membership.grant(account, contact=shouted, course="102", send_credentials=True))
    assert (told["changed"], told["credentials_sent"]) == (True, False)
    assert len(await membership.site.users(contact["email"])) == 1
    assert {one["course_id"] for one in await membership.site.enrollments(contact["email"])} == {101, 102}


async def test_a_contact_without_a_name_gets_one(membership: MembershipWorld, account: int) -> None:
    contact = {"email": somebody()["email"]}
    assert output(await membership.grant(account, contact=contact))["changed"]
    (user,) = await membership.site.users(contact["email"])
    assert user["first_name"] == contact["email"].partition("@")[0]


async def test_a_grant_extends_and_never_takes_away(membership: MembershipWorld, account: int) -> None:
    contact = somebody()
    for config, changed, ends in (
        ({"expires_at": FAR}, True, "2090-01-01T00:00:00Z"),
        ({"expires_at": FAR}, False, "2090-01-01T00:00:00Z"),
        ({"duration_days": 2}, False, "2090-01-01T00:00:00Z"),
        ({"expires_at": FARTHER}, True, "2095-06-01T10:00:00Z"),
        ({}, True, None),
    ):
        told = output(await membership.grant(account, contact=contact, **config))
        assert (told["changed"], told["expires_at"]) == (changed, ends), config
    (enrollment,) = await membership.site.enrollments(contact["email"])
    assert enrollment["expiry_date"] is None


async def test_a_revocation_ends_it_and_a_grant_begins_again(
    membership: MembershipWorld, account: int
) -> None:
    contact = somebody()
    first = output(await membership.grant(account, contact=contact))
    later = output(await membership.revoke(account, contact=contact, mode="at", at=FAR))
    assert (later["changed"], later["expires_at"]) == (True, "2090-01-01T00:00:00Z")
    assert output(await membership.revoke(account, contact=contact))["outcome"] == "revoked"
    (enrollment,) = await membership.site.enrollments(contact["email"])
    assert enrollment["expired"]
    assert not output(await membership.revoke(account, contact=contact))["changed"]
    again = output(await membership.grant(account, contact=contact, expires_at=FAR))
    assert (again["changed"], again["enrollment_id"]) == (True, first["enrollment_id"])
    (enrollment,) = await membership.site.enrollments(contact["email"])
    assert not enrollment["expired"]


async def test_who_is_not_there_loses_no_access(membership: MembershipWorld, account: int) -> None:
    contact = somebody()
    told = output(await membership.revoke(account, contact=contact))
    assert (told["changed"], told["enrollment_id"]) == (False, "")
    assert await membership.site.users(contact["email"]) == []


async def test_same_key_twice_and_at_once_is_one_enrollment(
    membership: MembershipWorld, account: int
) -> None:
    contact = somebody()
    one = action("grant_course_access", account, contact=contact, duration_days=3)
    answers = await asyncio.gather(membership.client.batch([one, one]), membership.client.execute(one))
    results = [*answers[0], answers[1]]
    assert len({output(result)["enrollment_id"] for result in results}) == 1
    assert sorted(result.replayed for result in results) == [False, True, True]
    assert len(await membership.site.users(contact["email"])) == 1
    assert len(await membership.site.enrollments(contact["email"])) == 1


async def test_of_many_grants_at_once_one_enrolls(membership: MembershipWorld, account: int) -> None:
    """More than Thinkific takes at a time."""
    contact = somebody()
    grants = [action("grant_course_access", account, contact=contact, expires_at=FAR) for _ in range(24)]
    told = [output(result) for result in await membership.client.batch(grants)]
    assert sum(one["changed"] for one in told) == 1
    assert len(await membership.site.users(contact["email"])) == 1
    (enrollment,) = await membership.site.enrollments(contact["email"])
    assert {one["enrollment_id"] for one in told} == {str(enrollment["id"])}


LOST = ("NETWORK", "CONNECTION_LOST")
FAILURES: list[tuple[str, dict[str, Any], tuple[str, str, str]]] = [
    ("GET users", {"hang": "before"}, ("TIMEOUT", "TIMEOUT", "NOT_DONE")),
    ("POST users", {"hang": "after"}, ("TIMEOUT", "TIMEOUT", "INDETERMINATE")),
    ("POST enrollments", {"hang": "before"}, ("TIMEOUT", "TIMEOUT", "INDETERMINATE")),
    ("POST enrollments", {"hang": "after"}, ("TIMEOUT", "TIMEOUT", "INDETERMINATE")),
    # The client itself asks again for what only reads, once, on a connection that was kept.
    ("GET enrollments", {"lose": "before", "times": 2}, (*LOST, "NOT_DONE")),
    ("POST users", {"lose": "after"}, (*LOST, "INDETERMINATE")),
    ("POST enrollments", {"lose": "before"}, (*LOST, "INDETERMINATE")),
    ("POST enrollments", {"lose": "after"}, (*LOST, "INDETERMINATE")),
    ("GET users", {"status": 500}, ("SERVER_ERROR", "HTTP_500", "NOT_DONE")),
    ("POST enrollments", {"status": 500}, ("SERVER_ERROR", "HTTP_500", "INDETERMINATE")),
    ("POST enrollments", {"status": 502}, ("SERVER_ERROR", "HTTP_502", "INDETERMINATE")),
    ("POST enrollments", {"status": 503}, ("SERVER_ERROR", "HTTP_503", "NOT_DONE")),
    ("POST users", {"status": 422}, ("CONTACT_DATA", "HTTP_422", "NOT_DONE")),
    ("POST enrollments", {"status": 422}, ("VALIDATION", "HTTP_422", "NOT_DONE")),
    ("POST enrollments", {"status": 403}, ("AUTHORIZATION", "HTTP_403", "NOT_DONE")),
]


@pytest.mark.parametrize(
    ("step", "rule", "expected"), FAILURES, ids=[f"{one[0]} {one[1]}" for one in FAILURES]
)
async def test_failures_have_class_and_certainty_and_the_next_attempt_mends_them(
    membership: MembershipWorld,
    account: int,
    step: str,
    rule: dict[str, Any],
    expected: tuple[str, str, str],
) -> None:
    contact = somebody()
    grant = action("grant_course_access", account, contact=contact, expires_at=FAR)
    await membership.site.misbehave(f"{step} {contact['email']}", **rule)
    result = await membership.client.execute(grant)
    await membership.site.behave()
    assert kind_of(result) == expected
    assert result.failure.provider == "thinkific"
    grant.attempt = 2
    assert output(await membership.client.execute(grant))["expires_at"] == FAR
    assert len(await membership.site.users(contact["email"])) == 1
    assert len(await membership.site.enrollments(contact["email"])) == 1


@pytest.mark.parametrize("step", ["GET users", "POST users", "POST enrollments"])
async def test_too_many_at_a_time_says_when_to_come_again(
    membership: MembershipWorld, account: int, step: str
) -> None:
    """R-ERR-3: RateLimit-Reset is a Unix time."""
    contact = somebody()
    await membership.site.misbehave(f"{step} {contact['email']}", status=429, code=40)
    result = await membership.grant(account, contact=contact)
    assert kind_of(result) == ("RATE_LIMIT", "HTTP_429", "NOT_DONE")
    assert 35 <= result.retry_after.ToTimedelta().total_seconds() <= 41
    assert result.lane.lane == "courses"


@pytest.mark.parametrize(
    ("step", "certainty"),
    [
        ("GET users", action_pb2.CERTAINTY_NOT_DONE),
        ("POST users", action_pb2.CERTAINTY_INDETERMINATE),
        ("POST enrollments", action_pb2.CERTAINTY_INDETERMINATE),
    ],
)
async def test_an_attempt_whose_budget_ends_is_in_doubt_from_its_first_change_on(
    membership: MembershipWorld, account: int, step: str, certainty: action_pb2.Certainty.ValueType
) -> None:
    contact = somebody()
    if step == "POST enrollments":  # a user that is there already
        await membership.grant(account, contact=contact, course="102")
    grant = action("grant_course_access", account, contact=contact)
    grant.budget_ms = 400
    await membership.site.misbehave(f"{step} {contact['email']}", hang="before")
    result = await membership.client.execute(grant)
    await membership.site.behave()
    assert result.failure.error_class == failure_pb2.ERROR_CLASS_TIMEOUT
    assert result.certainty == certainty


async def test_ten_requests_are_under_way_at_most() -> None:
    """A site that answers when ten are there, and remembers how many there were."""
    came, under_way, most = asyncio.Condition(), 0, 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal under_way, most
        async with came:
            under_way += 1
            most = max(most, under_way)
            came.notify_all()
            await came.wait_for(lambda: most >= 10)
        for _ in range(200):  # rounds of the loop, in which an eleventh would come
            await asyncio.sleep(0)
        under_way -= 1
        return web.json_response({"items": []})

    application = web.Application()
    application.router.add_get("/api/public/v1/users", answer)
    async with AsyncExitStack() as stack:
        url = await serve(stack, application)
        http = await stack.enter_async_context(
            ProviderHttp(frozenset({HostPort("127.0.0.1", URL(url).port or 0)}))
        )
        settings = ThinkificSettings(subdomain="x", base_url=url)
        api = ThinkificApi(settings, ThinkificCredentials(api_key="k"), http)
        assert await asyncio.gather(*(api.user("a@example.test") for _ in range(40))) == [None] * 40
    assert most == 10


async def test_a_change_that_is_lost_is_made_again(membership: MembershipWorld, account: int) -> None:
    contact = somebody()
    await membership.grant(account, contact=contact)
    revocation = action("revoke_course_access", account, contact=contact)
    await membership.site.misbehave(f"PUT enrollments {contact['email']}", hang="before")
    assert kind_of(await membership.client.execute(revocation)) == ("TIMEOUT", "TIMEOUT", "INDETERMINATE")
    await membership.site.behave()
    revocation.attempt = 2
    assert output(await membership.client.execute(revocation))["changed"]
    assert (await membership.site.enrollments(contact["email"]))[0]["expired"]


async def test_accounts_that_cannot(membership: MembershipWorld) -> None:
    wrong = await membership.account_at_thinkific(api_key="wrong")
    other = await membership.account_at_thinkific(subdomain="other")
    inside = await membership.account_at_thinkific(base_url="http://127.0.0.1:1")
    for account, expected in (
        (wrong, ("AUTHENTICATION", "HTTP_401", "NOT_DONE")),
        (other, ("AUTHENTICATION", "HTTP_401", "NOT_DONE")),
        (inside, ("CONFIGURATION", "ADDRESS_REFUSED", "NOT_DONE")),
    ):
        assert kind_of(await membership.grant(account, contact=somebody())) == expected


@pytest.mark.parametrize(
    ("course", "expected"),
    [
        ("no-such", ("CONFIGURATION", "COURSE_UNKNOWN", "NOT_DONE")),
        ("9" * 40, ("CONFIGURATION", "COURSE_UNKNOWN", "NOT_DONE")),
        (999, ("NOT_FOUND", "HTTP_404", "NOT_DONE")),
    ],
)
async def test_courses_that_are_not_there(
    membership: MembershipWorld, account: int, course: Any, expected: tuple[str, str, str]
) -> None:
    contact = somebody()
    assert kind_of(await membership.grant(account, contact=contact, course=course)) == expected
    assert await membership.site.enrollments(contact["email"]) == []


@pytest.mark.parametrize("contact", [None, {}, {"email": ""}, {"email": "nobody"}, {"email": None}])
async def test_a_contact_without_an_address(
    membership: MembershipWorld, account: int, contact: dict[str, Any] | None
) -> None:
    for result in (
        await membership.grant(account, contact=contact),
        await membership.revoke(account, contact=contact),
    ):
        assert kind_of(result) == ("CONTACT_DATA", "NO_ADDRESS", "NOT_DONE")


async def test_what_thinkific_cannot_do_is_refused(membership: MembershipWorld, account: int) -> None:
    contact = somebody()
    await membership.grant(account, contact=contact)
    dropped = await membership.revoke(account, contact=contact, keep_progress=False)
    assert kind_of(dropped) == ("CONFIGURATION", "PROGRESS_STAYS", "NOT_DONE")
    over = await membership.grant(account, contact=contact, expires_at="2020-01-01T00:00:00Z")
    assert kind_of(over) == ("VALIDATION", "EXPIRES_IN_PAST", "NOT_DONE")
    assert not (await membership.site.enrollments(contact["email"]))[0]["expired"]


async def test_settings_are_checked_and_the_key_never_comes_back(
    membership: MembershipWorld, account: int
) -> None:
    listed = await membership.providers.ListProviders(
        providers.ListProvidersRequest(account_id=account), timeout=TIMEOUT_S
    )
    assert list(listed.providers[0].credential_names) == ["api_key"]
    assert b"sandbox-api-key" not in listed.SerializeToString()
    for settings in (b"{}", b'{"subdomain": "a.b"}', b'{"subdomain": "a", "course_ids": {"x": 0}}'):
        request = providers.PutProviderRequest(
            account_id=account,
            channel="courses",
            provider="thinkific",
            settings=settings,
            credentials=b'{"api_key": "k"}',
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await membership.providers.PutProvider(request, timeout=TIMEOUT_S)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_who_goes_back_has_the_built_in_courses(membership: MembershipWorld, account: int) -> None:
    contact = somebody()
    await membership.add_course("masterclass", account_id=account)
    await membership.grant(account, contact=contact)
    request = providers.DeleteProviderRequest(account_id=account, channel="courses")
    await membership.providers.DeleteProvider(request, timeout=TIMEOUT_S)
    result = await membership.grant(account, contact=contact)
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED
    assert output(result)["changed"]
    assert len(await membership.site.enrollments(contact["email"])) == 1
