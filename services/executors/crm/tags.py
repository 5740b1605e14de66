"""What add_tag and remove_tag share: their config, and reading a batch statement's answer."""

import uuid
from collections.abc import Sequence
from itertools import islice
from typing import Annotated, Final, NamedTuple

import asyncpg
import orjson
from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from services.executors.action import ActionConfig, Call, Result, Succeeded, succeeded
from services.executors.crm.fields import Tag
from services.executors.crm.refusals import CONTACT_NOT_FOUND

CHANGED: Final = Succeeded(b'{"changed":true}', constant=True)
UNCHANGED: Final = Succeeded(b'{"changed":false}', constant=True)

_MOST_BYTES: Final = 7500


class TagConfig(ActionConfig):
    """Which tags; exactly one of tag and tags."""

    tags: Annotated[
        tuple[Tag, ...] | None,
        Field(
            min_length=1,
            max_length=50,
            description="Several tags; 1 to 50, together at most 7,500 bytes as JSON.",
        ),
    ] = None
    tag: Annotated[Tag | None, Field(description="The tag; 1 to 100 characters.", validate_default=True)] = (
        None
    )

    @field_validator("tags")
    @classmethod
    def _check_size(cls, tags: tuple[str, ...] | None) -> tuple[str, ...] | None:
        # They are told twice in the output, which is bounded.
        if tags and len(orjson.dumps(tags)) > _MOST_BYTES:
            raise ValueError(f"must be at most {_MOST_BYTES} bytes as JSON")
        return tags

    @field_validator("tag")
    @classmethod
    def _check_which(cls, tag: str | None, info: ValidationInfo) -> str | None:
        several = info.data.get("tags", ...)  # absent if at fault itself
        if tag is None and several is None:
            raise PydanticCustomError("missing", "Field required, unless there are tags")
        if tag is not None and several is not None:
            raise ValueError("must have exactly one of tag and tags")
        return tag


class Words(NamedTuple):
    """What an action calls tags it changed, and those it found so."""

    changed: str
    unchanged: str


async def change_tags(
    connection: asyncpg.Connection, statement: str, calls: Sequence[Call[TagConfig]], words: Words
) -> list[Result]:
    """Run add_tags.sql or remove_tags.sql for a batch: one round trip, one row back."""
    tags = [call.config.tag for call in calls]
    if not all(tags):  # a quarter of the time `None in tags` takes, on the hot path
        return await _change_several(connection, statement, calls, words)
    return await change(
        connection,
        statement,
        [call.key.account_id for call in calls],
        [call.contact_id for call in calls],
        tags,
    )


async def _change_several(
    connection: asyncpg.Connection, statement: str, calls: Sequence[Call[TagConfig]], words: Words
) -> list[Result]:
    """As change_tags where some calls have several tags: a row each, put together again."""
    asked = [_asked(call.config) for call in calls]
    rows = [(call, tag) for call, tags in zip(calls, asked, strict=True) for tag in tags]
    answers = iter(
        await change(
            connection,
            statement,
            [call.key.account_id for call, _ in rows],
            [call.contact_id for call, _ in rows],
            [tag for _, tag in rows],
        )
    )
    return [
        _together(call.config, list(zip(tags, islice(answers, len(tags)), strict=True)), words)
        for call, tags in zip(calls, asked, strict=True)
    ]


def _asked(config: TagConfig) -> Sequence[str]:
    """Give a call's tags, each once."""
    return [config.tag] if config.tag is not None else list(dict.fromkeys(config.tags or ()))


def _together(config: TagConfig, answers: Sequence[tuple[str, Result]], words: Words) -> Result:
    if config.tag is not None or answers[0][1] is CONTACT_NOT_FOUND:
        return answers[0][1]
    changed = [tag for tag, answer in answers if answer is CHANGED]
    same = [tag for tag, answer in answers if answer is UNCHANGED]
    # "tag" is what the events of this carry.
    return succeeded(
        {words.changed: changed, words.unchanged: same, "tag": changed, "changed": bool(changed)}
    )


async def change(
    connection: asyncpg.Connection,
    statement: str,
    accounts: Sequence[int],
    contacts: Sequence[uuid.UUID],
    tags: Sequence[str | None],
) -> list[Result]:
    """Run the statement with a tag per row; per row CHANGED, UNCHANGED or CONTACT_NOT_FOUND."""
    row = await connection.fetchrow(statement, accounts, contacts, tags)
    if row["changed"] is None:
        return [CHANGED] * len(tags)
    changed = set(row["changed"])
    known = None if row["known"] is None else set(row["known"])
    return [
        CONTACT_NOT_FOUND
        if known is not None and place not in known
        else CHANGED
        if place in changed
        else UNCHANGED
        for place in range(1, len(tags) + 1)
    ]
