"""One answer per request id: runs a mutation in its transaction, or gives what it answered before."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

import asyncpg
from google.protobuf.message import Message

from execution_engine import ports
from execution_engine.store import requests
from execution_engine.store.accounts import account_transaction
from execution_engine.store.requests import RequestKey

M = TypeVar("M", bound=Message)


def key_of(method: str, request: Message) -> RequestKey | None:
    """The request's key; None when it carries no id."""
    request_id: str = request.request_id  # type: ignore[attr-defined]
    if not request_id:
        return None
    payload = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
    return RequestKey(UUID(request_id), method, payload)


async def answered(
    pool: asyncpg.Pool,
    vault: ports.Vault,
    account_id: int,
    key: RequestKey | None,
    kind: type[M],
    work: Callable[[asyncpg.Connection], Awaitable[M]],
) -> M:
    """Does `work` once per key, in one transaction with its answer; without a key, just does it."""
    async with account_transaction(pool, account_id) as connection:
        if key is None:
            return await work(connection)
        known = await requests.recall(connection, vault, account_id, key)
        if known is not None:
            return kind.FromString(known)
        answer = await work(connection)
        await requests.remember(connection, vault, account_id, key, answer.SerializeToString())
        return answer
