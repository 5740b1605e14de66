"""Ends executions at a caller's word or with their contact; the API uses it.

The one who does not drive writes the terminal state at once and raises the fence: the driver's next
write finds its row gone and drops it. What was under way is settled later (dispatcher/settle.py).
"""

from uuid import UUID

import asyncpg

from execution_engine import ports
from execution_engine.masking import mask_text
from execution_engine.model import LogEvent, Status
from execution_engine.store.locked import Locked, lock, lock_of_contacts
from execution_engine.store.workflows import Outlines


async def cancel(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    outlines: Outlines,
    account_id: int,
    execution_id: UUID,
    actor: str,
    words: str,
    reason: str = "cancelled",
) -> None:
    """Cancels one execution. Raises NotFound, IllegalTransition if it has ended."""
    row = await lock(connection, vault, outlines, account_id, execution_id, Status.CANCELLED)
    await _cancel(connection, row, actor, reason, words)


async def cancel_of_contact(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    outlines: Outlines,
    account_id: int,
    contact_id: UUID,
    actor: str,
) -> int:
    """Cancels what runs for a contact that is being deleted; how many."""
    rows = await lock_of_contacts(connection, vault, outlines, account_id, [contact_id])
    for row in rows:
        await _cancel(connection, row, actor, "contact_deleted", "")
    return len(rows)


async def _cancel(connection: asyncpg.Connection, row: Locked, actor: str, reason: str, words: str) -> None:
    row.end(Status.CANCELLED, reason)
    detail = {"actor": actor, "reason": reason, **({"words": mask_text(words)} if words else {})}
    row.append(LogEvent.CANCELLED, detail)
    await row.write(connection)
