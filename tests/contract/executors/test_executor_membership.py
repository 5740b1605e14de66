"""Access to built-in courses through the real server: exactly once, whatever is repeated or comes together.

R-ACT: grant_course_access, revoke_course_access. G5. R-ERR-1.
"""

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from wayfarer.action.v1 import action_executor_pb2, action_pb2
from wayfarer.common.v1 import failure_pb2
from wayfarer.membership.v1 import membership_service_pb2 as wire

from services.executors.family import PLANNER
from services.executors.membership.statements import own
from tests.contract.executors.membership_world import MembershipWorld, action, output
from tests.contract.executors.world import ACCOUNT, TIMEOUT_S, make_action, uuid7

FAR = "2090-01-01T00:00:00Z"
FARTHER = "2095-06-01T12:00:00+02:00"


def kind_of(result: action_pb2.ActionResult) -> tuple[str, str, str]:
    return (
        failure_pb2.ErrorClass.Name(result.failure.error_class).removeprefix("ERROR_CLASS_"),
        result.failure.code,
        action_pb2.Certainty.Name(result.certainty).removeprefix("CERTAINTY_"),
    )


async def lose_the_outcome(membership: MembershipWorld, again: action_pb2.Action) -> action_pb2.Action:
    """Let an effect that happened be unknown, as if its process had died; its next attempt."""
    await membership.client.database.execute(
        "UPDATE effect_ledger SET state = 4, result = '\\x00' WHERE execution_id = $1",
        uuid.UUID(bytes=again.effect_key.execution_id),
    )
    again.attempt += 1
    return again


async def test_a_grant_lets_in_and_says_until_when(membership: MembershipWorld) -> None:
    contact_id, before = uuid7(), datetime.now(UTC)
    told = output(await membership.grant(contact_id=contact_id, duration_days=30))
    assert (told["course"], told["changed"], told["outcome"]) == ("masterclass", True, "granted")
    (access,) = await membership.access(contact_id)
    assert (access.enrollment_id, access.course, access.lasts) == (told["enrollment_id"], "masterclass", True)
    ends = access.expire_time.ToDatetime(UTC)
    assert abs(ends - before - timedelta(days=30)) < timedelta(minutes=1)
    assert datetime.fromisoformat(told["expires_at"]) == ends


async def test_a_grant_without_an_end_has_none(membership: MembershipWorld) -> None:
    contact_id = uuid7()
    assert output(await membership.grant(contact_id=contact_id))["expires_at"] is None
    (access,) = await membership.access(contact_id)
    assert access.lasts
    assert not access.HasField("expire_time")


async def test_a_grant_extends_and_never_takes_away(membership: MembershipWorld) -> None:
    contact_id = uuid7()
    asked: list[tuple[dict[str, Any], bool, str | None]] = [
        ({"expires_at": FAR}, True, "2090-01-01T00:00:00Z"),
        ({"expires_at": FAR}, False, "2090-01-01T00:00:00Z"),
        ({"duration_days": 1}, False, "2090-01-01T00:00:00Z"),
        ({"expires_at": FARTHER}, True, "2095-06-01T10:00:00Z"),
        ({}, True, None),
        ({"expires_at": FARTHER}, False, None),
    ]
    ids = set()
    for config, changed, ends in asked:
        told = output(await membership.grant(contact_id=contact_id, **config))
        assert (told["changed"], told["expires_at"]) == (changed, ends), config
        assert told["outcome"] == ("granted" if changed else "already")
        ids.add(told["enrollment_id"])
    assert len(ids) == 1


async def test_same_key_twice_and_at_once_is_one_enrollment(membership: MembershipWorld) -> None:
    contact_id = uuid7()
    one = action("grant_course_access", contact_id=contact_id, duration_days=3)
    answers = await asyncio.gather(
        membership.client.batch([one, one]), membership.client.batch([one]), membership.client.execute(one)
    )
    results = [*answers[0], *answers[1], answers[2]]
    assert len({result.output for result in results}) == 1
    assert sorted(result.replayed for result in results) == [False, True, True, True]
    assert len(await membership.access(contact_id)) == 1


