"""Sends the Twilio sandbox's signed requests to us, in order, twice, or the wrong way round; twilio.py."""

import asyncio
import base64
import hashlib
import hmac
from collections import deque
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

_PATIENCE_S = 15.0
_MOST_KEPT = 10_000


@dataclass(slots=True)
class Courier:
    """Carries callbacks; `repeat` times each, and with `reverse` those of one message backwards."""

    auth_token: str
    repeat: int = 1
    reverse: bool = False
    sent: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_MOST_KEPT))
    _session: aiohttp.ClientSession | None = None
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something in the background until the end."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def post_all(self, url: str, requests: list[Mapping[str, str]]) -> None:
        """Send the callbacks of one message or call."""
        for fields in reversed(requests) if self.reverse else requests:
            for _ in range(self.repeat):
                await self.post(url, fields)

    async def post(self, url: str, fields: Mapping[str, str]) -> tuple[int, bytes]:
        """Send one, signed; status 0 if nobody answered. As Twilio, it is not sent again."""
        if not url:
            return 0, b""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PATIENCE_S))
        headers = {"X-Twilio-Signature": self.signature(url, fields), "User-Agent": "TwilioProxy/1.1"}
        try:
            async with self._session.post(url, data=dict(fields), headers=headers) as response:
                answer = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            answer = 0, b""
        self.sent.append({"url": url, "fields": dict(fields), "status": answer[0]})
        return answer

    def signature(self, url: str, fields: Mapping[str, str]) -> str:
        """Sign as Twilio does."""
        text = url
        for name in sorted(fields):
            text += name + fields[name]
        made = hmac.new(self.auth_token.encode(), text.encode(), hashlib.sha1)
        return base64.b64encode(made.digest()).decode()
