"""Makes one HTTP call under the address guard, signed; webhook_call is its only caller.

The gate is passed right before the request's first byte, on a connection that already stands: whatever
fails earlier has sent nothing.
"""

import base64
import binascii
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from types import SimpleNamespace, TracebackType
from typing import Final, NamedTuple, Self

import aiohttp
from standardwebhooks import Webhook
from yarl import URL

from services.executors.action import EffectKey
from services.executors.gate import SendGate
from services.executors.integrations.address_guard import AddressRefusedError, SocketFactory, guarded_socket
from services.runtime.config import HostPort

MAX_RESPONSE_BYTES: Final = 64 * 1024

_CONNECTIONS: Final = 64
_PER_HOST: Final = 16
_KEEPALIVE_S: Final = 10.0
_CONNECT_S: Final = 10.0
_PREFIX: Final = "whsec_"


class Request(NamedTuple):
    """A call to be made."""

    method: str
    url: URL
    headers: Mapping[str, str]
    body: bytes
    timeout_s: float


class Response(NamedTuple):
    """What was answered; the body may be cut off at 64 KiB, or missing if its reading failed."""

    status: int
    content_type: str
    retry_after: str
    body: bytes
    complete: bool


class CallFailedError(Exception):
    """No answer came; whether the request left is the gate's to say."""

    def __init__(self, *, timed_out: bool, refused: bool) -> None:
        super().__init__("timed out" if timed_out else "refused" if refused else "failed")
        self.timed_out = timed_out
        self.refused = refused
        """The guard forbade the address."""


class WebhookCaller:
    """The family's HTTP clients: one under the guard, one for the allowed pairs. Enter it to use it."""

    def __init__(self, allow: frozenset[HostPort], secret: str) -> None:
        self._allow = allow
        self._signer = Webhook(secret) if secret else None

    async def __aenter__(self) -> Self:
        self._guarded = _session(guarded_socket)
        self._trusted = _session(None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._guarded.close()
        await self._trusted.close()

    def signed(self, key: EffectKey, body: bytes) -> dict[str, str]:
        """Give the headers that let the receiver know the effect, and us."""
        message_id = webhook_id(key)
        now = datetime.now(UTC)
        headers = {
            "idempotency-key": message_id,
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
        }
        if self._signer is not None:
            headers["webhook-signature"] = self._signer.sign(message_id, now, body.decode())
        return headers

    async def call(self, request: Request, gate: SendGate) -> Response:
        """Make the call. Raises CallFailedError, AttemptStoppedError."""
        # The host as written must be the pair's: another spelling of an allowed address is not allowed.
        pair = HostPort(request.url.host or "", request.url.port or 0)
        session = self._trusted if pair in self._allow else self._guarded
        timeout = aiohttp.ClientTimeout(total=request.timeout_s, sock_connect=_CONNECT_S)
        try:
            async with session.request(
                request.method,
                request.url,
                headers=request.headers,
                data=request.body or None,
                timeout=timeout,
                allow_redirects=False,
                trace_request_ctx=gate,
            ) as response:
                return await _read(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise CallFailedError(
                timed_out=isinstance(error, TimeoutError), refused=_was_refused(error)
            ) from error


def _session(socket_factory: SocketFactory | None) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=_CONNECTIONS,
        limit_per_host=_PER_HOST,
        keepalive_timeout=_KEEPALIVE_S,
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
    gate: SendGate = context.trace_request_ctx
    gate.begin()


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


def webhook_id(key: EffectKey) -> str:
    """Give the id of an effect's webhook: the same over all its attempts, of header-safe characters."""
    step = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else f"~{ord(c):x}~" for c in key.step_id)
    return f"wf_{key.execution_id.hex}_{step}_{key.visit}"


def signing_secret(raw: str) -> str:
    """Take a Standard Webhooks secret; a parser for settings."""
    try:
        key = base64.b64decode(raw.removeprefix(_PREFIX), validate=True) if raw.startswith(_PREFIX) else b""
    except binascii.Error:
        key = b""
    if not 24 <= len(key) <= 64:
        raise ValueError("must be whsec_ and the base64 of 24 to 64 bytes")
    return raw
