"""Enrolment of many on real PostgreSQL: the rules are those of a single start, and the gates hold. R-TRIG-8, R-TRIG-1."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from execution_engine import ports
from execution_engine.errors import ContactOptedOut, ReentryRefused, WayfarerError
from execution_engine.model import Priority, Reentry, WorkflowStatus
from execution_engine.store.accounts import account_transaction
from execution_engine.store.enroll_many import Entered, Entry, enroll_many
from execution_engine.store.enrollment import Duplicate, Enrolled, Start, enroll
from services.runtime.keyring import Keyring
from tests.support.postgres import Database

_HOUR_MS = 3_600_000


@dataclass(slots=True)
class Place:
    """An account with a workflow; the owner's connection and the API's pool."""

    owner: asyncpg.Connection
    api: asyncpg.Pool
    vault: Keyring
    account_id: int
    workflow_id: UUID

    async def contact(self, column: str = "revision", value: str = "1") -> UUID:
        contact_id = uuid4()
        await self.owner.execute(
            f"INSERT INTO contact (account_id, contact_id, {column}) VALUES ($1, $2, {value})",
            self.account_id,
            contact_id,
        )
        return contact_id

    async def many(
        self, contacts: Sequence[UUID], repeated: Sequence[int] = (), trigger: bytes = b""
    ) -> Entered:
        entry = Entry(self.workflow_id, Priority.LOW, trigger)
        async with account_transaction(self.api, self.account_id) as connection:
            return await enroll_many(connection, self.vault, self.account_id, entry, contacts, repeated)

    async def refusals(self) -> list[tuple[str, UUID, UUID | None]]:
        rows = await self.owner.fetch("SELECT kind, contact_id, execution_id FROM start_refusal")
        return sorted((row["kind"], row["contact_id"], row["execution_id"]) for row in rows)

    async def forget(self) -> None:
        """The account as it was before anybody was enrolled."""
        for table in ("enrollment", "execution", "execution_log", "start_refusal"):
            await self.owner.execute(f"DELETE FROM {table}")


@pytest.fixture
async def place(engine_database: Database, tmp_path: Path) -> AsyncIterator[Place]:
    owner = await asyncpg.connect(engine_database.dsn("wayfarer_owner"))
    account_id = await owner.fetchval("INSERT INTO account (name) VALUES ('many') RETURNING account_id")
    workflow_id = uuid4()
    await owner.execute(
        "INSERT INTO workflow (account_id, workflow_id, key, name, status, draft_sealed, draft_steps,"
        " published_version) VALUES ($1, $2, 'many', 'many', 2, '', 1, 7)",
        account_id,
        workflow_id,
    )
    async with asyncpg.create_pool(engine_database.dsn("wayfarer_api"), min_size=1, max_size=2) as api:
        yield Place(owner, api, Keyring.generate(tmp_path / "keyring.json"), account_id, workflow_id)
    await owner.close()


def _word(answer: Enrolled | Duplicate | WayfarerError) -> tuple[str, UUID | None]:
    match answer:
        case Enrolled():
            return "started", None
        case Duplicate():
            return "duplicate", answer.execution_id
        case ContactOptedOut():
            return "opted_out", None
        case ReentryRefused():
            return "already_in", UUID(answer.metadata["execution_id"])
        case _:
            return answer.reason.lower(), None


async def _acquainted(place: Place) -> list[UUID]:
    """Contacts of every kind: fresh, opted out, deleted, unknown; still in, and out again."""
    inside, outside = await place.contact(), await place.contact()
    await place.many([inside, outside])
    await place.owner.execute(
        "UPDATE execution SET status = 5, blocked_on = 0, wake_at = NULL, ended_at = now() WHERE contact_id = $1",
        outside,
    )
    fresh, opted_out = await place.contact(), await place.contact("opted_out", "true")
    deleted = await place.contact("deleted_at", "now()")
    return [outside, deleted, fresh, opted_out, uuid4(), inside]


@pytest.mark.parametrize("reentry", list(Reentry))
@pytest.mark.parametrize("window_ms", [0, _HOUR_MS])
@pytest.mark.parametrize("status", [WorkflowStatus.ACTIVE, WorkflowStatus.PAUSED])
async def test_many_are_judged_as_one_alone(
    place: Place, reentry: Reentry, window_ms: int, status: WorkflowStatus
) -> None:
    """R-TRIG-8: dedup window, re-entry, consent and the workflow's state decide as they do for a single start."""
    contacts = await _acquainted(place)
    await place.owner.execute(
        "UPDATE workflow SET reentry = $1, dedup_window_ms = $2, status = $3", reentry, window_ms, status
    )
    starts = [Start(place.workflow_id, contact, Priority.LOW, b"", "") for contact in contacts]
    alone = []
    for start in starts:
        async with account_transaction(place.api, place.account_id) as connection:
            undo = connection.transaction()
            await undo.start()
            (answer,) = await enroll(connection, place.vault, place.account_id, [start])
            await undo.rollback()
        alone.append(_word(answer))
    entered = await place.many(contacts)
    together = [
        (outcome, None if outcome == "started" else execution_id)
        for outcome, execution_id in zip(entered.outcomes, entered.execution_ids, strict=True)
    ]
    assert together == alone
    assert len({outcome for outcome, _ in alone}) >= (2 if status == WorkflowStatus.ACTIVE else 1)
    kept = {
        "opted_out": "opt_out_blocked",
        "already_in": "reentry_blocked",
        "duplicate": "deduplication_blocked",
    }
    kept |= {"workflow_not_active": "workflow_not_active"}
    expected = sorted(
        (kept[outcome], contact, execution_id)
        for contact, (outcome, execution_id) in zip(contacts, alone, strict=True)
        if outcome in kept
    )
    assert await place.refusals() == expected


