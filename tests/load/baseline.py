"""What users write today, as the measure to beat: one step per transaction; bench.py runs it beside Wayfarer.

SQLAlchemy Core async, 20 executions in flight, and per step: SELECT FOR UPDATE, one unary Execute
to the same crm executor, UPDATE, two log inserts, COMMIT.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from wayfarer.action.v1 import action_executor_pb2 as executor_pb
from wayfarer.action.v1 import action_pb2 as pb
from wayfarer.action.v1.action_executor_pb2_grpc import ActionExecutorStub

from execution_engine.ids import new_id
from services.runtime.config import HostPort
from services.runtime.grpc_client import open_channel

_IN_FLIGHT = 20
_METADATA = sa.MetaData()
_EXECUTION = sa.Table(
    "baseline_execution",
    _METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("contact_id", sa.Uuid, nullable=False),
    sa.Column("account_id", sa.BigInteger, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now()),
)
_LOG = sa.Table(
    "baseline_log",
    _METADATA,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("execution_id", sa.Uuid, nullable=False, index=True),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now()),
)


async def run(dsn: str, crm: HostPort, contacts: Sequence[tuple[int, UUID]], steps: int) -> float:
    """Runs one execution of `steps` add_tag actions per contact; actions per second."""
    engine = create_async_engine(
        dsn.replace("postgresql://", "postgresql+asyncpg://"), pool_size=_IN_FLIGHT, max_overflow=0
    )
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_METADATA.drop_all)
            await connection.run_sync(_METADATA.create_all)
            rows = [
                {
                    "id": new_id(datetime.now(UTC)),
                    "contact_id": contact,
                    "account_id": account,
                    "status": "ACTIVE",
                    "step": 0,
                }
                for account, contact in contacts
            ]
            await connection.execute(_EXECUTION.insert(), rows)
        async with open_channel(crm) as channel:
            stub = ActionExecutorStub(channel)
            waiting = asyncio.Queue[UUID]()
            for row in rows:
                waiting.put_nowait(row["id"])  # type: ignore[arg-type]
            started = time.perf_counter()
            await asyncio.gather(*(_drive(engine, stub, waiting, steps) for _ in range(_IN_FLIGHT)))
            return len(rows) * steps / (time.perf_counter() - started)
    finally:
        await engine.dispose()


async def _drive(
    engine: AsyncEngine, stub: ActionExecutorStub, waiting: asyncio.Queue[UUID], steps: int
) -> None:
    while not waiting.empty():
        execution_id = waiting.get_nowait()
        for step in range(steps):
            await _step(engine, stub, execution_id, step)


async def _step(engine: AsyncEngine, stub: ActionExecutorStub, execution_id: UUID, step: int) -> None:
    async with engine.begin() as connection:
        row = (
            await connection.execute(
                sa.select(_EXECUTION).where(_EXECUTION.c.id == execution_id).with_for_update()
            )
        ).one()
        await connection.execute(_LOG.insert().values(execution_id=execution_id, step=step, event="started"))
        response = await stub.Execute(
            executor_pb.ExecuteRequest(
                action=pb.Action(
                    effect_key=pb.EffectKey(
                        execution_id=execution_id.bytes, step_id=f"baseline_{step}", visit=1
                    ),
                    account_id=row.account_id,
                    contact_id=row.contact_id.bytes,
                    action_type="add_tag",
                    config=b'{"tag":"baseline-%d"}' % step,
                    attempt=1,
                    fence=1,
                    budget_ms=10_000,
                )
            ),
            timeout=10,
        )
        if response.result.outcome != pb.OUTCOME_SUCCEEDED:
            raise RuntimeError(f"the baseline's action failed: {response.result}")
        await connection.execute(
            sa.update(_EXECUTION)
            .where(_EXECUTION.c.id == execution_id)
            .values(step=step + 1, updated_at=sa.func.now())
        )
        await connection.execute(
            _LOG.insert().values(execution_id=execution_id, step=step, event="completed")
        )
