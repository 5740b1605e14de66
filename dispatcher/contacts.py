"""Fetches what templates, conditions and executors may read of contacts, in batches; the driver calls it.

The engine's database has existence and addresses, the crm service the rest; both are asked side by
side. Fetched when a step that reads it may come next, and again after an effect of the crm family.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import grpc
import orjson
from wayfarer.crm.v1 import contact_record_service_pb2 as pb
from wayfarer.crm.v1.contact_record_service_pb2_grpc import ContactRecordServiceStub

from execution_engine import ports
from execution_engine.run import Run
from execution_engine.sending.channels import Channel, address_of
from execution_engine.sending.rules import longest_cap
from execution_engine.store import facts
from execution_engine.store.facts import Wanted
from execution_engine.store.sql import statement

_LOAD = statement("load_contacts")
_TIMEOUT_S = 5.0
_BLANK = {"first_name": "", "last_name": "", "time_zone": "", "owner": ""}


class Contacts:
    """Reads contacts for runs, through a pool, or through one connection that may see their account."""

    def __init__(
        self, pool: asyncpg.Pool | asyncpg.Connection, vault: ports.Vault, channel: grpc.aio.Channel
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._stub = ContactRecordServiceStub(channel)

    async def attach(self, runs: Sequence[Run], sending: Sequence[Run]) -> None:
        """Sets `run.contact` of each, and `run.facts` of those of them that may be about to send.

        Raises AioRpcError or a database error: what is not set yet then stays as it was.
        """
        accounts = [run.account_id for run in runs]
        ids = [run.contact_id for run in runs]
        request = pb.BatchGetRecordsRequest(account_ids=accounts, contact_ids=[i.bytes for i in ids])
        rows, response = await asyncio.gather(
            self._pool.fetch(_LOAD, accounts, ids), self._stub.BatchGetRecords(request, timeout=_TIMEOUT_S)
        )
        own = {(row["account_id"], row["contact_id"].bytes): row for row in rows}
        records = {(record.account_id, record.contact_id): record for record in response.records}
        for run in runs:
            key = (run.account_id, run.contact_id.bytes)
            run.contact = self._merge(run, own.get(key), records.get(key))
        revs = {key: row["sending_rev"] for key, row in own.items()}
        await self._attach_facts(sending, revs)

    async def _attach_facts(self, runs: Sequence[Run], revs: Mapping[tuple[int, bytes], int]) -> None:
        """`revs` are as old as the addresses."""
        if not runs:
            return
        wanted = [
            Wanted(
                run.account_id,
                run.contact_id,
                _addresses(run),
                longest_cap(run.settings.get("sending") or {}),
                revs.get((run.account_id, run.contact_id.bytes)),
            )
            for run in runs
        ]
        for run, found in zip(runs, await facts.load(self._pool, self._vault, wanted), strict=True):
            run.facts = found

    def _merge(self, run: Run, own: asyncpg.Record | None, record: pb.ContactRecord | None) -> dict[str, Any]:
        contact: dict[str, Any] = {"id": str(run.contact_id), **_BLANK, "tags": [], "fields": {}}
        if record is not None:
            contact.update(orjson.loads(record.data or b"{}"))
            contact["tags"] = list(record.tags)
            contact["owner"] = record.owner
        if own is not None:
            contact["external_id"] = own["external_id"] or ""
            contact["opted_out"] = own["opted_out"]
            for name in ("email", "phone"):
                sealed = own[f"{name}_sealed"]
                contact[name] = (
                    self._vault.open(ports.ADDRESS, run.account_id, sealed).decode() if sealed else ""
                )
        return contact


def _addresses(run: Run) -> tuple[str, ...]:
    """The contact's own, and those of the config's that the gate asked for."""
    own = {address_of(channel, run.contact or {}) for channel in Channel}
    return tuple(sorted({*own, *run.foreign} - {""}))
