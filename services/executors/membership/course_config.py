"""What people write of courses and instants; the configs of the family's actions are made of it."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

_YEARS = range(2000, 3000)


def _to_the_second(when: datetime) -> datetime:
    if when.year not in _YEARS:
        raise ValueError(f"must be within the years {_YEARS.start} to {_YEARS.stop - 1}")
    return when.astimezone(UTC).replace(microsecond=0)


Course = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$"),
    Field(coerce_numbers_to_str=True, description="The course's key, or its number at the provider."),
]
Instant = Annotated[AwareDatetime, AfterValidator(_to_the_second)]
"""With its offset from UTC; kept in UTC, to the second, as providers give it back."""