async def test_of_many_grants_at_once_one_changes(membership: MembershipWorld) -> None:
    """Where there is no row yet to lock."""
    contact_id = uuid7()
    grants = [
        action("grant_course_access", contact_id=contact_id, expires_at=FAR, send_credentials="true")
        for _ in range(24)
    ]
    told = [output(result) for result in await membership.client.batch(grants)]
    assert sorted(one["changed"] for one in told) == [False] * 23 + [True]
    assert len({one["enrollment_id"] for one in told}) == 1
    revocations = [action("revoke_course_access", contact_id=contact_id) for _ in range(24)]
    told = [output(result) for result in await membership.client.batch(revocations)]
    assert sorted(one["changed"] for one in told) == [False] * 23 + [True]


async def test_an_effect_whose_outcome_was_lost_answers_as_before_and_changes_nothing(
    membership: MembershipWorld,
) -> None:
    contact_id = uuid7()
    first = action("grant_course_access", contact_id=contact_id, duration_days=30)
    told = output(await membership.client.execute(first))
    (access,) = await membership.access(contact_id)
    again = await membership.client.execute(await lose_the_outcome(membership, first))
    assert not again.replayed
    assert output(again) == told
    assert await membership.access(contact_id) == [access]


async def test_a_lost_grant_is_known_although_its_course_was_closed(membership: MembershipWorld) -> None:
    await membership.add_course("brief")
    grant = action("grant_course_access", course="brief")
    told = output(await membership.client.execute(grant))
    await membership.add_course("brief", active=False)
    assert output(await membership.client.execute(await lose_the_outcome(membership, grant))) == told


async def test_a_lost_grant_does_not_undo_a_later_revocation(membership: MembershipWorld) -> None:
    contact_id = uuid7()
    grant = action("grant_course_access", contact_id=contact_id)
    revocation = action("revoke_course_access", contact_id=contact_id)
    output(await membership.client.execute(grant))
    ended = output(await membership.client.execute(revocation))
    assert ended["changed"]
    assert output(await membership.client.execute(await lose_the_outcome(membership, grant)))["changed"]
    (access,) = await membership.access(contact_id)
    assert not access.lasts
    again = output(await membership.client.execute(await lose_the_outcome(membership, revocation)))
    assert again == ended


async def test_a_revocation_ends_at_once_or_later_and_keeps_progress(membership: MembershipWorld) -> None:
    contact_id = uuid7()
    first = output(await membership.grant(contact_id=contact_id))
    await progress(membership, contact_id, 40)
    told = output(await membership.revoke(contact_id=contact_id, mode="at", at=FAR))
    assert (told["changed"], told["expires_at"]) == (True, "2090-01-01T00:00:00Z")
    assert (await membership.access(contact_id))[0].lasts
    later = output(await membership.revoke(contact_id=contact_id, mode="at", at=FARTHER))
    assert (later["changed"], later["expires_at"]) == (False, "2090-01-01T00:00:00Z")
    now = output(await membership.revoke(contact_id=contact_id))
    assert (now["changed"], now["outcome"]) == (True, "revoked")
    (access,) = await membership.access(contact_id)
    assert (access.lasts, access.progress) == (False, 40)
    assert output(await membership.revoke(contact_id=contact_id))["outcome"] == "already"
    back = output(await membership.grant(contact_id=contact_id))
    assert (back["changed"], back["enrollment_id"]) == (True, first["enrollment_id"])
    (access,) = await membership.access(contact_id)
    assert (access.lasts, access.progress, access.HasField("revoke_time")) == (True, 40, False)


async def test_progress_is_dropped_if_that_is_asked(membership: MembershipWorld) -> None:
    contact_id = uuid7()
    await membership.grant(contact_id=contact_id)
    await progress(membership, contact_id, 80)
    assert output(await membership.revoke(contact_id=contact_id, keep_progress=False))["changed"]
    assert (await membership.access(contact_id))[0].progress == 0


async def test_who_never_had_access_loses_none(membership: MembershipWorld) -> None:
    contact_id = uuid7()
    told = output(await membership.revoke(contact_id=contact_id))
    assert (told["changed"], told["enrollment_id"], told["expires_at"]) == (False, "", None)
    assert await membership.access(contact_id) == []


