"""Writes a note about the contact. The registry finds ACTION; a batch is two statements."""

from collections.abc import Sequence
from typing import Annotated, Final

import asyncpg
from pydantic import Field, StringConstraints

from services.executors.action import ActionConfig, ActionDefinition, Call, DeliveryClass, Result, succeeded
from services.executors.crm.carrying import Carrier
from services.executors.crm.contacts import contact_of
from services.executors.crm.desk import Desk
from services.executors.crm.fields import Title
from services.executors.crm.ids import new_ids
from services.executors.crm.notes import Note
from services.executors.crm.refusals import CONTACT_NOT_FOUND


class Config(ActionConfig):
    """What to write down."""

    body: Annotated[
        str,
        StringConstraints(min_length=1, max_length=5000),
        Field(description="The note; 1 to 5,000 characters."),
    ]
    title: Annotated[Title | None, Field(description="Its title; at most 255 characters.")] = None
    pinned: Annotated[bool, Field(description="Whether it stays on top.")] = False


async def apply(connection: asyncpg.Connection, calls: Sequence[Call[Config]], desk: Desk) -> list[Result]:
    """Write a note for every call of the batch."""
    known = await desk.contacts.held(connection, calls)
    notes: list[Note] = []
    results: list[Result] = []
    for call, note_id in zip(calls, new_ids(len(calls)), strict=True):
        key, config = contact_of(call), call.config
        if key not in known:
            results.append(CONTACT_NOT_FOUND)
            continue
        notes.append(Note(key, note_id, config.title or "", config.body, config.pinned))
        results.append(succeeded({"note_id": str(note_id), "changed": True}))
    await desk.notes.write(connection, notes)
    return results


_CARRIER: Final = Carrier("add_note", Config)

ACTION: Final = ActionDefinition(
    name="add_note",
    summary="Writes a note about the contact.",
    config=Config,
    sample={"title": "Call", "body": "Asked for an offer.", "pinned": False},
    delivery=DeliveryClass.TX,
    apply=apply,
    elsewhere=_CARRIER.run,
    elsewhere_summary=(
        "LeadConnector: POST /contacts/{id}/notes, its body marked; looked for by the mark before a repeat"
    ),
    find=_CARRIER.find,
    lanes=("crm",),
    sensitive_fields=("title", "body"),
    emits={"note_added": "title"},
    max_batch=500,
)
