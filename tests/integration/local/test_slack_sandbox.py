"""Slack's sandbox speaks Slack's protocol: logins, ok:false with HTTP 200, an incoming webhook's texts, limits.

R-ACT: whoever tries a workflow on one machine meets the provider's own answers.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from services.local.sandboxes.slack import BOT_TOKEN, HOOK, slack_app


class Served:
    """The sandbox, a client of it, and its clock."""

    def __init__(self) -> None:
        self.url = ""
        self.now = 0.0
        self.http: aiohttp.ClientSession

    async def ask(self, path: str, body: Any = None, token: str = BOT_TOKEN) -> tuple[int, Any, str]:
        """Status, JSON or text, Retry-After."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.http.post(self.url + path, json=body, headers=headers) as response:
            said = await (response.json() if "json" in response.content_type else response.text())
            return response.status, said, response.headers.get("Retry-After", "")

    async def post(self, channel: object = "#a", text: str = "Hi", token: str = BOT_TOKEN) -> str:
        """Post as a bot a while later; the error, empty for none."""
        self.now += 60
        status, said, _ = await self.ask("/api/chat.postMessage", {"channel": channel, "text": text}, token)
        assert (status, said["ok"]) == (200, "error" not in said)
        return str(said.get("error", ""))


@pytest.fixture
async def slack() -> AsyncIterator[Served]:
    async with AsyncExitStack() as stack:
        served = Served()
        runner = web.AppRunner(slack_app(now=lambda: served.now), shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        served.http = await stack.enter_async_context(aiohttp.ClientSession())
        yield served


async def test_a_bot_posts_and_is_refused_with_200(slack: Served) -> None:
    assert await slack.post() == ""
    assert await slack.post(token="") == "not_authed"
    assert await slack.post(token="xoxb-other") == "invalid_auth"
    assert await slack.post(channel=None) == "channel_not_found"
    assert await slack.post(channel="#missing") == "channel_not_found"
    assert await slack.post(channel="#archived") == "is_archived"
    assert await slack.post(text="") == "no_text"
    assert await slack.post(text="x" * 40_001) == "msg_too_long"
    async with slack.http.get(f"{slack.url}/messages") as response:
        assert [(one["to"], one["text"]) for one in await response.json()] == [("#a", "Hi")]


async def test_an_incoming_webhook_answers_texts(slack: Served) -> None:
    assert (await slack.ask(HOOK, {"text": "Hi"}))[:2] == (200, "ok")
    assert (await slack.ask("/services/T/B/other", {"text": "Hi"}))[:2] == (404, "no_service")
    assert (await slack.ask(HOOK, {"blocks": []}))[:2] == (400, "no_text")
    assert (await slack.ask(HOOK, []))[:2] == (400, "invalid_payload")


async def test_a_channel_takes_one_message_a_second(slack: Served) -> None:
    slack.now = 100.0
    body = {"channel": "#a", "text": "Hi"}
    assert (await slack.ask("/api/chat.postMessage", body))[1]["ok"]
    refused = await slack.ask("/api/chat.postMessage", body)
    assert refused == (429, {"ok": False, "error": "ratelimited"}, "1")
    assert (await slack.ask("/api/chat.postMessage", body | {"channel": "#b"}))[1]["ok"]
    assert (await slack.ask(HOOK, {"text": "Hi"}))[0] == 200
    assert await slack.ask(HOOK, {"text": "Hi"}) == (429, "rate_limited", "1")
    slack.now = 101.0
    assert (await slack.ask("/api/chat.postMessage", body))[1]["ok"]


async def test_it_misbehaves_as_asked(slack: Served) -> None:
    await slack.ask("/_control/next", {"match": "odd", "status": 200, "code": "fatal_error"})
    assert await slack.post(text="even") == ""
    assert await slack.post(text="odd") == "fatal_error"
    assert await slack.post(text="odd") == ""
    await slack.ask("/_control/next", {"match": "odd", "lose": "after"})
    with pytest.raises(aiohttp.ClientError):
        await slack.post(text="odd")
    async with slack.http.get(f"{slack.url}/messages") as response:
        assert len(await response.json()) == 3