async def test_courses_that_nobody_can_be_let_into(membership: MembershipWorld) -> None:
    contact_id = uuid7()
    await membership.add_course("closed")
    await membership.grant(contact_id=contact_id, course="closed")
    await membership.add_course("closed", active=False)
    unknown = await membership.grant(course="no-such")
    inactive = await membership.grant(course="closed")
    elsewhere = await membership.grant(account=ACCOUNT + 1)
    assert kind_of(unknown) == ("CONFIGURATION", "COURSE_UNKNOWN", "NOT_DONE")
    assert kind_of(inactive) == ("CONFIGURATION", "COURSE_INACTIVE", "NOT_DONE")
    assert kind_of(elsewhere) == ("CONFIGURATION", "COURSE_UNKNOWN", "NOT_DONE")
    assert (await membership.access(contact_id))[0].lasts
    assert output(await membership.revoke(contact_id=contact_id, course="closed"))["changed"]


async def test_an_end_that_is_over_is_refused(membership: MembershipWorld) -> None:
    contact_id = uuid7()
    result = await membership.grant(contact_id=contact_id, expires_at="2020-01-01T00:00:00Z")
    assert kind_of(result) == ("VALIDATION", "EXPIRES_IN_PAST", "NOT_DONE")
    assert await membership.access(contact_id) == []


async def test_an_attempt_that_ends_while_it_waits_did_nothing(membership: MembershipWorld) -> None:
    """R-ERR-1: nothing was written before the gate, and that is known."""
    contact_id = uuid7()
    late = action("grant_course_access", contact_id=contact_id)
    late.budget_ms = 300
    async with membership.client.database.transaction():
        await membership.client.database.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1::text, 0))",
            f"{ACCOUNT}:{contact_id}:masterclass",
        )
        result = await membership.client.execute(late)
    assert result.failure.error_class == failure_pb2.ERROR_CLASS_TIMEOUT
    assert result.certainty == action_pb2.CERTAINTY_NOT_DONE
    assert await membership.access(contact_id) == []


async def test_an_attempt_that_ends_while_it_writes_is_in_doubt(membership: MembershipWorld) -> None:
    """R-ERR-1: and the next one settles it."""
    contact_id = uuid7()
    output(await membership.grant(contact_id=contact_id, expires_at=FAR))
    late = action("grant_course_access", contact_id=contact_id)
    late.budget_ms = 300
    async with membership.client.database.transaction():
        await membership.client.database.execute(
            "SELECT FROM course_access WHERE account_id = $1 AND contact_id = $2 FOR UPDATE",
            ACCOUNT,
            contact_id,
        )
        result = await membership.client.execute(late)
    assert result.failure.error_class == failure_pb2.ERROR_CLASS_TIMEOUT
    assert result.certainty == action_pb2.CERTAINTY_INDETERMINATE
    late.attempt, late.budget_ms = 2, 15_000
    assert output(await membership.client.execute(late))["expires_at"] is None


@pytest.mark.parametrize(
    ("name", "config", "path"),
    [
        ("grant_course_access", {"expires_at": FAR, "duration_days": 3}, ""),
        ("grant_course_access", {"expires_at": "2090-01-01T00:00:00"}, "expires_at"),
        ("grant_course_access", {"expires_at": "9999-12-31T23:59:59-14:00"}, "expires_at"),
        ("grant_course_access", {"duration_days": 0}, "duration_days"),
        ("grant_course_access", {"course": "a b"}, "course"),
        ("revoke_course_access", {"mode": "at"}, ""),
        ("revoke_course_access", {"at": FAR}, ""),
        ("revoke_course_access", {"mode": "at", "at": FAR, "keep_progress": False}, ""),
    ],
)
async def test_faults_of_a_config(
    membership: MembershipWorld, name: str, config: dict[str, Any], path: str
) -> None:
    raw = json.dumps({"course": "masterclass"} | config).encode()
    request = action_executor_pb2.ValidateRequest(action_type=name, config=raw)
    faults = (await membership.client.stub.Validate(request, timeout=TIMEOUT_S)).faults
    assert [fault.path for fault in faults] == [path]
    result = await membership.client.execute(make_action(name, {"course": "masterclass"} | config))
    assert result.failure.error_class == failure_pb2.ERROR_CLASS_CONFIGURATION


