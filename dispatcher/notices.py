"""Tells accounts of failed executions: decides, fixes the notice, sends it through the executors, logs it.

services/worker sweeps each second. A notice's id is durable before anything is sent and is the effect key,
so that a notice sent again after a crash is one notice: the executors' ledgers know it.
"""

from dataclasses import replace
from datetime import datetime

import asyncpg
import grpc
import orjson
import structlog
from wayfarer.action.v1 import action_pb2 as pb

from dispatcher import wire
from dispatcher.routing import Routing
from dispatcher.shards import Shards
from execution_engine import notices as words
from execution_engine import ports
from execution_engine.errors import WayfarerError
from execution_engine.ids import new_id
from execution_engine.model import LogEvent, Status
from execution_engine.notices import Target
from execution_engine.outcome import Failed, Outcome, Skipped, Succeeded
from execution_engine.store import notices
from execution_engine.store.locked import lock
from execution_engine.store.notices import Notice
from execution_engine.store.workflows import Outlines

log = structlog.get_logger(__name__)
_SETTINGS = "SELECT settings FROM account WHERE account_id = $1"
_BUDGET_MS = 20_000
_NOBODY = bytes(15) + b"\x01"
"""An action is done for a contact; a notice is for none."""


class Notifier:
    """Tells of the failures of the worker's shards."""

    def __init__(self, pool: asyncpg.Pool, vault: ports.Vault, routing: Routing, shards: Shards) -> None:
        self._pool = pool
        self._vault = vault
        self._routing = routing
        self._shards = shards
        self._outlines = Outlines(vault)

    async def sweep(self) -> bool:
        """Makes and sends what is due; False, as the next second is soon enough."""
        owned = sorted(self._shards.owned)
        if not owned:
            return False
        await self._make(owned)
        async with self._pool.acquire() as connection:
            due = await notices.due(connection, self._vault, owned)
        for notice in due:
            await self._send(notice)
        return False

    async def _make(self, owned: list[int]) -> None:
        async with self._pool.acquire() as connection:
            for group in await notices.groups(connection, owned):
                async with connection.transaction():
                    now: datetime = await connection.fetchval("SELECT wf_now()")
                    settings = orjson.loads(await connection.fetchval(_SETTINGS, group.account_id))
                    targets = words.targets_of(settings)
                    if not targets:
                        await notices.unwanted(connection, group)
                    elif words.is_due(group, settings, now):
                        await notices.make(connection, self._vault, group, new_id(now), targets, now)

    async def _send(self, notice: Notice) -> None:
        tries = notice.tries + 1
        targets = []
        for place, (target, done) in enumerate(notice.targets):
            targets.append((target, done or await self._tell(notice, place, target, tries)))
        notice = replace(notice, targets=targets, tries=tries)
        open_ = any(not done for _, done in targets)
        wait = words.retry_after(tries) if open_ else None
        if open_ and wait is None:
            log.warning("notice_given_up", notice_id=str(notice.notice_id), tries=tries)
        async with self._pool.acquire() as connection, connection.transaction():
            now: datetime = await connection.fetchval("SELECT wf_now()")
            if wait is None and any(done == "sent" for _, done in targets):
                await self._log(connection, notice)
            await notices.after(connection, self._vault, notice, now + wait if wait is not None else None)

    async def _tell(self, notice: Notice, place: int, target: Target, tries: int) -> str:
        """What became of one target: "sent", "refused", or "" to try it again."""
        action_type, config = _message(notice, target)
        info = self._routing.catalogue.types.get(action_type)
        if info is None:
            return ""
        action = pb.Action(
            effect_key=pb.EffectKey(execution_id=notice.notice_id.bytes, step_id=f"notice-{place}", visit=1),
            account_id=notice.account_id,
            contact_id=_NOBODY,
            action_type=action_type,
            config=orjson.dumps(config),
            attempt=1,  # each try is one of its own: the notice has its schedule, no type's retries count
            fence=tries,
            budget_ms=_BUDGET_MS,
        )
        outcome: Outcome | None = None
        try:
            async for results in self._routing.clients[info.family].execute_batch([action]):
                outcome = wire.outcome(results[0].result)
        except (grpc.aio.AioRpcError, KeyError) as error:
            log.warning("notice_not_sent", notice_id=str(notice.notice_id), problem=type(error).__name__)
        match outcome:
            case Succeeded(output=output):
                return "sent" if not output or orjson.loads(output).get("sent", True) else "refused"
            case Skipped() | Failed(retry_after_s=None) if tries >= words.MOST_TRIES:
                return "refused"
            case _:
                return ""

    async def _log(self, connection: asyncpg.Connection, notice: Notice) -> None:
        """Into the log of each execution told of, where it still stands FAILED."""
        kinds = sorted({target.kind for target, done in notice.targets if done == "sent"})
        detail = {"notice_id": str(notice.notice_id), "by": kinds, "told_of": notice.told.count}
        for execution_id in sorted(notice.told.executions):
            try:
                row = await lock(connection, self._vault, self._outlines, notice.account_id, execution_id)
            except WayfarerError:
                continue  # it has gone on to the history
            if row.status is Status.FAILED:
                row.append(LogEvent.NOTIFICATION_SENT, detail)
                await row.write(connection)


def _message(notice: Notice, target: Target) -> tuple[str, dict[str, object]]:
    """The action that tells one target, and its config."""
    told = notice.told
    if target.kind == "email":
        # Not by the account's own provider, whose refusal may be what there is to tell.
        return "send_notification", {
            "channel": "email",
            "recipients": [target.address],
            "title": words.subject(told)[:200],
            "body": words.text(told)[:5_000],
        }
    body: object = (
        {"text": words.text(told)} if target.kind == "slack" else words.body(told, notice.notice_id)
    )
    return "webhook_call", {"url": target.address, "method": "POST", "body": body}
