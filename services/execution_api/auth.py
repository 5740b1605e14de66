"""Who calls: an interceptor that knows a caller by its API key; servicers read `caller()`.

The account comes from the key alone. Health and reflection need none.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

import asyncpg
import grpc
from google.protobuf.message import Message

from execution_engine.store.accounts import Caller, caller_of_key
from services.runtime.errors import abort, status
from services.runtime.interceptors import AroundInterceptor, Context

_KEPT_S = 5.0
_MOST_KEPT = 10_000
_caller: ContextVar[Caller] = ContextVar("wayfarer_caller")


def caller() -> Caller:
    """Whose call is being served."""
    return _caller.get()


class AuthInterceptor(AroundInterceptor):
    """Refuses calls without a known key. A revoked key works for at most five seconds more."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        super().__init__()
        self._pool = pool
        self._known: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()

    @asynccontextmanager
    async def around(self, method: str, request: Message, context: Context) -> AsyncIterator[None]:
        """Sets the caller for the rpc."""
        header = next((v for k, v in context.invocation_metadata() or () if k == "authorization"), "")
        scheme, _, key = str(header).partition(" ")
        found = await self._find(key.strip()) if scheme.lower() == "bearer" and key.strip() else None
        if found is None:
            problem = (
                "the API key is not known" if header else "send your API key as `authorization: Bearer KEY`"
            )
            await abort(context, status(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", problem))
        _caller.set(found)  # each rpc is a task with a context of its own
        yield

    async def _find(self, key: str) -> Caller | None:
        hashed = hashlib.sha256(key.encode()).digest()
        now = time.monotonic()
        entry = self._known.get(hashed)
        if entry is not None and now - entry[0] < _KEPT_S:
            return entry[1]
        found = await caller_of_key(self._pool, hashed)
        self._known.pop(hashed, None)
        if found is not None:
            self._known[hashed] = (now, found)
            while len(self._known) > _MOST_KEPT:
                self._known.popitem(last=False)
        return found
