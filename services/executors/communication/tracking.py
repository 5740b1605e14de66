"""Makes the links, pixels and unsubscribe addresses of our own in messages, and reads what comes back.

send_email makes them; the gateway passes what is requested of them to TakeCallback under provider "wayfarer",
so that it needs no keys. Whoever holds a link can follow it and nothing else: neither its effect nor its
target can be changed without the account's key.
"""

import base64
import hmac
import re
from collections.abc import Mapping
from hashlib import sha256
from html import escape, unescape
from typing import Final
from urllib.parse import quote

from yarl import URL

from services.executors.action import JsonObject
from services.executors.providers.effect_token import EffectTokens, TokenRefusedError, Told
from services.executors.providers.provider import Answered, Callback, CallbackRefusedError, Happening
from services.runtime.keyring import Keyring

_PURPOSE: Final = "tracking.link"
_MAC_BYTES: Final = 16
_LINK: Final = re.compile(
    r"""(<a\s(?:[^>]*?\s)?href\s*=\s*)(["'])\s*(https?://[^"'<>]*?)\s*\2""", re.IGNORECASE | re.DOTALL
)
_END: Final = re.compile(r"</body\s*>", re.IGNORECASE)
# The smallest transparent GIF.
_PIXEL: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_ASK: Final = b"""<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Unsubscribe</title><form method="post"><p>Stop receiving these messages?</p>
<button name="List-Unsubscribe" value="One-Click">Unsubscribe</button></form>"""
_MACHINES: Final = ("", "Mozilla/5.0")
"""User agents of those who fetch every picture before a person looks: Apple's privacy proxy says no more."""


class Tracking:
    """The addresses under one public URL, e.g. https://go.example.com."""

    def __init__(self, public_url: str, keyring: Keyring, tokens: EffectTokens) -> None:
        """An empty `public_url` makes nothing, and still reads what was made before."""
        self._base = public_url.rstrip("/")
        self._keyring = keyring
        self._tokens = tokens

    def unsubscribe_headers(self, token: str) -> dict[str, str]:
        """Give RFC 8058's headers; none without a public URL."""
        if not self._base:
            return {}
        return {
            "List-Unsubscribe": f"<{self._base}/u/{token}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }

    def tracked(self, html: str, account_id: int, token: str, *, clicks: bool, opens: bool) -> str:
        """Lead every http(s) link of a document over ours, and end it with a pixel, as wished."""
        if not self._base or not html:
            return html
        if clicks:
            html = _LINK.sub(lambda found: self._rewritten(found, account_id, token), html)
        if opens:
            pixel = f'<img src="{self._base}/o/{token}.gif" width="1" height="1" alt="">'
            ends = list(_END.finditer(html))
            place = ends[-1].start() if ends else len(html)
            html = html[:place] + pixel + html[place:]
        return html

    def callback(self, request: Callback) -> Answered:
        """Read a request for one of our addresses. Raises CallbackRefusedError."""
        try:
            url = URL(request.url)
            kind, name = url.parts[-2:]
            told = self._tokens.read(name.removesuffix(".gif"))
        except (ValueError, TokenRefusedError):
            raise CallbackRefusedError("TOKEN") from None
        looking = request.method == "HEAD"
        match kind, request.method:
            case "c", "GET" | "HEAD":
                target = self._target(url.query, told.effect.account_id, name)
                clicked = [] if looking else [_happening("email_clicked", told, request, {"url": target})]
                return Answered(clicked, status=302, location=target)
            case "o", "GET" | "HEAD":
                machine = request.headers.get("user-agent", "").strip() in _MACHINES
                opened = _happening("email_opened", told, request, {"machine_open": machine})
                return Answered([] if looking else [opened], _PIXEL, "image/gif")
            case "u", "POST":
                left = _happening("email_unsubscribed", told, request, {"category": "marketing"})
                return Answered([left], b"You are unsubscribed.\n")
            case "u", "GET" | "HEAD":
                # Whoever fetches links ahead must not unsubscribe anybody: that takes a POST.
                return Answered((), _ASK, "text/html; charset=utf-8")
        raise CallbackRefusedError("NO_SUCH_ADDRESS")

    def _rewritten(self, found: re.Match[str], account_id: int, token: str) -> str:
        before, mark, url = found.groups()
        return f"{before}{mark}{escape(self.link(unescape(url), account_id, token))}{mark}"

    def link(self, url: str, account_id: int, token: str) -> str:
        """Give the address that leads on to `url` and is counted for the token's effect."""
        if url.startswith(self._base + "/"):
            return url
        seal = self._seal(url, account_id, token)
        return f"{self._base}/c/{token}?u={quote(url, safe='')}&s={seal}"

    def _target(self, query: Mapping[str, str], account_id: int, token: str) -> str:
        target, given = query.get("u", ""), query.get("s", "")
        if not hmac.compare_digest(self._seal(target, account_id, token).encode(), given.encode()):
            raise CallbackRefusedError("LINK")
        return target

    def _seal(self, url: str, account_id: int, token: str) -> str:
        key = self._keyring.mac_key(_PURPOSE, account_id)
        mac = hmac.digest(key, f"{token}\n{url}".encode(), sha256)[:_MAC_BYTES]
        return base64.urlsafe_b64encode(mac).decode().rstrip("=")


def _happening(kind: str, told: Told, request: Callback, attributes: JsonObject) -> Happening:
    """One visit; the same request handed over twice is one, and so is every unsubscribing of an effect."""
    account_id, execution_id, step_id, visit = told.effect
    said = [kind, account_id, execution_id, step_id, visit]
    if kind != "email_unsubscribed":
        said += [request.received_at.isoformat(), request.url, sorted(attributes.items())]
    return Happening(
        id=sha256("\n".join(map(str, said)).encode()).hexdigest()[:32],
        type=kind,
        occurred_at=request.received_at,
        effect=told.effect,
        contact_id=told.contact_id,
        attributes=attributes,
    )
