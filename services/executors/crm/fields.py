"""Config fields that several of the family's actions have; their configs are built from these."""

from decimal import Decimal
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field, StringConstraints

OWNER: Final = "owner"
"""Who looks after the contact, where a user is named; no user has this id."""

Key = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$"),
]
"""What an account names its users, pipelines, stages and campaigns by."""

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]

AssignedTo = Annotated[
    Key | None, Field(description='A user\'s id, or "owner" for who owns the contact; nobody if left out.')
]

Status: TypeAlias = Literal["open", "won", "lost", "abandoned"]

Value = Annotated[
    Decimal | None, Field(ge=0, max_digits=15, decimal_places=2, description="What it is worth, e.g. 99.90.")
]
