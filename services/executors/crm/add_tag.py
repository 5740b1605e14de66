"""Adds tags to the contact. The registry finds ACTION; a batch is one statement."""

from collections.abc import Sequence
from typing import Final

import asyncpg

from services.executors.action import ActionDefinition, Call, DeliveryClass, Result
from services.executors.crm.carrying import Carrier
from services.executors.crm.desk import Desk
from services.executors.crm.statements import own
from services.executors.crm.tags import TagConfig as Config
from services.executors.crm.tags import Words, change_tags

_STATEMENT: Final = own("add_tags")
_WORDS: Final = Words("added", "already")


async def apply(connection: asyncpg.Connection, calls: Sequence[Call[Config]], desk: Desk) -> list[Result]:
    """Adds tags to the contact, for every call of the batch."""
    return await change_tags(connection, _STATEMENT, calls, _WORDS)


_CARRIER: Final = Carrier("add_tag", Config, apply)

ACTION: Final = ActionDefinition(
    name="add_tag",
    summary="Adds a tag, or several, to the contact.",
    config=Config,
    sample={"tag": "vip"},
    delivery=DeliveryClass.TX,
    apply=apply,
    elsewhere=_CARRIER.run,
    elsewhere_summary="LeadConnector: POST /contacts/{id}/tags; at least once, which adds them once",
    find=_CARRIER.find,
    lanes=("crm",),
    max_batch=500,
    emits={"tag_added": "tag"},
)
