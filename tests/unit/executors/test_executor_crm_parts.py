"""The crm family's pure parts: ids, and opportunities as a batch of moves leaves them. R-ACT."""

import uuid
from dataclasses import replace
from itertools import pairwise

import pytest

from services.executors.action import EffectKey
from services.executors.crm.board import Board, Order
from services.executors.crm.ids import id_of_effect, new_ids
from services.executors.crm.opportunities import Opportunity

KEY = EffectKey(7, uuid.UUID("01a21596-6790-7399-b252-ab68c11d6afa"), "step", 1)
CONTACT = 7, uuid.UUID("01a21596-6790-7399-b252-ab68c11d6afb")
STAGES = {"new": 0, "offer": 1, "closing": 2}


def test_new_ids_ascend() -> None:
    ids = [*new_ids(4096), *new_ids(0)]
    assert all(one < two for one, two in pairwise(ids))
    assert {(one.version, one.variant) for one in ids} == {(7, uuid.RFC_4122)}
    with pytest.raises(ValueError, match="4096"):
        new_ids(4097)


def test_an_id_derives_from_its_effect_and_nothing_else() -> None:
    made = id_of_effect(KEY)
    assert made == id_of_effect(KEY)
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.bytes[:6] == KEY.execution_id.bytes[:6]
    same_moment = uuid.UUID(bytes=KEY.execution_id.bytes[:15] + b"\x00")
    others = [
        KEY._replace(account_id=8),
        KEY._replace(execution_id=same_moment),
        KEY._replace(step_id="other"),
        KEY._replace(visit=2),
    ]
    assert len({made, *map(id_of_effect, others)}) == 5


def opportunity(stage: str = "new", **changes: object) -> Opportunity:
    made = Opportunity(
        key=CONTACT,
        opportunity_id=new_ids(1)[0],
        pipeline="sales",
        stage=stage,
        status="open",
        name="n",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_board_knows_what_is_to_be_written() -> None:
    kept, moved = opportunity(), opportunity()
    board = Board([kept, moved])
    assert board.open_of(CONTACT, "sales") == [kept, moved]
    assert board.move(kept, Order(stage="new"), STAGES).after == kept
    board.move(moved, Order(stage="offer"), STAGES)
    fresh = opportunity("closing")
    board.add(fresh)
    board.move(fresh, Order(stage="closing", status="won"), STAGES)
    assert board.changed() == [replace(moved, stage="offer")]
    assert board.made() == [replace(fresh, status="won")]
    assert [one.opportunity_id for one in board.open_of(CONTACT, "sales")] == [
        kept.opportunity_id,
        moved.opportunity_id,
    ]


def test_a_move_there_and_back_writes_nothing() -> None:
    one = opportunity()
    board = Board([one])
    there = board.move(one, Order(stage="closing"), STAGES).after
    board.move(there, Order(stage="new", allow_backward=True), STAGES)
    assert board.changed() == []


@pytest.mark.parametrize(
    ("at", "to", "leave", "moved"),
    [
        ("new", "closing", False, True),
        ("closing", "new", False, False),
        ("closing", "new", True, True),
        ("offer", "offer", False, False),
        ("gone", "new", False, True),
    ],
)
def test_moves_go_forward_unless_they_have_leave(at: str, to: str, leave: bool, moved: bool) -> None:
    one = opportunity(at)
    result = Board([one]).move(one, Order(stage=to, allow_backward=leave), STAGES)
    assert (result.is_moved, result.from_stage) == (moved, at)
    assert result.after.stage == (to if moved else at)
