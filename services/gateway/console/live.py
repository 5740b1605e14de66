"""Keeps open pages current: server-sent events with the page's main part, whenever it has changed."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import grpc
from starlette.responses import StreamingResponse

EVERY_S: Final = 2.0
LONGEST_S: Final = 600.0
"""The browser asks anew after that: sign-ins end, processes are replaced."""
_HEARTBEAT_S: Final = 15.0


def stream(render: Callable[[], Awaitable[str]], stop: asyncio.Event) -> StreamingResponse:
    """A response that goes on until the viewer leaves, the time is up, or the process stops."""
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_events(render, stop), media_type="text/event-stream", headers=headers)


async def _events(render: Callable[[], Awaitable[str]], stop: asyncio.Event) -> AsyncIterator[str]:
    clock = asyncio.get_running_loop().time
    ends, told_at, last = clock() + LONGEST_S, clock(), b""
    yield "retry: 2000\n\n"
    while clock() < ends and not stop.is_set():
        try:
            html = await render()
        except grpc.aio.AioRpcError as error:
            yield f"event: trouble\ndata: {error.code().name}\n\n"
            return
        mark = hashlib.blake2b(html.encode(), digest_size=16).digest()
        if mark != last:
            yield "event: page\n" + "".join(f"data: {line}\n" for line in html.splitlines()) + "\n"
            last, told_at = mark, clock()
        elif clock() - told_at > _HEARTBEAT_S:
            yield ": still here\n\n"
            told_at = clock()
        try:
            await asyncio.wait_for(stop.wait(), EVERY_S)
        except TimeoutError:
            continue
