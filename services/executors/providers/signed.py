"""What every signed callback is checked for beside its signature: its age, and whose effect it tells of."""

from datetime import datetime, timedelta
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


def told_by(tokens: EffectTokens, token: object, account_id: int) -> Told | None:
    """Read the token a provider gave back; None for none, or one of another account."""
    if not isinstance(token, str):
        return None
    try:
        told = tokens.read(token)
    except TokenRefusedError:
        return None
    return told if told.effect.account_id == account_id else None
