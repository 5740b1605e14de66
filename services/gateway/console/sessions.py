"""Who is signed in: a sealed cookie that holds the API key; console.py asks on every request.

Nothing is kept on the server, so that any gateway process serves any request. The cookie is HttpOnly and
SameSite=Strict; what it holds is readable by the gateway's keyring alone.
"""

import base64
import binascii
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from services.runtime.keyring import Keyring, KeyringError

COOKIE: Final = "wayfarer_session"
LASTS: Final = timedelta(hours=12)
_PURPOSE: Final = "console_session"
_LONGEST: Final = 3_000


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in. `csrf` is what forms must send back; `account` is for showing, empty if not known."""

    key: str
    csrf: str
    until: datetime
    account: str = ""

    @classmethod
    def begin(cls, key: str, account: str) -> "Session":
        """A fresh one."""
        return cls(key, secrets.token_urlsafe(24), datetime.now(UTC) + LASTS, account)

    def proves(self, token: str) -> bool:
        """Whether a form came from a page of this session."""
        return hmac.compare_digest(self.csrf.encode(), token.encode())


class Sessions:
    """Seals sessions into cookies, and opens them. `secure`: the browser sends them over HTTPS only."""

    def __init__(self, keyring: Keyring, *, secure: bool) -> None:
        self._keyring = keyring
        self._secure = secure

    def of(self, request: Request) -> Session | None:
        """Whose request it is; None if nobody is signed in, or no more."""
        raw = request.cookies.get(COOKIE, "")
        if not raw or len(raw) > _LONGEST:
            return None
        try:
            sealed = base64.b64decode(raw, altchars=b"-_", validate=True)
            told = orjson.loads(self._keyring.open(_PURPOSE, 0, sealed))
            session = Session(
                told["key"], told["csrf"], datetime.fromisoformat(told["until"]), told["account"]
            )
        except (binascii.Error, KeyringError, ValueError, KeyError):
            return None
        return session if session.until > datetime.now(UTC) else None

    def keep(self, response: Response, session: Session) -> None:
        """Gives the browser the session."""
        told = {
            "key": session.key,
            "csrf": session.csrf,
            "until": session.until.isoformat(),
            "account": session.account,
        }
        sealed = self._keyring.seal(_PURPOSE, 0, orjson.dumps(told))
        response.set_cookie(
            COOKIE,
            base64.urlsafe_b64encode(sealed).decode(),
            max_age=int(LASTS.total_seconds()),
            path="/console",
            secure=self._secure,
            httponly=True,
            samesite="strict",
        )

    def end(self, response: Response) -> None:
        """Makes the browser forget it."""
        response.delete_cookie(COOKIE, path="/console", secure=self._secure, httponly=True, samesite="strict")
