"""A sandbox of SendGrid and Resend on one server; sandboxes/__main__.py and the tests serve it.

Control, beside the providers' own paths:
    GET /messages, DELETE /messages   what arrived
    POST /_control/next               misbehave at the next `times` messages whose recipients hold `match`:
        {match, times, status, headers, body, delay (s), reset, taken}; `reset` breaks the connection off, and
        `taken` says whether the message is taken all the same
    DELETE /_control/next             behave
    POST /_control/callback           {sendgrid: URL, resend: URL}, where events go
    GET /_control/keys                {sendgrid_public_key, resend_webhook_secret}
    POST /_control/event              {message_id, event, repeat, reorder, age_s, forge, data}: post them
A recipient "undeliverable…" is refused by SendGrid, a sender @unverified.test by both.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
from aiohttp import web

from services.local.arrivals import Arrivals, Rule
from services.local.sandboxes import email_events, resend, sendgrid
from services.local.sandboxes.email_events import Signer
from services.local.sandboxes.sendgrid import Reply

_MOST_BYTES = 40 * 1024 * 1024


@dataclass(slots=True)
class EmailSandbox:
    """The providers' memory."""

    arrivals: Arrivals
    callbacks: dict[str, str] = field(default_factory=dict)
    signer: Signer = field(default_factory=Signer)
    keys: resend.Keys = field(default_factory=resend.Keys)
    met: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a message has come, before it is answered."""

    def application(self) -> web.Application:
        """The server."""
        application = web.Application(client_max_size=_MOST_BYTES)
        application.add_routes(
            [
                web.post("/v3/mail/send", self._sendgrid),
                web.post("/emails", self._resend),
                web.get("/messages", self._show),
                web.delete("/messages", self._forget),
                web.post("/_control/next", self._misbehave),
                web.delete("/_control/next", self._behave),
                web.post("/_control/callback", self._configure),
                web.get("/_control/keys", self._keys),
                web.post("/_control/event", self._event),
            ]
        )
        return application

    async def _sendgrid(self, request: web.Request) -> web.StreamResponse:
        limits = sendgrid.rate_headers(self.arrivals.total)
        refusal = sendgrid.authenticated(request.headers)
        if refusal is None:
            sent, refusal = sendgrid.checked(await request.read())
        if refusal is not None:
            return _response(refusal, limits)
        message_id, answer = sendgrid.accepted()
        message = {
            **_common("sendgrid", message_id, sent),
            **sendgrid.recipients(sent),
            "from": sent["from"]["email"],
            "text": _part(sent, "text/plain"),
            "html": _part(sent, "text/html"),
            "tags": sent["personalizations"][0].get("custom_args", {}),
            "categories": sent.get("categories", []),
        }
        return await self._take(request, message, answer, limits)

    async def _resend(self, request: web.Request) -> web.StreamResponse:
        limits = resend.rate_headers(0)
        refusal = resend.authenticated(request.headers)
        if refusal is None:
            sent, refusal = resend.checked(await request.read(), request.headers)
        if refusal is not None:
            return _response(refusal, limits)
        owner, key = request.headers["Authorization"], request.headers.get("Idempotency-Key")
        known = self.keys.meet(owner, key, sent) if key is not None else None
        if known is not None:
            return _response(known, limits)
        message_id, answer = resend.accepted()
        message = {
            **_common("resend", message_id, sent),
            **{name: resend.listed(sent.get(name)) for name in ("to", "cc", "bcc")},
            "from": sent["from"],
            "text": sent.get("text", ""),
            "html": sent.get("html", ""),
            "tags": {tag["name"]: tag["value"] for tag in sent.get("tags", ())},
            "idempotency_key": key,
        }
        settled: Reply | None = None
        try:
            rule = self.arrivals.rule_for(_whole(message)) or {}
            settled = answer if _taken(rule) else None
            if key is not None and settled is not None and ("status" in rule or rule.get("reset")):
                # Known from here on, as the answer may never arrive.
                self.keys.settle(owner, key, settled)
            return await self._misbehaving(request, message, answer, limits, rule)
        finally:
            if key is not None:
                self.keys.settle(owner, key, settled)

    async def _take(
        self, request: web.Request, message: dict[str, Any], answer: Reply, limits: Mapping[str, str]
    ) -> web.StreamResponse:
        rule = self.arrivals.rule_for(_whole(message)) or {}
        return await self._misbehaving(request, message, answer, limits, rule)

    async def _misbehaving(
        self,
        request: web.Request,
        message: dict[str, Any],
        answer: Reply,
        limits: Mapping[str, str],
        rule: Mapping[str, Any],
    ) -> web.StreamResponse:
        """Keep the message, unless a rule says otherwise, and answer as the rule says."""
        if _taken(rule):
            self.arrivals.add(message)
        self.met.set()
        await asyncio.sleep(rule.get("delay", 0))
        # No transport: the caller has gone meanwhile.
        if rule.get("reset") and request.transport is not None:
            request.transport.abort()
        if "status" in rule:
            answer = Reply(rule["status"], rule.get("body"), rule.get("headers"))
        return _response(answer, limits)

    async def _show(self, _request: web.Request) -> web.Response:
        return web.json_response(list(self.arrivals.kept))

    async def _forget(self, _request: web.Request) -> web.Response:
        self.arrivals.clear()
        return web.json_response({})

    async def _misbehave(self, request: web.Request) -> web.Response:
        asked = await _object(request)
        try:
            rule = Rule(str(asked.pop("match", "")), int(asked.pop("times", 1)), asked)
        except (ValueError, TypeError) as error:
            raise web.HTTPBadRequest(text=f"not a rule: {error}\n") from error
        self.arrivals.ask(rule)
        return web.json_response({})

    async def _behave(self, _request: web.Request) -> web.Response:
        self.arrivals.rules.clear()
        return web.json_response({})

    async def _configure(self, request: web.Request) -> web.Response:
        self.callbacks.update({name: str(url) for name, url in (await _object(request)).items()})
        return web.json_response({})

    async def _keys(self, _request: web.Request) -> web.Response:
        keys = {
            "sendgrid_public_key": self.signer.sendgrid_key,
            "resend_webhook_secret": self.signer.resend_secret,
        }
        return web.json_response(keys)

    async def _event(self, request: web.Request) -> web.Response:
        asked = await _object(request)
        found = [one for one in self.arrivals.kept if one["message_id"] == asked.get("message_id")]
        if not found or not asked.get("event"):
            raise web.HTTPNotFound(text="no such message, or no event\n")
        url = self.callbacks.get(found[0]["provider"], "")
        if not url:
            raise web.HTTPConflict(text="no callback URL is configured\n")
        signer = Signer() if asked.get("forge") else self.signer
        statuses = []
        async with aiohttp.ClientSession() as session:
            for body, headers in email_events.posts(found[0], asked, signer):
                async with session.post(url, data=body, headers=headers) as response:
                    statuses.append(response.status)
        return web.json_response({"statuses": statuses})


def _common(provider: str, message_id: str, sent: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "provider": provider,
        "message_id": message_id,
        "received_at": datetime.now(UTC).isoformat(),
        "subject": sent.get("subject", ""),
        "headers": sent.get("headers", {}),
        "categories": [],
        "request": dict(sent),
    }


def _part(sent: Mapping[str, Any], kind: str) -> str:
    return next((str(part["value"]) for part in sent["content"] if part["type"] == kind), "")


def _whole(message: Mapping[str, Any]) -> str:
    return " ".join([*message["to"], *message["cc"], *message["bcc"]])


def _taken(rule: Mapping[str, Any]) -> bool:
    """A message that is answered as asked is not taken unless the rule says so; one only delayed is."""
    return bool(rule.get("taken", not ("status" in rule or rule.get("reset"))))


def _response(reply: Reply, limits: Mapping[str, str]) -> web.Response:
    headers = {**limits, **(reply.headers or {})}
    if reply.body is None:
        return web.Response(status=reply.status, headers=headers)
    return web.json_response(reply.body, status=reply.status, headers=headers)


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        asked = await request.json()
    except json.JSONDecodeError as error:
        raise web.HTTPBadRequest(text="not JSON\n") from error
    if not isinstance(asked, dict):
        raise web.HTTPBadRequest(text="not an object\n")
    return asked