async def test_both_tell_of_the_course_they_changed(membership: MembershipWorld) -> None:
    described = (
        await membership.client.stub.Describe(action_executor_pb2.DescribeRequest(), timeout=TIMEOUT_S)
    ).action_types
    assert {one.name: dict(one.emits) for one in described} == {
        "grant_course_access": {"course_granted": "course"},
        "revoke_course_access": {"course_revoked": "course"},
    }


async def test_courses_are_listed_page_by_page_and_their_names_sealed(membership: MembershipWorld) -> None:
    account = ACCOUNT + 50
    for key in ("c", "a", "b"):
        await membership.add_course(f"list-{key}", account_id=account)
    await membership.add_course("list-a", account_id=account, active=False)
    first = wire.ListCoursesRequest(account_id=account, page_size=2)
    page = await membership.door.ListCourses(first, timeout=TIMEOUT_S)
    shown = [(one.key, one.name, one.active) for one in page.courses]
    assert shown == [("list-a", "List-A", False), ("list-b", "List-B", True)]
    following = wire.ListCoursesRequest(account_id=account, page_size=2, page_token=page.next_page_token)
    page = await membership.door.ListCourses(following, timeout=TIMEOUT_S)
    assert ([one.key for one in page.courses], page.next_page_token) == (["list-c"], "")
    for strange in (
        wire.ListCoursesRequest(account_id=account + 1, page_token=following.page_token),
        wire.ListCoursesRequest(account_id=account, page_token="nonsense"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await membership.door.ListCourses(strange, timeout=TIMEOUT_S)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    rows = await membership.client.database.fetch(
        "SELECT name_sealed FROM course WHERE account_id = $1", account
    )
    assert len(rows) == 3
    assert not any(b"List-" in row[0] for row in rows)


async def test_a_contact_s_access_is_listed_page_by_page(membership: MembershipWorld) -> None:
    contact_id = uuid7()
    for key in ("page-b", "page-a"):
        await membership.add_course(key)
        await membership.grant(contact_id=contact_id, course=key)
    request = wire.ListAccessRequest(account_id=ACCOUNT, contact_id=contact_id.bytes, page_size=1)
    page = await membership.door.ListAccess(request, timeout=TIMEOUT_S)
    assert [one.course for one in page.access] == ["page-a"]
    request.page_token = page.next_page_token
    page = await membership.door.ListAccess(request, timeout=TIMEOUT_S)
    assert ([one.course for one in page.access], page.next_page_token) == (["page-b"], "")
    assert await membership.access(contact_id, ACCOUNT + 1) == []


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("page_courses", "1, '', 9"),
        ("page_access", "1, NULL, '', 9"),
        ("read_access", "1, NULL, ''"),
        ("put_progress", "1, NULL, '', 0"),
    ],
)
async def test_statements_use_the_primary_keys(membership: MembershipWorld, name: str, values: str) -> None:
    database = membership.client.database
    async with database.transaction():
        for setting, value in PLANNER.items():
            await database.execute("SELECT set_config($1, $2, true)", setting, value)
        await database.execute(f"PREPARE p AS {own(name)}")
        plan = "\n".join(row[0] for row in await database.fetch(f"EXPLAIN EXECUTE p({values})"))
        await database.execute("DEALLOCATE p")
    assert "_pkey" in plan, plan
    assert "Seq Scan" not in plan, plan
    assert "Sort" not in plan, plan


async def test_progress_needs_access(membership: MembershipWorld) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await progress(membership, uuid7(), 10)
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


async def progress(membership: MembershipWorld, contact_id: uuid.UUID, percent: int) -> None:
    request = wire.PutProgressRequest(
        account_id=ACCOUNT, contact_id=contact_id.bytes, course="masterclass", progress=percent
    )
    await membership.door.PutProgress(request, timeout=TIMEOUT_S)
