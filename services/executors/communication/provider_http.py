"""Makes HTTP requests to message providers over one pool of connections; twilio.py and meta.py call it.

The gate is passed right before the request's first byte, on a connection that already stands: whatever fails
earlier has sent nothing.
"""

from collections.abc import Mapping
from datetime import timedelta
from types import SimpleNamespace, TracebackType
from typing import Final, NamedTuple, Self

import aiohttp

from services.executors.gate import SendGate
from services.executors.integrations.http_faults import pause_asked

_CONNECTIONS: Final = 64
_KEEPALIVE_S: Final = 10.0
_CONNECT_S: Final = 5.0
_ANSWER_S: Final = 15.0  # less than an attempt's budget, so that what is known is recorded
_MOST_BYTES: Final = 1024 * 1024


class HttpRequest(NamedTuple):
    """A request to be made."""

    method: str
    url: str
    headers: Mapping[str, str]
    params: Mapping[str, str] | None = None
    body: bytes = b""


class HttpReply(NamedTuple):
    """What was answered."""

    status: int
    retry_after: timedelta | None
    body: bytes


class NoReplyError(Exception):
    """No whole answer came; `code` says how far the request got: CONNECT_FAILED, TIMEOUT, CONNECTION_LOST."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ProviderHttp:
    """The family's HTTP client. Enter it to use it."""

    def __init__(self, *, answer_s: float = _ANSWER_S) -> None:
        self._timeout = aiohttp.ClientTimeout(total=answer_s, sock_connect=_CONNECT_S)

    async def __aenter__(self) -> Self:
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_pass_gate)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_KEEPALIVE_S),
            trace_configs=[trace],
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={"User-Agent": "Wayfarer/0.1", "Accept": "application/json"},
            timeout=self._timeout,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def exchange(self, request: HttpRequest, gate: SendGate | None = None) -> HttpReply:
        """Make one request; `gate` is passed before it if it has an effect.

        Raises NoReplyError, AttemptStoppedError.
        """
        sent = _Sent(gate)
        try:
            async with self._session.request(
                request.method,
                request.url,
                headers=request.headers,
                params=request.params,
                data=request.body or None,
                allow_redirects=False,
                trace_request_ctx=sent,
            ) as response:
                pause = pause_asked(response.headers.get("Retry-After", ""))
                return HttpReply(response.status, pause, await _read(response))
        except TimeoutError as error:
            raise NoReplyError("TIMEOUT" if sent.begun else "CONNECT_FAILED") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NoReplyError("CONNECTION_LOST" if sent.begun else "CONNECT_FAILED") from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > _MOST_BYTES:
            response.close()
            break
    return bytes(body)


class _Sent:
    """Whether a request's first byte may have left."""

    def __init__(self, gate: SendGate | None) -> None:
        self.gate = gate
        self.begun = False


async def _pass_gate(
    session: aiohttp.ClientSession, context: SimpleNamespace, sent: aiohttp.TraceRequestHeadersSentParams
) -> None:
    # aiohttp calls this when the connection stands and before it serializes the headers.
    state: _Sent = context.trace_request_ctx
    if state.gate is not None:
        state.gate.begin()
    state.begun = True
