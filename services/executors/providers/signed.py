"""What every signed callback is checked for beside its signature: its age, and whose effect it tells of."""

import hmac
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from services.executors.providers.effect_token import EffectTokens, TokenRefusedError, Told
from services.executors.providers.provider import CallbackRefusedError

TOLERANCE: Final = timedelta(minutes=5)


def require_fresh(stamp: str, received_at: datetime) -> None:
    """Refuse a callback signed more than five minutes before or after it came; `stamp` is Unix time.

    Raises CallbackRefusedError.
    """
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 12):
        raise CallbackRefusedError("TIMESTAMP")
    if abs(received_at.timestamp() - int(stamp)) > TOLERANCE.total_seconds():
        raise CallbackRefusedError("TOO_OLD")


def recipient_mark(token: str, address: str) -> str:
    """Give what goes out beside a token, to tell the contact's own doings from those of its copies."""
    return sha256(f"{token}\n{address.lower()}".encode()).hexdigest()[:16]


def told_by(tokens: EffectTokens, token: object, account_id: int, mark: object, address: str) -> Told | None:
    """Read the token a provider gave back; None for none, one of another account, or another's doing.

    `mark` is the recipient's, given back as well, and `address` whose doing it is.
    """
    if not isinstance(token, str) or not isinstance(mark, str):
        return None
    try:
        told = tokens.read(token)
    except TokenRefusedError:
        return None
    theirs = hmac.compare_digest(recipient_mark(token, address).encode(), mark.encode())
    return told if theirs and told.effect.account_id == account_id else None
