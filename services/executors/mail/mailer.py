"""Hands messages to an SMTP server over a few kept connections; each family that sends e-mail calls it.

The gate is passed right before DATA: whatever fails earlier has sent nothing.
"""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final, Literal, NamedTuple

import aiosmtplib

from services.executors.address_guard import guarded_socket
from services.executors.gate import SendGate
from services.executors.mail.email_faults import UNSUPPORTED, Stage

_CONNECTIONS: Final = 32
"""Of one mailer at a time, as servers limit them (Postfix: 50 of a client); who finds none free waits."""
_LEAVE_S: Final = 2.0
_KEPT_S: Final = 30.0  # servers drop idle connections after a minute or more
_TIMEOUT_S: Final = 30.0


Security = Literal["auto", "starttls", "tls", "none"]
"""When the connection is encrypted: if the server can, or it fails; from its first byte; never."""

_UNSUPPORTED: Final = (aiosmtplib.SMTPException, aiosmtplib.SMTPNotSupported)
"""What aiosmtplib raises for a server without STARTTLS or AUTH; its other faults are of kinds below these."""
_ENHANCED: Final = re.compile(r"([245]\.\d{1,3}\.\d{1,3})\b")


class MailError(Exception):
    """The server did not take the message; `code` is its reply, 0 if there was none."""

    def __init__(self, stage: Stage, code: int, cause: BaseException) -> None:
        super().__init__(f"{stage.value}: {code or type(cause).__name__}")
        self.stage = stage
        self.code = code
        found = _ENHANCED.match(str(getattr(cause, "message", "")))
        self.name = found[1] if found else UNSUPPORTED if type(cause) in _UNSUPPORTED else ""
        """RFC 3463's status, e.g. "5.2.2", if the server gave one."""


@dataclass(frozen=True, slots=True)
class _Kept:
    client: aiosmtplib.SMTP
    since: float


class Server(NamedTuple):
    """Where to, and as whom."""

    host: str
    port: int
    user: str = ""
    """Empty for no login."""
    password: str = ""
    security: Security = "auto"
    guarded: bool = False
    """Whether internal addresses are refused: for servers that an account named."""

    def __repr__(self) -> str:
        return f"Server({self.host}:{self.port})"


class Delivered(NamedTuple):
    """A message that the server took."""

    reply: str
    copies_refused: int


