"""Serves ContactRecordService: converts, calls ContactRecords, converts; on the crm family's server."""

from __future__ import annotations  # gRPC classes are generic in their stubs only

import uuid
from typing import Any, TypeAlias

import grpc
import orjson
from asyncpg.pgproto.pgproto import UUID
from wayfarer.crm.v1 import contact_record_service_pb2 as wire
from wayfarer.crm.v1.contact_record_service_pb2_grpc import ContactRecordServiceServicer

from services.executors.action import JsonObject
from services.executors.crm.ids import ContactKey
from services.executors.crm.records import ContactRecords, ContactUnknownError, Patch, Record
from services.runtime.errors import Violation, abort, bad_request, status

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class RecordServicer(ContactRecordServiceServicer):
    """The inside door to contact records."""

    def __init__(self, records: ContactRecords) -> None:
        self._records = records

    async def PutRecord(self, request: wire.PutRecordRequest, context: Context) -> wire.PutRecordResponse:
        """Write a whole record."""
        sent = request.record
        await _object(sent.data, "record.data", context)
        record = Record(_key(sent.account_id, sent.contact_id), sent.data or b"{}", tuple(sent.tags))
        await self._records.put(record, request.revision, _addresses(request))
        return wire.PutRecordResponse()

    async def PatchRecord(
        self, request: wire.PatchRecordRequest, context: Context
    ) -> wire.PatchRecordResponse:
        """Change parts of a record."""
        data = await _object(request.patch, "patch", context)
        tags = tuple(request.tags) if request.replace_tags else None
        key = _key(request.account_id, request.contact_id)
        try:
            patch = Patch(data, tags, request.replace_fields, _addresses(request))
            record = await self._records.patch(key, patch, request.revision)
        except ContactUnknownError:
            await abort(context, status(grpc.StatusCode.NOT_FOUND, "CONTACT_NOT_FOUND", "no such contact"))
        return wire.PatchRecordResponse(record=_wire(record))

    async def BatchGetRecords(
        self, request: wire.BatchGetRecordsRequest, context: Context
    ) -> wire.BatchGetRecordsResponse:
        """Read many records."""
        if len(request.account_ids) != len(request.contact_ids):
            fault = Violation("account_ids", "must be one per contact id", "same_length")
            await abort(context, bad_request("REQUEST_INVALID", "account_ids: one per contact id", [fault]))
        if any(len(contact_id) != 16 for contact_id in request.contact_ids):
            fault = Violation("contact_ids", "must be 16 bytes each", "bytes.len")
            await abort(context, bad_request("REQUEST_INVALID", "contact_ids: 16 bytes each", [fault]))
        keys = [_key(*pair) for pair in zip(request.account_ids, request.contact_ids, strict=True)]
        return wire.BatchGetRecordsResponse(
            records=[_wire(record) for record in await self._records.get(keys)]
        )

    async def DeleteRecord(
        self, request: wire.DeleteRecordRequest, context: Context
    ) -> wire.DeleteRecordResponse:
        """Remove a record."""
        await self._records.delete(_key(request.account_id, request.contact_id))
        return wire.DeleteRecordResponse()


async def _object(raw: bytes, field: str, context: Context) -> JsonObject:
    try:
        value = orjson.loads(raw or b"{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        fault = Violation(field, "must be a JSON object", "json.object")
        await abort(context, bad_request("REQUEST_INVALID", f"{field}: must be a JSON object", [fault]))
    return value


def _addresses(request: wire.PutRecordRequest | wire.PatchRecordRequest) -> dict[str, str | None]:
    """Give the addresses that something is said of, by kind."""
    given: dict[str, str | None] = {}
    if request.HasField("email"):
        given["email"] = request.email
    if request.HasField("phone"):
        given["phone"] = request.phone
    return given


def _key(account_id: int, contact_id: bytes) -> ContactKey:
    key: uuid.UUID = UUID(contact_id)
    return account_id, key


def _wire(record: Record) -> wire.ContactRecord:
    account_id, contact_id = record.key
    return wire.ContactRecord(
        account_id=account_id,
        contact_id=contact_id.bytes,
        data=record.data,
        tags=record.tags,
        owner=record.owner,
    )
