"""What add_tag and remove_tag share: their config, and reading a batch statement's answer."""

from collections.abc import Sequence
from typing import Annotated, Final

import asyncpg
from pydantic import Field, StringConstraints

from services.executors.action import ActionConfig, Call, Result, Succeeded
from services.executors.crm.refusals import CONTACT_NOT_FOUND

CHANGED: Final = Succeeded(b'{"changed":true}', constant=True)
UNCHANGED: Final = Succeeded(b'{"changed":false}', constant=True)


class TagConfig(ActionConfig):
    """Which tag."""

    tag: Annotated[
        str,
        StringConstraints(
            strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$"
        ),
        Field(description="The tag; 1 to 100 characters."),
    ]


async def change_tags(
    connection: asyncpg.Connection, statement: str, calls: Sequence[Call[TagConfig]]
) -> list[Result]:
    """Run add_tags.sql or remove_tags.sql for a batch: one round trip, one row back."""
    row = await connection.fetchrow(
        statement,
        [call.key.account_id for call in calls],
        [call.contact_id for call in calls],
        [call.config.tag for call in calls],
    )
    if row["changed"] is None:
        return [CHANGED] * len(calls)
    changed = set(row["changed"])
    known = None if row["known"] is None else set(row["known"])
    return [
        CONTACT_NOT_FOUND
        if known is not None and place not in known
        else CHANGED
        if place in changed
        else UNCHANGED
        for place in range(1, len(calls) + 1)
    ]