async def test_the_rows_of_many_are_those_of_one_alone(place: Place) -> None:
    """R-TRIG-8, R-LOG-2: what is written of each is what a single start writes, its chain begun, its trigger sealed."""
    contact = await place.contact()

    async def written() -> list[dict[str, object]]:
        rows = []
        for table, key in (
            ("execution", "execution_id"),
            ("enrollment", "contact_id"),
            ("execution_log", "seq"),
        ):
            row = dict(await place.owner.fetchrow(f"SELECT * FROM {table} ORDER BY {key}"))
            sealed = row.pop("input_sealed", None)
            row["input"] = sealed and place.vault.open(ports.INPUT, place.account_id, sealed)
            # Ids and moments differ, and the hash is over the moment.
            for name in ("execution_id", "created_at", "updated_at", "wake_at", "started_at", "at"):
                row.pop(name, None)
            rows.append(row)
        return rows

    async with account_transaction(place.api, place.account_id) as connection:
        start = Start(place.workflow_id, contact, Priority.LOW, b'{"a": 1}', "")
        (answer,) = await enroll(connection, place.vault, place.account_id, [start])
    assert isinstance(answer, Enrolled)
    alone = await written()
    await place.forget()
    entered = await place.many([contact], trigger=b'{"a": 1}')
    together = await written()
    hashes = {row.pop(name) for row in together for name in ("log_hash", "hash") if name in row}
    for row in alone:
        row.pop("log_hash", None), row.pop("hash", None)
    assert together == alone
    assert len(hashes) == 1
    row = await place.owner.fetchrow("SELECT execution_id, created_at FROM execution")
    assert (row["execution_id"], row["created_at"]) == (entered.execution_ids[0], entered.now)


async def test_one_given_twice_starts_once(place: Place) -> None:
    """R-TRIG-1: a repeated contact is a duplicate of the first, within a call and, if said so, across calls."""
    await place.owner.execute("UPDATE workflow SET reentry = 3, dedup_window_ms = 0")
    one, two = await place.contact(), await place.contact()
    first = await place.many([one, two, one])
    assert first.outcomes == ["started", "started", "duplicate"]
    assert first.execution_ids[2] == first.execution_ids[0]
    again = await place.many([two, one], repeated=[1])
    assert again.outcomes == ["started", "duplicate"]
    assert again.execution_ids[1] == first.execution_ids[0]
    assert await place.owner.fetchval("SELECT count(*) FROM execution") == 3
    rows = await place.owner.fetch("SELECT contact_id, execution_id FROM enrollment")
    expected = {one: first.execution_ids[0], two: again.execution_ids[0]}
    assert {row["contact_id"]: row["execution_id"] for row in rows} == expected


async def test_a_consent_being_withdrawn_is_waited_for(place: Place) -> None:
    """R-TRIG-8: an opt-out that is under way is before the enrolment or after it: here before, and nobody slips through."""
    contacts = [await place.contact() for _ in range(3)]
    withdrawing = place.owner.transaction()
    await withdrawing.start()
    await place.owner.execute("UPDATE contact SET opted_out = true WHERE contact_id = $1", contacts[1])
    enrolling = asyncio.create_task(place.many(contacts))
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    async with asyncio.timeout(30):
        while not await place.owner.fetchval(waits):
            assert not enrolling.done()
    await withdrawing.commit()
    assert (await enrolling).outcomes == ["started", "opted_out", "started"]


async def test_two_enrolments_at_once_start_each_contact_once(place: Place) -> None:
    """R-TRIG-1: the second waits at the gates, and then sees what the first did."""
    contacts = [await place.contact() for _ in range(50)]
    entry = Entry(place.workflow_id, Priority.LOW, b"")
    async with account_transaction(place.api, place.account_id) as connection:
        first = await enroll_many(connection, place.vault, place.account_id, entry, contacts)
        second = asyncio.create_task(place.many(contacts[::-1]))
        async with asyncio.timeout(30):
            while not await place.owner.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                assert not second.done()
    late = await second
    assert (set(first.outcomes), set(late.outcomes)) == ({"started"}, {"duplicate"})
    assert late.execution_ids == first.execution_ids[::-1]
