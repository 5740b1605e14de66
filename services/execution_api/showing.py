"""What the servicers share, and how executions are shown: with their keys, outlines and limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg
from wayfarer.execution.v1 import execution_pb2

from dispatcher.routing import Routing
from execution_engine import ports
from execution_engine.model import ExecutionView
from execution_engine.steps.registry import CONTROL_STEPS
from execution_engine.store import explain, workflows
from execution_engine.store.workflows import Outlines
from services.execution_api import convert


@dataclass(frozen=True, slots=True)
class Engine:
    """What the servicers share."""

    pool: asyncpg.Pool
    vault: ports.Vault
    outlines: Outlines
    routing: Routing

    def sensitive(self) -> Mapping[str, Sequence[str]]:
        """Paths of personal data by action type."""
        return {name: info.sensitive_fields for name, info in self.routing.catalogue.types.items()}

    def families(self) -> Mapping[str, str]:
        """The family of each action type at hand; control steps need none."""
        known = {name: info.family for name, info in self.routing.catalogue.types.items()}
        return known | dict.fromkeys(CONTROL_STEPS, "engine")


async def shown(
    engine: Engine, connection: asyncpg.Connection, view: ExecutionView
) -> execution_pb2.Execution:
    """An execution as callers see it."""
    return (await shown_all(engine, connection, [view]))[0]


async def shown_all(
    engine: Engine, connection: asyncpg.Connection, views: Sequence[ExecutionView]
) -> list[execution_pb2.Execution]:
    """Executions of one account as callers see them."""
    if not views:
        return []
    account_id = views[0].account_id
    keys = await workflows.keys(connection, account_id, list({view.workflow_id for view in views}))
    marked = await explain.mark_limited(connection, account_id, list(views))
    return [
        convert.execution(
            view,
            await engine.outlines.of(connection, account_id, view.workflow_id, view.version),
            keys[view.workflow_id],
        )
        for view in marked
    ]
