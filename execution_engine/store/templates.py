"""Keeps message templates, version by version; the API's TemplateService and publishing use it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import asyncpg
import orjson

from execution_engine import ports
from execution_engine.definition.message_templates import MessageTemplate, Name
from execution_engine.errors import NotFound

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('template ' || $1 || ' ' || $2, 0))"
_COLUMNS = "key, version, action_type, content_sealed, content_hash, created_at"
_NEWEST = f"""SELECT {_COLUMNS} FROM message_template
WHERE account_id = $1 AND key = $2 ORDER BY version DESC LIMIT 1"""
_ONE = f"SELECT {_COLUMNS} FROM message_template WHERE account_id = $1 AND key = $2 AND version = $3"
_ADD = f"""INSERT INTO message_template (account_id, key, version, action_type, content_sealed, content_hash)
VALUES ($1, $2, $3, $4, $5, $6) RETURNING {_COLUMNS}"""
_PAGE = f"""SELECT DISTINCT ON (key) {_COLUMNS} FROM message_template
WHERE account_id = $1 AND key > $2 ORDER BY key, version DESC LIMIT $3"""


@dataclass(frozen=True, slots=True)
class TemplateView:
    """One version as it is shown."""

    template: MessageTemplate
    created_at: datetime


async def put(
    connection: asyncpg.Connection,
    vault: ports.Vault,
    account_id: int,
    key: str,
    action_type: str,
    content: Mapping[str, Any],
) -> TemplateView:
    """Makes a new version; what is the newest already stays that."""
    await connection.execute(_LOCK, str(account_id), key)
    raw = orjson.dumps(dict(content), option=orjson.OPT_SORT_KEYS)
    hashed = sha256(action_type.encode() + b"\0" + raw).digest()
    newest = await connection.fetchrow(_NEWEST, account_id, key)
    if newest is not None and newest["content_hash"] == hashed:
        return _view(newest, vault, account_id)
    version = newest["version"] + 1 if newest is not None else 1
    sealed = vault.seal(ports.DOCUMENT, account_id, raw)
    row = await connection.fetchrow(_ADD, account_id, key, version, action_type, sealed, hashed)
    return _view(row, vault, account_id)


async def get(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, key: str, version: int
) -> TemplateView:
    """One version; 0: the newest. Raises NotFound."""
    if version:
        row = await connection.fetchrow(_ONE, account_id, key, version)
    else:
        row = await connection.fetchrow(_NEWEST, account_id, key)
    if row is None:
        raise NotFound("template", f"{key}@{version}" if version else key)
    return _view(row, vault, account_id)


async def known(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, names: Iterable[Name]
) -> dict[Name, MessageTemplate]:
    """Those of the named versions that there are."""
    found: dict[Name, MessageTemplate] = {}
    for name in sorted(set(names)):
        try:
            found[name] = (await get(connection, vault, account_id, *name)).template
        except NotFound:
            continue
    return found


async def page(
    connection: asyncpg.Connection, vault: ports.Vault, account_id: int, after: str, size: int
) -> list[TemplateView]:
    """The newest version of each template, by key, after a key."""
    rows = await connection.fetch(_PAGE, account_id, after, size)
    return [_view(row, vault, account_id) for row in rows]


def _view(row: asyncpg.Record, vault: ports.Vault, account_id: int) -> TemplateView:
    content = orjson.loads(vault.open(ports.DOCUMENT, account_id, row["content_sealed"]))
    template = MessageTemplate(row["key"], row["version"], row["action_type"], content)
    return TemplateView(template, row["created_at"])