class Mailer:
    """Connections to one SMTP server; `close` lets go of those that are kept."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._idle: list[_Kept] = []
        self._closed = False
        self._free = asyncio.Semaphore(_CONNECTIONS)

    def close(self) -> None:
        """Drop the connections that are kept; those in use are dropped after their message."""
        self._closed = True
        while self._idle:
            self._idle.pop().client.close()

    async def leave(self) -> None:
        """Close with the words the protocol has for it."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(_taken_leave_of(kept.client) for kept in idle))

    async def send(self, sender: str, recipients: Sequence[str], content: bytes, gate: SendGate) -> Delivered:
        """Deliver one message to its recipient and, as far as the server takes them, those of its copies.

        Raises MailError, AttemptStoppedError.
        """
        async with self._free, self._connection(sender, recipients[0]) as client:
            refused = await _copies(client, recipients[1:])
            gate.begin()
            try:
                reply = await client.data(content)
            except (aiosmtplib.SMTPException, OSError) as error:
                raise MailError(Stage.CONTENT, getattr(error, "code", 0), error) from error
            return Delivered(reply.message, refused)

    @asynccontextmanager
    async def _connection(self, sender: str, recipient: str) -> AsyncIterator[aiosmtplib.SMTP]:
        """Give a connection that has accepted sender and recipient; kept unless something failed."""
        client = await self._addressed(sender, recipient)
        try:
            yield client
        except BaseException as error:
            # A server that answered is in step; from one that did not, a late reply could come.
            answered = isinstance(error, MailError) and error.code >= 400 and error.code != 421
            if not (answered and await _reset(client)):
                client.close()
                raise
            self._keep(client)
            raise
        else:
            self._keep(client)

    async def _addressed(self, sender: str, recipient: str) -> aiosmtplib.SMTP:
        kept = self._take()
        if kept is not None:
            try:
                return await self._address(kept, sender, recipient)
            except MailError as error:
                if error.code:
                    raise
                # It had gone away while idle, which says nothing about the server: try a new one.
        return await self._address(await self._connect(), sender, recipient)

    async def _address(self, client: aiosmtplib.SMTP, sender: str, recipient: str) -> aiosmtplib.SMTP:
        stage = Stage.SENDER
        try:
            await client.mail(sender)
            stage = Stage.RECIPIENT
            await client.rcpt(recipient)
        except BaseException as error:
            code = getattr(error, "code", 0)
            if code and code != 421 and await _reset(client):
                self._keep(client)
            else:
                client.close()
            if isinstance(error, aiosmtplib.SMTPException | OSError):
                raise MailError(stage, code, error) from error
            raise
        return client

    async def _connect(self) -> aiosmtplib.SMTP:
        server = self._server
        client: aiosmtplib.SMTP | None = None
        try:
            client = await self._client()
            await client.connect()
            if server.user:
                await client.login(server.user, server.password)
        except BaseException as error:
            if client is not None:
                client.close()
            if isinstance(error, aiosmtplib.SMTPException | OSError):
                raise MailError(Stage.CONNECT, getattr(error, "code", 0), error) from error
            raise
        return client

    async def _client(self) -> aiosmtplib.SMTP:
        server = self._server
        tls = server.security == "tls"
        upgrade = {"auto": None, "starttls": True}.get(server.security, False)
        if not server.guarded:
            return aiosmtplib.SMTP(
                hostname=server.host, port=server.port, timeout=_TIMEOUT_S, use_tls=tls, start_tls=upgrade
            )
        joined = await asyncio.wait_for(_guarded(server.host, server.port), _TIMEOUT_S)
        return aiosmtplib.SMTP(
            hostname=server.host, sock=joined, timeout=_TIMEOUT_S, use_tls=tls, start_tls=upgrade
        )

    def _take(self) -> aiosmtplib.SMTP | None:
        while self._idle:
            kept = self._idle.pop()
            if kept.client.is_connected and monotonic() - kept.since < _KEPT_S:
                return kept.client
            kept.client.close()
        return None

    def _keep(self, client: aiosmtplib.SMTP) -> None:
        while self._idle and monotonic() - self._idle[0].since >= _KEPT_S:
            self._idle.pop(0).client.close()  # the newest are taken first, so that the oldest are here
        if client.is_connected and not self._closed:
            self._idle.append(_Kept(client, monotonic()))
        else:
            client.close()


async def _taken_leave_of(client: aiosmtplib.SMTP) -> None:
    try:
        await asyncio.wait_for(client.quit(), _LEAVE_S)
    except (aiosmtplib.SMTPException, OSError):  # TimeoutError too
        client.close()


async def _reset(client: aiosmtplib.SMTP) -> bool:
    """Take back what was said of the message that failed; False if the server is gone."""
    try:
        await client.rset()
    except (aiosmtplib.SMTPException, OSError):
        return False
    return True


async def _copies(client: aiosmtplib.SMTP, recipients: Sequence[str]) -> int:
    """Add the recipients of copies; give how many the server refused. Raises MailError if it went away."""
    refused = 0
    for recipient in recipients:
        try:
            await client.rcpt(recipient)
        except (aiosmtplib.SMTPException, OSError) as error:
            code = getattr(error, "code", 0)
            if not code or code == 421:
                raise MailError(Stage.RECIPIENT, code, error) from error
            refused += 1
    return refused


async def _guarded(host: str, port: int) -> socket.socket:
    """Connect to the first address of a name that answers and is not internal. Raises OSError."""
    loop = asyncio.get_running_loop()
    failed: OSError = OSError("the name has no address")
    for info in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        try:
            joined = guarded_socket(info)
        except OSError as error:
            failed = error
            continue
        try:
            await loop.sock_connect(joined, info[4])
        except BaseException as error:
            joined.close()
            if not isinstance(error, OSError):
                raise
            failed = error
        else:
            return joined
    raise failed
