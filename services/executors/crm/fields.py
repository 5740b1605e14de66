"""Config fields that several of the family's actions have; their configs are built from these."""

from decimal import Decimal
from typing import Annotated, Final, Literal, TypeAlias
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, StringConstraints

OWNER: Final = "owner"
"""Who looks after the contact, where a user is named; no user has this id."""

Key = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$"),
]
"""What an account names its users, pipelines, stages and campaigns by."""

TheirId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""What a provider names its own things by."""

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]


def _time_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("must be an IANA time zone, e.g. Europe/Berlin")
    return name


Name = Annotated[str, StringConstraints(max_length=200)]

TimeZone = Annotated[str, AfterValidator(_time_zone)]

Phone = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")]

Tag = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$"),
]

FIELD_NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9_ -]{0,99}"
"""What the account's own fields are named like."""

MESSENGER_ID: Final = "messenger_id"
"""The account's own field that is an address: the orchestrator is told what it becomes."""

AssignedTo = Annotated[
    Key | None, Field(description='A user\'s id, or "owner" for who owns the contact; nobody if left out.')
]

Status: TypeAlias = Literal["open", "won", "lost", "abandoned"]

Value = Annotated[
    Decimal | None, Field(ge=0, max_digits=15, decimal_places=2, description="What it is worth, e.g. 99.90.")
]
