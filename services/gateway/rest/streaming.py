"""A server stream as server-sent events; `api` answers with it.

Each message is an event `change`. The stream ends with an event `end`, after which a client should not
connect again, or with `error` and a problem. One that breaks off is gone on with by Last-Event-ID.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

import grpc
import orjson
from google.protobuf.message import Message

from services.gateway.rest.problems import of_rpc
from services.gateway.rest.writing import Writer

MEDIA_TYPE: Final = "text/event-stream"


class Position(NamedTuple):
    """How a stream is gone on with."""

    after: str
    """The request's field that says where."""
    entries: str
    """The repeated field of each message that holds what is counted."""
    number: str
    """The entries' field that counts them: the event's id."""


POSITIONS: Final[Mapping[str, Position]] = {
    "wayfarer.execution.v1.ExecutionService.WatchExecution": Position("after_seq", "log_entries", "seq"),
}
"""By rpc; a stream without one starts anew when a client connects again."""


class Events:
    """One stream, being told."""

    def __init__(
        self, call: Any, writer: Writer, position: Position | None, stop: asyncio.Event, heartbeat_s: float
    ) -> None:
        """`call` is the rpc under way; `stop` ends the stream as if it had broken off."""
        self._call = call
        self._writer = writer
        self._position = position
        self._stop = stop
        self._heartbeat_s = heartbeat_s
        self._reading: asyncio.Future[Any] = asyncio.ensure_future(call.read())

    async def begun(self) -> None:
        """Returns once there is a first message, or one may be waited for. Raises AioRpcError."""
        await asyncio.wait({self._reading}, timeout=self._heartbeat_s)
        if self._reading.done():
            self._reading.result()

    async def told(self) -> AsyncIterator[bytes]:
        """The stream's bytes; a comment whenever nothing happens for the heartbeat's time."""
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            while not self._stop.is_set():
                await asyncio.wait(
                    {self._reading, stopping}, timeout=self._heartbeat_s, return_when=asyncio.FIRST_COMPLETED
                )
                if not self._reading.done():
                    yield b": still here\n\n"
                    continue
                message = self._reading.result()
                if message is grpc.aio.EOF:
                    yield _event("end", {})
                    return
                yield _event("change", self._writer.plain(message), self._id(message))
                self._reading = asyncio.ensure_future(self._call.read())
        except grpc.aio.AioRpcError as error:
            # Past its deadline, or its server stops: broken off, to be gone on with.
            if error.code() not in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE):
                yield _event("error", of_rpc(error, str).plain())
        finally:
            stopping.cancel()
            self._call.cancel()
            with suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
                await self._reading

    def _id(self, message: Message) -> str:
        """How far a client that got the message has come; "" if no further than before."""
        entries = getattr(message, self._position.entries) if self._position else ()
        return str(getattr(entries[-1], self._position.number)) if self._position and entries else ""


def _event(name: str, data: dict[str, Any], identifier: str = "") -> bytes:
    head = f"id: {identifier}\n" if identifier else ""
    return f"{head}event: {name}\ndata: ".encode() + orjson.dumps(data) + b"\n\n"
