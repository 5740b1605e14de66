"""Hands messages to the SMTP server over a few kept connections; send_email is its only caller.

The gate is passed right before DATA: whatever fails earlier has sent nothing.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from email.utils import parseaddr
from enum import Enum
from time import monotonic
from types import TracebackType
from typing import Final, NamedTuple, Self

import aiosmtplib
from email_validator import EmailNotValidError, validate_email

from services.executors.gate import SendGate

_KEPT: Final = 8
_KEPT_S: Final = 30.0  # servers drop idle connections after a minute or more
_TIMEOUT_S: Final = 30.0


class Sender(NamedTuple):
    """Whom messages come from."""

    name: str
    address: str


class Stage(Enum):
    """How far a message came."""

    CONNECT = "connect"
    SENDER = "sender"
    RECIPIENT = "recipient"
    CONTENT = "content"


class MailError(Exception):
    """The server did not take the message; `code` is its reply, 0 if there was none."""

    def __init__(self, stage: Stage, code: int, cause: BaseException) -> None:
        super().__init__(f"{stage.value}: {code or type(cause).__name__}")
        self.stage = stage
        self.code = code


class InvalidAddressError(ValueError):
    """A text that is no deliverable e-mail address."""


@dataclass(frozen=True, slots=True)
class _Kept:
    client: aiosmtplib.SMTP
    since: float


class Mailer:
    """One SMTP server, and the sender configured for it. Enter it to use it."""

    def __init__(
        self, host: str, port: int, mail_from: Sender, *, user: str = "", password: str = ""
    ) -> None:
        self.mail_from = mail_from
        self.lane = f"smtp:{host}"
        self._host = host
        self._port = port
        self._login = (user, password) if user else None
        self._idle: list[_Kept] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._idle:
            with suppress(aiosmtplib.SMTPException, OSError):
                await self._idle.pop().client.quit()

    async def send(self, recipient: str, content: bytes, gate: SendGate) -> str:
        """Deliver one message and give the server's last words. Raises MailError, AttemptStoppedError."""
        async with self._connection(recipient) as client:
            gate.begin()
            try:
                reply = await client.data(content)
            except (aiosmtplib.SMTPException, OSError) as error:
                raise MailError(Stage.CONTENT, getattr(error, "code", 0), error) from error
            return reply.message

    @asynccontextmanager
    async def _connection(self, recipient: str) -> AsyncIterator[aiosmtplib.SMTP]:
        """Give a connection that has accepted sender and recipient; kept unless something failed."""
        client = await self._addressed(recipient)
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

    async def _addressed(self, recipient: str) -> aiosmtplib.SMTP:
        kept = self._take()
        if kept is not None:
            try:
                return await self._address(kept, recipient)
            except MailError as error:
                if error.code:
                    raise
                # It had gone away while idle, which says nothing about the server: try a new one.
        return await self._address(await self._connect(), recipient)

    async def _address(self, client: aiosmtplib.SMTP, recipient: str) -> aiosmtplib.SMTP:
        stage = Stage.SENDER
        try:
            await client.mail(self.mail_from.address)
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
        client = aiosmtplib.SMTP(hostname=self._host, port=self._port, timeout=_TIMEOUT_S)
        try:
            await client.connect()
            if self._login is not None:
                await client.login(*self._login)
        except BaseException as error:
            client.close()
            if isinstance(error, aiosmtplib.SMTPException | OSError):
                raise MailError(Stage.CONNECT, getattr(error, "code", 0), error) from error
            raise
        return client

    def _take(self) -> aiosmtplib.SMTP | None:
        while self._idle:
            kept = self._idle.pop()
            if kept.client.is_connected and monotonic() - kept.since < _KEPT_S:
                return kept.client
            kept.client.close()
        return None

    def _keep(self, client: aiosmtplib.SMTP) -> None:
        if client.is_connected and len(self._idle) < _KEPT:
            self._idle.append(_Kept(client, monotonic()))
        else:
            client.close()


async def _reset(client: aiosmtplib.SMTP) -> bool:
    """Take back what was said of the message that failed; False if the server is gone."""
    try:
        await client.rset()
    except (aiosmtplib.SMTPException, OSError):
        return False
    return True


def deliverable(text: str) -> str:
    """Give an address in the form SMTP takes. Raises InvalidAddressError."""
    try:
        address = validate_email(text, check_deliverability=False, test_environment=True).ascii_email
    except EmailNotValidError as error:
        raise InvalidAddressError(str(error)) from None
    if address is None:
        raise InvalidAddressError("the part before the @ is not ASCII")
    return address


def sender(raw: str) -> Sender:
    """Read "Name <address>" or an address; a parser for settings."""
    name, address = parseaddr(raw)
    try:
        return Sender(name, deliverable(address))
    except InvalidAddressError:
        raise ValueError('must be an e-mail address, or "Name <address>"') from None
