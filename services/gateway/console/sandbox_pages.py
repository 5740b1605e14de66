"""The local profile's mailbox and phone: what a contact would have received. Never there in production."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from html import escape
from typing import Any, Final

import aiohttp
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from services.gateway.console.api import Api
from services.gateway.console.rendering import Page, query_of

_TIMEOUT: Final = aiohttp.ClientTimeout(total=5)
_MOST: Final = 100
_BODY_POLICY: Final = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
)


@dataclass(frozen=True, slots=True)
class Sandboxes:
    """Where the mailbox and the providers' sandboxes show what they got, and a client to ask with."""

    mailbox_url: str
    providers_url: str
    client: aiohttp.ClientSession

    async def get(self, url: str) -> list[dict[str, Any]]:
        """A list they show; empty if nobody answers."""
        try:
            async with self.client.get(url, timeout=_TIMEOUT) as answer:
                found = await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return []
        return list(found.values()) if isinstance(found, dict) else list(found)

    async def mails(self) -> list[dict[str, Any]]:
        """E-mails, newest first."""
        own, providers = await asyncio.gather(
            self.get(f"{self.mailbox_url}/messages"), self.get(f"{self.providers_url}/email/messages")
        )
        return sorted([*own, *providers], key=lambda mail: str(mail.get("received_at", "")), reverse=True)


def pages(sandboxes: Sandboxes) -> list[tuple[str, str, Callable[[Request, Api], Awaitable[Page]]]]:
    """Path, name in the navigation, and handler of each page."""
    return [
        ("/mailbox", "mailbox", partial(mailbox, sandboxes)),
        ("/mailbox/{message}", "mailbox", partial(mailbox, sandboxes)),
        ("/phone", "phone", partial(phone, sandboxes)),
    ]


async def mailbox(sandboxes: Sandboxes, request: Request, api: Api) -> Page:
    """What arrived by e-mail, and the one that is open."""
    query = query_of(request.query_params.items())
    to = query.get("to", "").casefold()
    mails = [mail for mail in await sandboxes.mails() if to in " ".join(_to(mail)).casefold()]
    opened = request.path_params.get("message") or (mails[0].get("id") if mails else "")
    return Page(
        "mailbox.html",
        {
            "mails": [{**mail, "to": _to(mail)} for mail in mails[:_MOST]],
            "opened": next(({**m, "to": _to(m)} for m in mails if m.get("id") == opened), None),
            "chosen": "message" in request.path_params,
            "query": query,
        },
        live=True,
    )


def _to(mail: dict[str, Any]) -> list[str]:
    to = mail.get("to") or []
    return [to] if isinstance(to, str) else [str(one) for one in to]


async def mail_body(sandboxes: Sandboxes, identity: str) -> Response:
    """The body of an e-mail, where none of its scripts, forms and remote images can do anything."""
    mail = next((mail for mail in await sandboxes.mails() if mail.get("id") == identity), None)
    if mail is None:
        return Response(status_code=404)
    text = escape(str(mail.get("text") or ""))
    html = str(mail.get("html") or "") or f"<pre style='white-space:pre-wrap;font:inherit'>{text}</pre>"
    page = (
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>E-mail</title>"
        "<body style='font:15px/1.55 system-ui,sans-serif;margin:20px;color:#1d2433;background:#fff'>" + html
    )
    headers = {
        "content-security-policy": _BODY_POLICY,
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }
    return HTMLResponse(page, headers=headers)


async def phone(sandboxes: Sandboxes, request: Request, api: Api) -> Page:
    """Texts, calls and messenger messages, as conversations by number."""
    query = query_of(request.query_params.items())
    texts, calls, chats = await asyncio.gather(
        sandboxes.get(f"{sandboxes.providers_url}/twilio/messages"),
        sandboxes.get(f"{sandboxes.providers_url}/twilio/calls"),
        sandboxes.get(f"{sandboxes.providers_url}/meta/messages"),
    )
    bubbles = [_bubble("Text", one, one.get("body")) for one in texts]
    bubbles += [_bubble("Call", one, _said(one)) for one in calls]
    bubbles += [_bubble("Messenger", one, _chat(one)) for one in chats]
    bubbles.sort(key=lambda bubble: bubble["at"] or datetime.min.replace(tzinfo=UTC))
    threads: dict[str, list[dict[str, Any]]] = {}
    for bubble in bubbles:
        threads.setdefault(bubble["to"], []).append(bubble)
    newest = sorted(threads, key=lambda number: str(threads[number][-1]["at"]), reverse=True)
    wanted = query.get("number", "")
    shown = [number for number in newest if wanted in number][:_MOST]
    return Page("phone.html", {"threads": {n: threads[n] for n in shown}, "query": query}, live=True)


def _bubble(kind: str, one: dict[str, Any], text: Any) -> dict[str, Any]:
    to = one.get("to") or (one.get("recipient") or {}).get("id") or "?"
    return {
        "kind": kind,
        "to": str(to),
        "text": str(text or ""),
        "status": str(one.get("status") or ""),
        "at": _at(one.get("date_created") or one.get("received_at") or one.get("at")),
    }


def _said(call: dict[str, Any]) -> str:
    said = call.get("said") or call.get("twiml") or ""
    return " ".join(map(str, said)) if isinstance(said, list) else str(said)


def _chat(message: dict[str, Any]) -> str:
    inner = message.get("message")
    return str(inner.get("text", "")) if isinstance(inner, dict) else str(inner or message.get("text") or "")


def _at(raw: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(raw))
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(str(raw))
    except (ValueError, TypeError):
        return None
