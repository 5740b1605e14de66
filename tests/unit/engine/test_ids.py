"""Ids of executions: UUIDv7, many at once as well as one."""

from datetime import UTC, datetime

from execution_engine.ids import first_id, new_id, new_ids, past_id, uuid_of

_NOW = datetime(2026, 11, 26, 8, 30, 0, 123_456, tzinfo=UTC)


def test_many_ids_are_of_their_moment_and_come_lowest_first() -> None:
    ids = new_ids(_NOW, 1_000)
    assert ids == sorted(set(ids))
    assert all(first_id(_NOW) < one < past_id(_NOW) for one in ids)
    assert {(one.version, one.variant) for one in ids} == {(7, new_id(_NOW).variant)}
    assert {one.bytes[:8] for one in ids} == {new_id(_NOW).bytes[:8]}
    assert new_ids(_NOW, 0) == []


def test_an_id_read_is_the_id_written() -> None:
    one = new_id(_NOW)
    assert (uuid_of(str(one)), hash(uuid_of(str(one)))) == (one, hash(one))
