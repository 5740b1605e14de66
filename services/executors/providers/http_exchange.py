"""Makes one HTTP exchange with a provider's API; the providers that speak HTTP call it.

The gate is passed right before the request's first byte, on a connection that already stands: whatever
fails earlier has sent nothing. Internal addresses are refused unless they are allowed by name.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import SimpleNamespace, TracebackType
from typing import Final, NamedTuple, Self

import aiohttp
import orjson
from yarl import URL

from services.executors.address_guard import (
    AddressRefusedError,
    SocketFactory,
    guarded_socket,
)
from services.executors.gate import SendGate
from services.runtime.config import HostPort

MAX_ANSWER_BYTES: Final = 256 * 1024

_CONNECTIONS: Final = 64
_KEEPALIVE_S: Final = 10.0
_CONNECT_S: Final = 10.0
_ANSWER_S: Final = 25.0  # less than an attempt's budget, so that what is known is recorded
_MAX_PAUSE: Final = timedelta(days=1)
_TOO_MANY: Final = (425, 429)
_READS: Final = ("GET", "HEAD")


class HttpRequest(NamedTuple):
    """A request to be made."""

    method: str
    url: URL | str
    headers: Mapping[str, str]
    params: Mapping[str, str] | None = None
    body: bytes = b""


class Answer(NamedTuple):
    """What was answered; the body may be cut off at 256 KiB."""

    status: int
    headers: Mapping[str, str]
    """Of any case."""
    body: bytes

    def json(self) -> object:
        """The body as JSON, None if it is none."""
        with suppress(ValueError):
            return orjson.loads(self.body)
        return None


class NoAnswerError(Exception):
    """No answer came; `sent` says whether the request may have left."""

    def __init__(self, *, sent: bool, timed_out: bool = False, refused: bool = False) -> None:
        super().__init__("timed out" if timed_out else "refused" if refused else "failed")
        self.sent = sent
        self.timed_out = timed_out
        self.refused = refused
        """The address is internal, and nothing was sent."""

    @property
    def code(self) -> str:
        """How far the request got: ADDRESS_REFUSED, CONNECT_FAILED, TIMEOUT, CONNECTION_LOST."""
        if self.refused:
            return "ADDRESS_REFUSED"
        if not self.sent:
            return "CONNECT_FAILED"
        return "TIMEOUT" if self.timed_out else "CONNECTION_LOST"


class ProviderHttp:
    """A family's HTTP client for providers' APIs. Enter it to use it."""

    def __init__(self, allow: frozenset[HostPort] = frozenset(), *, answer_s: float = _ANSWER_S) -> None:
        """`allow` are the pairs that may be reached although internal."""
        self._allow = allow
        self._answer_s = answer_s

    async def __aenter__(self) -> Self:
        self._guarded = _session(guarded_socket, self._answer_s)
        self._trusted = _session(None, self._answer_s)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._guarded.close()
        await self._trusted.close()

    async def post(self, url: URL, headers: Mapping[str, str], body: bytes, gate: SendGate | None) -> Answer:
        """POST once; a gate of None is passed already. Raises NoAnswerError, AttemptStoppedError."""
        return await self.exchange(HttpRequest("POST", url, headers, None, body), gate)

    async def exchange(self, request: HttpRequest, gate: SendGate | None) -> Answer:
        """Make one request; a gate of None is passed already, or there is nothing to pass it for.

        Raises NoAnswerError, AttemptStoppedError.
        """
        url = URL(request.url)
        session = self._trusted if HostPort(url.host or "", url.port or 0) in self._allow else self._guarded
        passage = _Passage(gate, reads=request.method in _READS)
        try:
            async with session.request(
                request.method,
                url,
                headers=request.headers,
                params=request.params,
                data=request.body or None,
                allow_redirects=False,
                trace_request_ctx=passage,
            ) as response:
                return Answer(response.status, response.headers.copy(), await _read(response))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            timed_out, refused = isinstance(error, TimeoutError), _was_refused(error)
            raise NoAnswerError(sent=passage.sent, timed_out=timed_out, refused=refused) from error


class _Passage:
    """One request's way through its gate."""

    __slots__ = ("gate", "reads", "sent")

    def __init__(self, gate: SendGate | None, *, reads: bool) -> None:
        self.gate = gate
        self.reads = reads
        self.sent = False

    def begin(self) -> None:
        if self.sent and not self.reads:
            # aiohttp repeats PUT and DELETE by itself where a connection broke; whether it was done is for us
            # to find out.
            raise aiohttp.ServerDisconnectedError
        if self.gate is not None:
            self.gate.begin()
        self.sent = True


def _session(socket_factory: SocketFactory | None, answer_s: float) -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(_pass_gate)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=_CONNECTIONS, keepalive_timeout=_KEEPALIVE_S, socket_factory=socket_factory
        ),
        timeout=aiohttp.ClientTimeout(total=answer_s, sock_connect=_CONNECT_S),
        trace_configs=[trace],
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        headers={"User-Agent": "Wayfarer/0.1", "Accept": "application/json"},
    )


async def _pass_gate(
    session: aiohttp.ClientSession, context: SimpleNamespace, sent: aiohttp.TraceRequestHeadersSentParams
) -> None:
    # aiohttp calls this when the connection stands and before it serializes the headers.
    passage: _Passage = context.trace_request_ctx
    passage.begin()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read the answer; its status stands even if its body cannot be had."""
    body = bytearray()
    with suppress(aiohttp.ClientError, TimeoutError, OSError):
        async for chunk in response.content.iter_chunked(16 * 1024):
            body += chunk
            if len(body) >= MAX_ANSWER_BYTES:
                response.close()
                break
    return bytes(body[:MAX_ANSWER_BYTES])


def _was_refused(error: BaseException | None) -> bool:
    """Whether the guard is among the causes; with several addresses they come as a group."""
    for _ in range(10):
        if isinstance(error, AddressRefusedError | aiohttp.InvalidURL):
            return True
        if isinstance(error, BaseExceptionGroup):
            return any(_was_refused(one) for one in error.exceptions)
        if error is None:
            return False
        error = error.__cause__ or error.__context__
    return False


def pause_asked(status: int, headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Read how long to wait: what Retry-After says, in seconds or as a date; None if nothing sensible is.

    Of too many requests the longest of it, RateLimit-Reset (seconds) and X-RateLimit-Reset (the Unix time),
    at most a day. Other answers tell of their window too, which is no word on when a failure will be over.
    """
    low = {name.lower(): value.strip() for name, value in headers.items()}
    asked = low.get("retry-after", "")
    pauses = [_seconds(asked) if asked.isdigit() else _until(asked, now)]
    if status in _TOO_MANY:
        pauses.append(_seconds(low.get("ratelimit-reset", "")))
        epoch = _seconds(low.get("x-ratelimit-reset", ""))
        if epoch is not None:
            pauses.append(epoch - timedelta(seconds=now.timestamp()))
    found = [pause for pause in pauses if pause is not None]
    return min(max(timedelta(0), *found), _MAX_PAUSE) if found else None


def _seconds(text: str) -> timedelta | None:
    return timedelta(seconds=int(text)) if text.isascii() and text.isdigit() and len(text) < 11 else None


def _until(text: str, now: datetime) -> timedelta | None:
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)) - now
