"""A caller of the HTTP API for tests: real HTTP to the stack's gateway, answers as they came."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

_TIMEOUT = aiohttp.ClientTimeout(total=60)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: Any
    """Its JSON; None without a body."""

    @property
    def at_fault(self) -> dict[str, str]:
        """Rules by the fields at fault."""
        return {one["field"]: one["rule"] for one in self.body["errors"]}


@dataclass(frozen=True, slots=True)
class Told:
    """One server-sent event."""

    name: str
    id: str
    data: Any


class Http:
    """Calls under /api/v1 with one key."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str) -> None:
        self._session = session
        self._url = f"{url}/api/v1"
        self._key = key

    async def __call__(
        self, verb: str, path: str, body: Any = None, headers: dict[str, str] | None = None, **query: Any
    ) -> Answer:
        """One request; `body` is its JSON, or its bytes."""
        given: dict[str, Any] = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with self._session.request(
            verb,
            self._url + path,
            headers=self._headers(headers),
            params={name.rstrip("_"): value for name, value in query.items()},
            **(given if body is not None else {}),
        ) as answer:
            raw = await answer.read()
            lower = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, lower, json.loads(raw) if raw else None)

    async def events(self, path: str, headers: dict[str, str] | None = None) -> AsyncIterator[Told]:
        """A stream's events, to its end."""
        async with self._session.get(self._url + path, headers=self._headers(headers)) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for one in told(answer.content):
                yield one

    def _headers(self, more: dict[str, str] | None) -> dict[str, str]:
        return {"authorization": f"Bearer {self._key}", **(more or {})}


async def told(content: aiohttp.StreamReader) -> AsyncIterator[Told]:
    """Events as a browser reads them; comments are events without a name."""
    parts: dict[str, str] = {}
    async for raw in content:
        line = raw.decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            parts[name] = value
        else:
            data = json.loads(parts["data"]) if "data" in parts else None
            yield Told(parts.get("event", ""), parts.get("id", ""), data)
            parts = {}


@asynccontextmanager
async def calling(url: str, key: str) -> AsyncIterator[Http]:
    """A caller of the gateway at `url`."""
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        yield Http(session, url, key)
