"""Which of a contact's opportunities at LeadConnector an errand opened; leadconnector_deals.py asks.

Pure. Its mark in a custom field tells for sure. Without one it is the only new one of its name that was
opened about when it was sent; if there are others like it, nobody can tell.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from services.executors.action import JsonObject
from services.executors.crm.provider import Sight

_ABOUT: Final = timedelta(minutes=5)
"""How far their clock may be from ours, and a request may take."""
_ANY_MARK: Final = "[wf:"


def noted(theirs: Sequence[Mapping[str, Any]], field: str | None, now: datetime) -> JsonObject:
    """Give what to note before one is opened: what is there, the field that is to hold the mark, the time."""
    return {"before": [str(one.get("id")) for one in theirs], "field": field, "at": now.isoformat()}


def opened(
    theirs: Sequence[dict[str, Any]], sent: JsonObject, mark: str, wanted: JsonObject
) -> dict[str, Any] | Sight:
    """Give the one that was opened with what was noted: NOT_THERE or CANNOT_TELL if none is surely ours.

    `wanted` is what it was opened with and stays: its name, and its value if it was given one.
    """
    before, field = sent.get("before"), str(sent.get("field") or "")
    known = set(before) if isinstance(before, list) else set()
    new = [one for one in theirs if one.get("id") not in known]
    if field:
        for one in new:
            if mark in _text_in(one, field):
                return one
        new = [one for one in new if _ANY_MARK not in _text_in(one, field)]
    like = [one for one in new if one.get("name") == wanted["name"] and not _is_of_another_time(one, sent)]
    if not like:
        return Sight.NOT_THERE
    is_ours = (
        len(like) == 1
        and not field  # else ours has its mark
        and _time(like[0].get("createdAt")) is not None
        and all(like[0].get(name) == value for name, value in wanted.items())
    )
    return like[0] if is_ours else Sight.CANNOT_TELL


def _text_in(one: Mapping[str, Any], field: str) -> str:
    """Give what a custom field holds; answers name its value in several ways."""
    fields = one.get("customFields")
    held = [own for own in fields if isinstance(own, dict)] if isinstance(fields, list) else []
    return " ".join(
        value
        for own in held
        if own.get("id") == field
        for name, value in own.items()
        if name != "id" and isinstance(value, str)
    )


def _is_of_another_time(one: Mapping[str, Any], sent: JsonObject) -> bool:
    opened_at, sent_at = _time(one.get("createdAt")), _time(sent.get("at"))
    return opened_at is not None and sent_at is not None and abs(opened_at - sent_at) > _ABOUT


def _time(text: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
