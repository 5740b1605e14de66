"""Makes one HTTP request under the address guard; delivery.py is its only caller.

The gate is passed right before the request's first byte, on a connection that already stands: whatever
fails earlier has sent nothing.
"""

from collections.abc import Mapping
from contextlib import suppress
from types import SimpleNamespace, TracebackType
from typing import Final, NamedTuple, Self

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from services.executors.address_guard import AddressRefusedError, SocketFactory, guarded_socket
from services.executors.gate import SendGate
from services.runtime.config import HostPort

MAX_RESPONSE_BYTES: Final = 1024 * 1024

_CONNECTIONS: Final = 64
_PER_HOST: Final = 16
_KEEPALIVE_S: Final = 10.0
_CONNECT_S: Final = 10.0


class Request(NamedTuple):
    """A request to be made."""

    method: str
    url: URL
    headers: Mapping[str, str]
    body: bytes
    timeout_s: float


class Response(NamedTuple):
    """What was answered; the body may be cut off at 1 MiB, or missing if its reading failed."""

    status: int
    content_type: str
    retry_after: str
    location: str
    body: bytes
    complete: bool


class CallFailedError(Exception):
    """No answer came."""

    def __init__(self, *, timed_out: bool, refused: bool, sent: bool) -> None:
        super().__init__("timed out" if timed_out else "refused" if refused else "failed")
        self.timed_out = timed_out
        self.refused = refused
        """The guard forbade the address."""
        self.sent = sent
        """Whether bytes of this request may have left."""


class _Passage:
    """The gate as one request passes it: the gate itself stays begun over redirects."""

    __slots__ = ("gate", "passed")

    def __init__(self, gate: SendGate) -> None:
        self.gate = gate
        self.passed = False


class WebhookCaller:
    """The family's HTTP clients: one under the guard, one for the allowed pairs. Enter it to use it."""

    def __init__(
        self,
        allow: frozenset[HostPort],
        *,
        resolver: AbstractResolver | None = None,
        sockets: SocketFactory = guarded_socket,
    ) -> None:
        """`resolver` and `sockets` are for a network of one's own; the default is the machine's, guarded."""
        self._allow = allow
        self._resolver = resolver
        self._sockets = sockets

    async def __aenter__(self) -> Self:
        self._guarded = _session(self._sockets, self._resolver)
        self._trusted = _session(None, self._resolver)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._guarded.close()
        await self._trusted.close()

    async def call(self, request: Request, gate: SendGate) -> Response:
        """Make the request; redirects are not followed. Raises CallFailedError, AttemptStoppedError."""
        # The host as written must be the pair's: another spelling of an allowed address is not allowed.
        pair = HostPort(request.url.host or "", request.url.port or 0)
        session = self._trusted if pair in self._allow else self._guarded
        passage = _Passage(gate)
        timeout = aiohttp.ClientTimeout(total=request.timeout_s, sock_connect=_CONNECT_S)
        try:
            async with session.request(
                request.method,
                request.url,
                headers=request.headers,
                data=request.body or None,
                timeout=timeout,
                allow_redirects=False,
                trace_request_ctx=passage,
            ) as response:
                return await _read(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise CallFailedError(
                timed_out=isinstance(error, TimeoutError), refused=_was_refused(error), sent=passage.passed
            ) from error


def _session(
    socket_factory: SocketFactory | None, resolver: AbstractResolver | None
) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=_CONNECTIONS,
        limit_per_host=_PER_HOST,
        keepalive_timeout=_KEEPALIVE_S,
        resolver=resolver,
        socket_factory=socket_factory,
    )
    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(_pass_gate)
    return aiohttp.ClientSession(
        connector=connector,
        trace_configs=[trace],
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        headers={"User-Agent": "Wayfarer/0.1", "Accept": "*/*"},
        skip_auto_headers=("Content-Type",),
    )


async def _pass_gate(
    session: aiohttp.ClientSession, context: SimpleNamespace, sent: aiohttp.TraceRequestHeadersSentParams
) -> None:
    # aiohttp calls this when the connection stands and before it serializes the headers.
    passage: _Passage = context.trace_request_ctx
    if passage.passed:
        # It repeats GET, PUT and DELETE by itself where a connection broke, which would be a second call.
        raise aiohttp.ServerDisconnectedError
    passage.gate.begin()
    passage.passed = True


async def _read(response: aiohttp.ClientResponse) -> Response:
    """Read the answer; its status stands even if its body cannot be had."""
    body = bytearray()
    complete = False
    with suppress(aiohttp.ClientError, TimeoutError, OSError):
        async for chunk in response.content.iter_chunked(16 * 1024):
            body += chunk
            if len(body) > MAX_RESPONSE_BYTES:
                break
        else:
            complete = True
    if not complete:
        response.close()
    return Response(
        response.status,
        response.headers.get("Content-Type", ""),
        response.headers.get("Retry-After", ""),
        response.headers.get("Location", ""),
        bytes(body[:MAX_RESPONSE_BYTES]),
        complete,
    )


def _was_refused(error: BaseException | None) -> bool:
    """Whether the guard is among the causes; with several addresses they come as a group."""
    seen = 0
    while error is not None and seen < 10:
        # InvalidURL: aiohttp's own refusal of odd spellings of an address, such as 2130706433.
        if isinstance(error, AddressRefusedError | aiohttp.InvalidURL):
            return True
        if isinstance(error, BaseExceptionGroup):
            return any(_was_refused(one) for one in error.exceptions)
        if isinstance(error, aiohttp.ClientConnectorError) and error.os_error is not error:
            error = error.os_error
        else:
            error = error.__cause__ or error.__context__
        seen += 1
    return False
