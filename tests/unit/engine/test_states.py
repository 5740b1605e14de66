"""R-STATE-1: the table of moves is the requirements', and an illegal one names both states."""

import pytest

from execution_engine.errors import IllegalTransition
from execution_engine.model import TERMINAL, Status
from execution_engine.states import LEGAL, require_move

WRITTEN = {
    "QUEUED": "ACTIVE CANCELLED PAUSED COMPLETED",
    "ACTIVE": "WAITING PAUSED COMPLETED FAILED CANCELLED",
    "WAITING": "ACTIVE PAUSED COMPLETED CANCELLED",
    "PAUSED": "QUEUED WAITING CANCELLED",
    "FAILED": "QUEUED",
    "COMPLETED": "",
    "CANCELLED": "",
}


@pytest.mark.parametrize("before", list(Status))
@pytest.mark.parametrize("after", list(Status))
def test_every_pair_is_as_written(before: Status, after: Status) -> None:
    if after.name in WRITTEN[before.name].split():
        require_move(before, after)
    else:
        with pytest.raises(IllegalTransition, match=f"{before.name} to {after.name}"):
            require_move(before, after)


def test_ended_for_good_means_no_way_on() -> None:
    assert {status for status in Status if not LEGAL[status]} == TERMINAL - {Status.FAILED}
