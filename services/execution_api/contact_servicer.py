"""Serves ContactService: one contact to callers, kept in two places; services/execution_api/__main__ adds it.

The engine's part (existence, address, consent) is written first, together with what is owed to the
crm service; then that is carried over. A crash in between leaves it owed, and the sweep carries it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

import asyncpg
import orjson
import structlog
from wayfarer.crm.v1 import contact_pb2, contact_service_pb2_grpc
from wayfarer.crm.v1 import contact_service_pb2 as pb
from wayfarer.crm.v1.contact_record_service_pb2 import ContactRecord

from execution_engine.definition.triggers import CONTACT_UPDATED
from execution_engine.errors import ExecutorUnavailable, ExternalIdTaken, InvalidValue, NotFound
from execution_engine.ids import new_id
from execution_engine.sending.channels import MESSENGER_FIELD, Channel, address_hash, address_of, normal
from execution_engine.store import cancel, changes, contacts
from execution_engine.store.accounts import account_transaction
from execution_engine.store.contacts import ContactRow
from services.execution_api import convert, crm_records, paging
from services.execution_api.answers import answered, key_of
from services.execution_api.auth import caller
from services.execution_api.crm_records import CrmRecords
from services.execution_api.showing import Engine
from services.runtime.interceptors import Context

_OWN = frozenset({"external_id", "email", "phone", "opted_out"})
_CRM = frozenset({"first_name", "last_name", "time_zone"})
log = structlog.get_logger(__name__)


class ContactServicer(contact_service_pb2_grpc.ContactServiceServicer):
    """The rpcs of ContactService; the proto says what each does."""

    def __init__(self, engine: Engine, records: CrmRecords) -> None:
        self._engine = engine
        self._records = records

    async def CreateContact(
        self, request: pb.CreateContactRequest, context: Context
    ) -> pb.CreateContactResponse:
        account_id, vault, given = caller().account_id, self._engine.vault, request.contact
        _check_zone(given.time_zone, "contact.time_zone")
        data = _crm_data(given)
        messenger_id = _messenger_id(data["fields"])
        owed = crm_records.put(data, sorted(set(given.tags)), {"email": given.email, "phone": given.phone})
        crm_records.check_size(owed)

        async def work(connection: asyncpg.Connection) -> pb.CreateContactResponse:
            now: datetime = await connection.fetchval("SELECT wf_now()")
            row = _new_row(given, now)
            if await contacts.insert(connection, vault, account_id, row, messenger_id, owed):
                told = [("contact_created", {}), *(("tag_added", {"value": tag}) for tag in given.tags)]
                await changes.tell_of_contact(connection, vault, account_id, row.contact_id, told)
                return pb.CreateContactResponse(contact=_given_back(given, row), created=True)
            if not request.upsert:
                raise ExternalIdTaken(given.external_id)
            known = await contacts.find_external(connection, vault, account_id, given.external_id, lock=True)
            if known is None:
                raise ExternalIdTaken(given.external_id)
            row = replace(row, contact_id=known.contact_id, created_at=known.created_at)
            await contacts.update(connection, vault, account_id, row, messenger_id, owed)
            return pb.CreateContactResponse(contact=_given_back(given, row), created=False)

        key = key_of("CreateContact", request)
        answer = await answered(self._engine.pool, vault, account_id, key, pb.CreateContactResponse, work)
        await self._carry_if_possible(account_id, UUID(answer.contact.id))
        return answer

    async def GetContact(self, request: pb.GetContactRequest, context: Context) -> pb.GetContactResponse:
        account_id = caller().account_id
        async with account_transaction(self._engine.pool, account_id) as connection:
            row = await self._named(connection, account_id, request)
        shown = await self._shown(account_id, [row])
        return pb.GetContactResponse(contact=shown[0])

    async def BatchGetContacts(
        self, request: pb.BatchGetContactsRequest, context: Context
    ) -> pb.BatchGetContactsResponse:
        account_id = caller().account_id
        ids = [UUID(name) for name in request.ids]
        async with account_transaction(self._engine.pool, account_id) as connection:
            found = await contacts.many(connection, self._engine.vault, account_id, ids)
        rows = [found[contact_id] for contact_id in ids if contact_id in found]
        return pb.BatchGetContactsResponse(contacts=await self._shown(account_id, rows))

    async def ListContacts(
        self, request: pb.ListContactsRequest, context: Context
    ) -> pb.ListContactsResponse:
        account_id, size = caller().account_id, paging.size_of(request.page_size)
        mark = paging.filter_mark(request)
        before = paging.decode_id(request.page_token, mark)
        if request.address:
            return pb.ListContactsResponse(contacts=await self._of_address(account_id, request.address))
        async with account_transaction(self._engine.pool, account_id) as connection:
            rows = await contacts.page(connection, self._engine.vault, account_id, before, size + 1)
        more = paging.encode(rows[size - 1].contact_id.bytes, mark) if len(rows) > size else ""
        shown = await self._shown(account_id, rows[:size])
        return pb.ListContactsResponse(contacts=shown, next_page_token=more)

    async def UpdateContact(
        self, request: pb.UpdateContactRequest, context: Context
    ) -> pb.UpdateContactResponse:
        account_id, vault, given = caller().account_id, self._engine.vault, request.contact
        contact_id = _id_of(given)
        paths = list(request.update_mask.paths)
        owed = _owed_for(given, paths)
        messenger_id = None
        if "fields" in paths or f"fields.{MESSENGER_FIELD}" in paths:
            messenger_id = _messenger_id(convert.plain(given.fields, "contact.fields"))
        # Which tags are new is only known beside the old ones, which the crm service has.
        tags_before = await self._tags(account_id, contact_id) if "tags" in paths else None

        async def work(connection: asyncpg.Connection) -> pb.UpdateContactResponse:
            row = await contacts.find(connection, vault, account_id, contact_id, lock=True)
            # A write that is still owed must not be lost to this one.
            before = await contacts.owed(connection, vault, account_id, contact_id)
            all_owed = crm_records.both(before[0], owed) if before is not None else owed
            crm_records.check_size(all_owed)
            own = {path: getattr(given, path) for path in paths if path in _OWN}
            changed = replace(row, **own)
            await contacts.update(connection, vault, account_id, changed, messenger_id, all_owed)
            told = [(CONTACT_UPDATED, {"fields": paths}), *_tag_changes(tags_before, given.tags)]
            await changes.tell_of_contact(connection, vault, account_id, contact_id, told)
            return pb.UpdateContactResponse(contact=contact_pb2.Contact(id=str(contact_id)))

        key = key_of("UpdateContact", request)
        await answered(self._engine.pool, vault, account_id, key, pb.UpdateContactResponse, work)
        await self._records.carry(account_id, contact_id)
        async with account_transaction(self._engine.pool, account_id) as connection:
            row = await contacts.find(connection, vault, account_id, contact_id)
        return pb.UpdateContactResponse(contact=(await self._shown(account_id, [row]))[0])

    async def DeleteContact(
        self, request: pb.DeleteContactRequest, context: Context
    ) -> pb.DeleteContactResponse:
        who, engine, contact_id = caller(), self._engine, UUID(request.id)

        async def work(connection: asyncpg.Connection) -> pb.DeleteContactResponse:
            await contacts.find(connection, engine.vault, who.account_id, contact_id, lock=True)
            await contacts.delete(connection, engine.vault, who.account_id, contact_id, crm_records.delete())
            ended = await cancel.cancel_of_contact(
                connection, engine.vault, engine.outlines, who.account_id, contact_id, who.actor
            )
            return pb.DeleteContactResponse(executions_cancelled=ended)

        key = key_of("DeleteContact", request)
        answer = await answered(
            engine.pool, engine.vault, who.account_id, key, pb.DeleteContactResponse, work
        )
        await self._carry_if_possible(who.account_id, contact_id)
        return answer

    async def _tags(self, account_id: int, contact_id: UUID) -> frozenset[str]:
        records = await self._records.read(account_id, [contact_id])
        record = records.get(contact_id)
        return frozenset(record.tags) if record is not None else frozenset()

    async def _named(
        self, connection: asyncpg.Connection, account_id: int, request: pb.GetContactRequest
    ) -> ContactRow:
        if request.WhichOneof("by") == "id":
            return await contacts.find(connection, self._engine.vault, account_id, UUID(request.id))
        row = await contacts.find_external(connection, self._engine.vault, account_id, request.external_id)
        if row is None:
            raise NotFound("contact", request.external_id)
        return row

    async def _carry_if_possible(self, account_id: int, contact_id: UUID) -> None:
        """The contact is durable; if the crm service is down, the sweep carries the rest later."""
        try:
            await self._records.carry(account_id, contact_id)
        except ExecutorUnavailable:
            log.warning("crm_write_owed", contact_id=str(contact_id))

    async def _of_address(self, account_id: int, address: str) -> list[contact_pb2.Contact]:
        """Whoever has this e-mail address or phone number, newest first."""
        bare = normal(Channel.EMAIL if "@" in address else Channel.SMS, address)
        hashed = address_hash(self._engine.vault, account_id, bare)
        async with account_transaction(self._engine.pool, account_id) as connection:
            ids = await contacts.of_address(connection, account_id, hashed)
            rows = await contacts.many(connection, self._engine.vault, account_id, ids)
        newest = sorted(rows.values(), key=lambda row: row.contact_id, reverse=True)
        return await self._shown(account_id, newest)

    async def _shown(self, account_id: int, rows: Sequence[ContactRow]) -> list[contact_pb2.Contact]:
        if not rows:
            return []
        records = await self._records.read(account_id, [row.contact_id for row in rows])
        return [_contact(row, records.get(row.contact_id)) for row in rows]


def _tag_changes(before: frozenset[str] | None, now: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    if before is None:
        return []
    added = [("tag_added", {"value": tag}) for tag in sorted(set(now) - before)]
    return added + [("tag_removed", {"value": tag}) for tag in sorted(before - set(now))]


def _id_of(given: contact_pb2.Contact) -> UUID:
    try:
        return UUID(given.id)
    except ValueError as error:
        raise InvalidValue("contact.id", "string.uuid", "must be a UUID") from error


def _messenger_id(fields: Mapping[str, Any]) -> str:
    return address_of(Channel.MESSENGER, {"fields": fields})


def _check_zone(zone: str, field: str) -> None:
    if zone and zone not in available_timezones():
        raise InvalidValue(field, "time_zone", f"{zone!r} is not an IANA time zone")


def _crm_data(given: contact_pb2.Contact) -> dict[str, Any]:
    return {
        "first_name": given.first_name,
        "last_name": given.last_name,
        "time_zone": given.time_zone,
        "fields": convert.plain(given.fields, "contact.fields"),
    }


def _owed_for(given: contact_pb2.Contact, paths: Sequence[str]) -> bytes:
    """The crm part of an update by field mask. Raises InvalidValue for a path that is not there."""
    data: dict[str, Any] = {}
    fields = convert.plain(given.fields, "contact.fields")
    changed: dict[str, Any] = {}
    for path in paths:
        if path in _CRM:
            data[path] = getattr(given, path)
        elif path == "fields":
            changed = fields
        elif path.startswith("fields.") and path != "fields.":
            changed[path.removeprefix("fields.")] = fields.get(path.removeprefix("fields."))
        elif path not in _OWN and path != "tags":
            known = ", ".join(sorted([*_OWN, *_CRM, "tags", "fields", "fields.NAME"]))
            raise InvalidValue("update_mask", "path", f"{path!r} cannot be updated (there are {known})")
    if "time_zone" in data:
        _check_zone(str(data["time_zone"]), "contact.time_zone")
    if "fields" in paths or changed:
        data["fields"] = changed
    tags = sorted(set(given.tags)) if "tags" in paths else None
    addresses = {name: getattr(given, name) for name in ("email", "phone") if name in paths}
    return crm_records.patch(data, tags, "fields" in paths, addresses)


def _new_row(given: contact_pb2.Contact, now: datetime) -> ContactRow:
    return ContactRow(
        contact_id=new_id(now),
        external_id=given.external_id,
        email=given.email,
        phone=given.phone,
        opted_out=given.opted_out,
        revision=1,
        owes_crm=True,
        created_at=now,
        updated_at=now,
    )


def _given_back(given: contact_pb2.Contact, row: ContactRow) -> contact_pb2.Contact:
    """A contact just written, as a read would show it."""
    record = ContactRecord(data=orjson.dumps(_crm_data(given)), tags=sorted(set(given.tags)))
    return _contact(row, record)


def _contact(row: ContactRow, record: ContactRecord | None) -> contact_pb2.Contact:
    data = orjson.loads(record.data) if record is not None and record.data else {}
    return contact_pb2.Contact(
        id=str(row.contact_id),
        external_id=row.external_id,
        email=row.email,
        phone=row.phone,
        first_name=data.get("first_name") or "",
        last_name=data.get("last_name") or "",
        tags=record.tags if record is not None else [],
        fields=convert.struct(data.get("fields") or {}),
        opted_out=row.opted_out,
        time_zone=data.get("time_zone") or "",
        create_time=convert.timestamp(row.created_at),
        update_time=convert.timestamp(row.updated_at),
    )
