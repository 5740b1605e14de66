"""The hash chain of an execution's log; the core extends it, `verify` recomputes it.

Each entry's hash is a keyed BLAKE2b-256 over its predecessor's hash and its own content, private
content in clear, so that encryption keys can rotate without breaking the chain. The key is
derived per account outside the database: whoever can write rows still cannot forge them.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b

from execution_engine.model import LogEvent, LogRow, OutcomeCode

GENESIS = bytes(32)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@lru_cache(maxsize=64)  # a batch has one moment, and hashes hundreds of entries at it
def microseconds(at: datetime) -> int:
    """Microseconds since 1970 (UTC): PostgreSQL's own resolution, so nothing is lost on the way."""
    return (at - _EPOCH) // _MICROSECOND


def link(
    key: bytes,
    previous: bytes,
    seq: int,
    event: int,
    step_id: str,
    step_type: str,
    visit: int,
    attempt: int,
    at_us: int,
    outcome: int = 0,
    detail: str = "",
    private: bytes = b"",
) -> bytes:
    """The hash (32 bytes) of one entry after `previous`. Ids hold no comma, so no field can shift."""
    # %d and not a format field: the latter takes the long way round for an enum.
    head = "%d,%d,%s,%s,%d,%d,%d,%d,%d;%s\0" % (  # noqa: UP031
        seq, event, step_id, step_type, visit, attempt, at_us, outcome, len(private), detail
    )  # fmt: skip
    return blake2b(previous + head.encode() + private, key=key, digest_size=32).digest()


def start_hash(
    key: bytes, previous: bytes, seq: int, step_id: str, step_type: str, visit: int, attempt: int, at_us: int
) -> bytes:
    """The hash of an attempt's start, fixed by the commit that begins it."""
    return link(key, previous, seq, LogEvent.ACTION_STARTED, step_id, step_type, visit, attempt, at_us)


def row_hash(key: bytes, previous: bytes, row: LogRow) -> bytes:
    """Recomputes what `row.hash` must be, given the hash before the row."""
    seq = row.seq
    if row.seq_end != row.seq:
        assert row.started_at is not None, "a row of two entries has a start"
        started = microseconds(row.started_at)
        previous = start_hash(key, previous, seq, row.step_id, row.step_type, row.visit, row.attempt, started)
        seq = row.seq_end
    return link(
        key,
        previous,
        seq,
        row.event,
        row.step_id,
        row.step_type,
        row.visit,
        row.attempt,
        microseconds(row.at),
        row.outcome,
        row.detail,
        row.private,
    )


def open_start(
    seq: int, step_id: str, step_type: str, visit: int, attempt: int, at: datetime, hash_: bytes
) -> LogRow:
    """The start of an attempt that is still under way, as lists show it and writers spill it."""
    return LogRow(
        seq,
        seq,
        LogEvent.ACTION_STARTED,
        step_id,
        step_type,
        visit,
        attempt,
        None,
        at,
        OutcomeCode.NONE,
        "",
        b"",
        hash_,
    )
