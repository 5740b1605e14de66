"""Row-per-step persistence as users write it: plain, Celery and ARQ keep their executions with it.

The leanest that is correct under redelivery: a step takes one transaction of one guarded UPDATE and one
INSERT; it needs no SELECT FOR UPDATE before.
"""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from tests.load.peers.measuring import STEPS

METADATA: Final = sa.MetaData()
EXECUTION: Final = sa.Table(
    "execution",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now()),
)
OUTCOME: Final = sa.Table(
    "step_outcome",
    METADATA,
    sa.Column("execution_id", sa.Uuid, primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now()),
)
TURN: Final = (
    sa.update(EXECUTION)
    .where(EXECUTION.c.id == sa.bindparam("execution"), EXECUTION.c.step == sa.bindparam("number"))
    .values(step=sa.bindparam("following"), updated_at=sa.func.now())
)
"""Takes an execution past a step; no row if it is past it already, as when a task comes twice."""
WRITE: Final = OUTCOME.insert().values(
    execution_id=sa.bindparam("execution"), step=sa.bindparam("number"), outcome="succeeded"
)


def parameters(execution: uuid.UUID, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What TURN and WRITE take."""
    row = {"execution": execution, "number": number}
    return row | {"following": number + 1}, row


def address(dsn: str, driver: str) -> str:
    """The same database, for SQLAlchemy by that driver."""
    return dsn.replace("postgresql://", f"postgresql+{driver}://")


def fill(url: str, count: int) -> list[uuid.UUID]:
    """Makes the tables if they are missing, and so many executions before their first step; their ids."""
    ids = [uuid.uuid4() for _ in range(count)]
    asyncio.run(_fill(url, ids))
    return ids


async def _fill(url: str, ids: Sequence[uuid.UUID]) -> None:
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
        await connection.execute(EXECUTION.insert(), [{"id": execution, "step": 0} for execution in ids])
    await engine.dispose()


def check(url: str, count: int) -> None:
    """Raises RuntimeError unless so many executions are past their last step and have an outcome of each."""
    found = asyncio.run(_counts(url))
    if found != (count, count * STEPS):
        raise RuntimeError(f"of {count} executions {found[0]} are past their last step; {found[1]} outcomes")


async def _counts(url: str) -> tuple[int, int]:
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        past = await connection.scalar(
            sa.select(sa.func.count()).select_from(EXECUTION).where(EXECUTION.c.step == STEPS)
        )
        outcomes = await connection.scalar(sa.select(sa.func.count()).select_from(OUTCOME))
    await engine.dispose()
    return past or 0, outcomes or 0
