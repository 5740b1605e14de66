"""Ends executions at a caller's word or with their contact; the API uses it.

The one who does not drive writes the terminal state at once and raises the fence: the driver's next
write finds its row gone and drops it. What was under way is settled later (dispatcher/settle.py).
"""

from uuid import UUID

import asyncpg
import orjson

from execution_engine import chain, ports
from execution_engine.errors import NotFound
from execution_engine.masking import mask_text
from execution_engine.model import LogEvent, LogRow, OutcomeCode, Status
from execution_engine.states import require_move
from execution_engine.store.commits import append, log_record
from execution_engine.store.workflows import Outlines

_COLUMNS = """execution_id, workflow_id, version, status, step, visit, attempt, attempt_open, open_seq,
open_at, log_seq, log_hash, wf_now() AS now"""
_LOCK = f"SELECT {_COLUMNS} FROM execution WHERE account_id = $1 AND execution_id = $2 FOR UPDATE"
_LOCK_OF_CONTACT = f"""SELECT {_COLUMNS} FROM execution
WHERE account_id = $1 AND contact_id = $2 AND status IN (1, 2, 3, 4) ORDER BY execution_id FOR UPDATE"""
_PAST = "SELECT status FROM execution_history WHERE account_id = $1 AND execution_id = $2"
_END = """UPDATE execution SET status = 7, fence = fence + 1, rev = rev + 1, wake_at = NULL, parked = false,
worker_id = NULL, lane = priority, blocked_on = 0, open_seq = 0, log_seq = $3, log_hash = $4, reason = $5,
ended_at = wf_now(), updated_at = wf_now(),
settle_at = wf_now() + CASE WHEN attempt_open THEN interval '2 seconds' ELSE interval '0' END
WHERE account_id = $1 AND execution_id = $2"""


async def cancel(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    outlines: Outlines,
    account_id: int,
    execution_id: UUID,
    actor: str,
    reason: str,
) -> None:
    """Cancels one execution. Raises NotFound, IllegalTransition if it has ended."""
    row = await connection.fetchrow(_LOCK, account_id, execution_id)
    if row is None:
        past = await connection.fetchval(_PAST, account_id, execution_id)
        if past is None:
            raise NotFound("execution", str(execution_id))
        require_move(Status(past), Status.CANCELLED)
    require_move(Status(row["status"]), Status.CANCELLED)
    await _end(connection, vault, outlines, account_id, row, actor, "cancelled", reason)


async def cancel_of_contact(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    outlines: Outlines,
    account_id: int,
    contact_id: UUID,
    actor: str,
) -> int:
    """Cancels what runs for a contact that is being deleted; how many."""
    rows = await connection.fetch(_LOCK_OF_CONTACT, account_id, contact_id)
    for row in rows:
        await _end(connection, vault, outlines, account_id, row, actor, "contact_deleted", "")
    return len(rows)


async def _end(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    outlines: Outlines,
    account_id: int,
    row: asyncpg.Record,
    actor: str,
    reason: str,
    words: str,
) -> None:
    key = vault.mac_key(ports.CHAIN, account_id)
    outline = await outlines.of(connection, account_id, row["workflow_id"], row["version"])
    step_id, step_type = outline[row["step"]] if row["step"] >= 0 else ("", "")
    rows: list[LogRow] = []
    if row["open_seq"]:
        rows.append(
            chain.open_start(
                row["open_seq"],
                step_id,
                step_type,
                row["visit"],
                row["attempt"],
                row["open_at"],
                row["log_hash"],
            )
        )
    detail = {"actor": actor, "reason": reason, **({"words": mask_text(words)} if words else {})}
    ended = _entry(row, key, step_id, step_type, orjson.dumps(detail).decode())
    rows.append(ended)
    await connection.execute(_END, account_id, row["execution_id"], ended.seq, ended.hash, reason)
    records = [log_record(vault, account_id, row["execution_id"], entry) for entry in rows]
    await append(connection, records)


def _entry(row: asyncpg.Record, key: bytes, step_id: str, step_type: str, detail: str) -> LogRow:
    """The `cancelled` entry, chained to the row's end."""
    seq, now, event = row["log_seq"] + 1, row["now"], LogEvent.CANCELLED
    visit, attempt = row["visit"], row["attempt"]
    hash_ = chain.link(
        key,
        row["log_hash"],
        seq,
        event,
        step_id,
        step_type,
        visit,
        attempt,
        chain.microseconds(now),
        OutcomeCode.NONE,
        detail,
    )
    return LogRow(
        seq, seq, event, step_id, step_type, visit, attempt, None, now, OutcomeCode.NONE, detail, b"", hash_
    )
