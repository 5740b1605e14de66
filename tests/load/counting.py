"""`python -m tests.load.counting SMTP_PORT HTTP_PORT`: takes mail and webhooks, counts them, and keeps nothing.

bed.py puts it in their place: the local mailbox and receiver read and keep what they get, which costs more than sending it; beside an engine
under load that is what would be measured. GET /count tells both numbers.
"""

import asyncio
import json
import re
import signal
import sys
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from services.local.stack import Stack, listening

_HOST = "127.0.0.1"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_REPLIES = {b"EHLO": b"250-counting\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n", b"DATA": b"354 go on\r\n"}
counted = {"mails": 0, "webhooks": 0}


class _Spoken(asyncio.Protocol, ABC):
    """A connection whose bytes are taken off the front as they make something whole."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.unread = b""

    def data_received(self, data: bytes) -> None:
        self.unread += data
        while self.took():
            pass

    @abstractmethod
    def took(self) -> bool:
        """Answers the first whole thing among what is unread; False if there is none."""


class Mail(_Spoken):
    """SMTP as far as sending takes it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.content = False
        self.transport.write(b"220 counting ESMTP\r\n")

    def took(self) -> bool:
        line, end, rest = self.unread.partition(b"\r\n.\r\n" if self.content else b"\r\n")
        if not end:
            return False
        self.unread = rest
        if self.content:
            counted["mails"] += 1
        self.content = not self.content and line.upper() == b"DATA"
        self.transport.write(
            _REPLIES.get(line[:4].upper(), b"250 fine\r\n") if end == b"\r\n" else b"250 kept\r\n"
        )
        return True


class Hook(_Spoken):
    """HTTP/1.1 as far as a webhook takes it."""

    def took(self) -> bool:
        head, end, rest = self.unread.partition(b"\r\n\r\n")
        found = _LENGTH.search(head)
        length = int(found[1]) if found else 0
        if not end or len(rest) < length:
            return False
        self.unread = rest[length:]
        if head.startswith(b"GET /count "):
            body = json.dumps(counted).encode()
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        else:
            counted["webhooks"] += 1
            self.transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        return True


async def _serve(smtp_port: int, http_port: int) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await loop.create_server(Mail, _HOST, smtp_port)
    await loop.create_server(Hook, _HOST, http_port)
    await stop.wait()


@asynccontextmanager
async def instead(stack: Stack) -> AsyncIterator[dict[str, int]]:
    """Takes the places of a stack's mailbox and receiver; the process id by name."""
    for name in ("mailbox", "receiver"):
        await stack.supervisor.stop(name)
        del stack.supervisor.children[name]
    doors = (stack.ports.smtp, stack.ports.receiver)
    words = (sys.executable, "-m", "tests.load.counting", *map(str, doors))
    process = await asyncio.create_subprocess_exec(*words)
    try:
        for port in doors:
            await asyncio.wait_for(listening(port), 30)
        yield {"counting": process.pid}
    finally:
        process.terminate()
        await process.wait()


def received(stack: Stack) -> dict[str, int]:
    """How many mails and webhooks came so far."""
    with urllib.request.urlopen(f"{stack.receiver_url}/count", timeout=10) as answer:
        found: dict[str, int] = json.load(answer)
    return found


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
