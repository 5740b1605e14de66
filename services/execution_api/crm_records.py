"""Carries the crm service's part of contacts over to it, now and after a crash; contact_servicer calls it.

What is owed stands in the contact's own row, written with the engine's part in one transaction. The
crm service takes a write of an old revision as done, so carrying it twice changes nothing.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg
import grpc
import orjson
import structlog
from wayfarer.crm.v1 import contact_record_service_pb2 as pb
from wayfarer.crm.v1.contact_record_service_pb2_grpc import ContactRecordServiceStub

from execution_engine import ports
from execution_engine.errors import ExecutorUnavailable, InvalidValue
from execution_engine.store import contacts
from execution_engine.store.accounts import account_transaction

_TIMEOUT_S = 5.0
_MOST_BYTES = 131_072
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_SWEEP = 200
log = structlog.get_logger(__name__)


def put(data: dict[str, object], tags: Sequence[str], addresses: Mapping[str, str]) -> bytes:
    """What is owed for a whole record. `addresses`: email and phone, by which the crm knows contacts."""
    return orjson.dumps({"do": "put", "data": data, "tags": list(tags), "addresses": dict(addresses)})


def patch(
    changes: dict[str, object],
    tags: Sequence[str] | None,
    replace_fields: bool,
    addresses: Mapping[str, str],
) -> bytes:
    """What is owed for a change of some of it; None leaves the tags alone."""
    return orjson.dumps(
        {
            "do": "patch",
            "data": changes,
            "tags": list(tags) if tags is not None else None,
            "replace": replace_fields,
            "addresses": dict(addresses),
        }
    )


def delete() -> bytes:
    """What is owed for a deletion."""
    return orjson.dumps({"do": "delete"})


def both(first: bytes, then: bytes) -> bytes:
    """What is owed in all when a patch comes upon a put or a patch that is still owed."""
    old, new = orjson.loads(first), orjson.loads(then)
    whole: bool = old["do"] == "put"
    data = {**old["data"], **new["data"]}
    if "fields" in new["data"]:
        kept = {} if new["replace"] else old["data"].get("fields", {})
        fields = {**kept, **new["data"]["fields"]}
        # Where all fields are known, null has done its work; elsewhere it must still remove.
        known = whole or old["replace"] or new["replace"]
        data["fields"] = {k: v for k, v in fields.items() if v is not None} if known else fields
    tags = new["tags"] if new["tags"] is not None else old["tags"]
    addresses = {**old.get("addresses", {}), **new.get("addresses", {})}
    if whole:
        return put(data, tags, addresses)
    return patch(data, tags, bool(old.get("replace")) or new["replace"], addresses)


def check_size(owed: bytes) -> None:
    """Raises InvalidValue for more than the crm service takes: it would stay owed for ever."""
    if len(owed) > _MOST_BYTES:
        raise InvalidValue("contact.fields", "too_large", f"must be at most {_MOST_BYTES} bytes as JSON")


class CrmRecords:
    """The client of ContactRecordService, and what carries owed writes over."""

    def __init__(self, pool: asyncpg.Pool, vault: ports.Vault, channel: grpc.aio.Channel) -> None:
        self._pool = pool
        self._vault = vault
        self._stub = ContactRecordServiceStub(channel)

    async def read(self, account_id: int, ids: Sequence[UUID]) -> dict[UUID, pb.ContactRecord]:
        """The records that exist. Raises ExecutorUnavailable."""
        request = pb.BatchGetRecordsRequest(
            account_ids=[account_id] * len(ids), contact_ids=[i.bytes for i in ids]
        )
        try:
            response = await self._stub.BatchGetRecords(request, timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise ExecutorUnavailable("crm") from error
        return {UUID(bytes=record.contact_id): record for record in response.records}

    async def carry(self, account_id: int, contact_id: UUID) -> None:
        """Carries over what one contact owes, if anything. Raises ExecutorUnavailable; it stays owed then."""
        async with account_transaction(self._pool, account_id) as connection:
            owed = await contacts.owed(connection, self._vault, account_id, contact_id)
        if owed is None:
            return
        try:
            await self._send(account_id, contact_id, orjson.loads(owed[0]), owed[1])
        except grpc.aio.AioRpcError as error:
            raise ExecutorUnavailable("crm") from error
        async with account_transaction(self._pool, account_id) as connection:
            await contacts.carried(connection, account_id, contact_id, owed[1])

    async def _send(self, account_id: int, contact_id: UUID, owed: dict[str, object], revision: int) -> None:
        key = contact_id.bytes
        if owed["do"] == "put":
            record = pb.ContactRecord(
                account_id=account_id,
                contact_id=key,
                data=orjson.dumps(owed["data"]),
                tags=owed["tags"],  # type: ignore[arg-type]
            )
            await self._stub.PutRecord(
                pb.PutRecordRequest(record=record, revision=revision, **_addresses(owed)), timeout=_TIMEOUT_S
            )
        elif owed["do"] == "patch":
            request = pb.PatchRecordRequest(
                account_id=account_id,
                contact_id=key,
                patch=orjson.dumps(owed["data"]),
                tags=owed["tags"] or [],  # type: ignore[arg-type]
                replace_tags=owed["tags"] is not None,
                replace_fields=bool(owed["replace"]),
                revision=revision,
                **_addresses(owed),
            )
            await self._stub.PatchRecord(request, timeout=_TIMEOUT_S)
        else:
            gone = pb.DeleteRecordRequest(account_id=account_id, contact_id=key)
            await self._stub.DeleteRecord(gone, timeout=_TIMEOUT_S)

    async def sweep(self) -> bool:
        """Carries over what an earlier process left owed; True if there may be more."""
        owing = await contacts.owing(self._pool, _SWEEP)
        for account_id, contact_id in owing:
            try:
                await self.carry(account_id, contact_id)
            except ExecutorUnavailable as error:
                cause = error.__cause__
                code = cause.code() if isinstance(cause, grpc.aio.AioRpcError) else None
                if code in _AWAY:
                    log.warning("crm_still_unreachable", owing=len(owing))
                    return False
                # One that the crm service refuses must not hold up the others.
                log.error("crm_refuses_write", contact_id=str(contact_id), code=str(code))
        return False


def _addresses(owed: Mapping[str, object]) -> dict[str, str]:
    """Those that are told; one that is told empty is gone."""
    told = owed.get("addresses") or {}
    assert isinstance(told, dict)
    return {name: told[name] for name in ("email", "phone") if name in told}
