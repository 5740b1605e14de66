"""Opportunities as a batch of moves leaves them, decided purely; move_pipeline_stage fills and writes it."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple

from services.executors.crm.ids import ContactKey
from services.executors.crm.opportunities import Opportunity
from services.executors.crm.pipelines import Stages


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Where to, and what else."""

    stage: str
    status: str | None = None
    value: Decimal | None = None
    """What is None stays as it is."""
    allow_backward: bool = False


class Moved(NamedTuple):
    """What an order did to an opportunity."""

    after: Opportunity
    from_stage: str | None
    """None if it was made for the order."""
    is_moved: bool
    is_updated: bool
    """Whether its status or value changed."""


class Board:
    """Opportunities as they stand within one batch; made for each."""

    def __init__(self, found: Sequence[Opportunity]) -> None:
        """Take what the database has, oldest first."""
        self._now: dict[uuid.UUID, Opportunity] = {}
        self._lanes: dict[tuple[ContactKey, str], list[uuid.UUID]] = {}
        for one in found:
            self._put_up(one)
        self._before = dict(self._now)

    def open_of(self, key: ContactKey, pipeline: str) -> list[Opportunity]:
        """Give a contact's open opportunities in a pipeline, oldest first."""
        lane = (self._now[name] for name in self._lanes.get((key, pipeline), ()))
        return [one for one in lane if one.status == "open"]

    def one_of(self, key: ContactKey, pipeline: str, opportunity_id: uuid.UUID) -> Opportunity | None:
        """Give a contact's opportunity by its id, of whatever status; None if it is not in the pipeline."""
        one = self._now.get(opportunity_id)
        return one if one is not None and (one.key, one.pipeline) == (key, pipeline) else None

    def add(self, made: Opportunity) -> Moved:
        """Put up a new opportunity: it has come into its stage."""
        self._put_up(made)
        return Moved(made, None, is_moved=True, is_updated=False)

    def move(self, one: Opportunity, order: Order, stages: Stages) -> Moved:
        """Carry out an order. One that would go backward without leave changes nothing at all.

        A stage that is gone from the pipeline is before every other.
        """
        if stages[order.stage] < stages.get(one.stage, -1) and not order.allow_backward:
            return Moved(one, one.stage, is_moved=False, is_updated=False)
        after = replace(
            one,
            stage=order.stage,
            status=order.status or one.status,
            value=one.value if order.value is None else order.value,
        )
        self._now[one.opportunity_id] = after
        is_updated = (after.status, after.value) != (one.status, one.value)
        return Moved(after, one.stage, after.stage != one.stage, is_updated)

    def made(self) -> list[Opportunity]:
        """Give those that are new, as they stand now."""
        return [one for name, one in self._now.items() if name not in self._before]

    def changed(self) -> list[Opportunity]:
        """Give those the database has otherwise, as they stand now."""
        return [self._now[name] for name, one in self._before.items() if self._now[name] != one]

    def _put_up(self, one: Opportunity) -> None:
        self._now[one.opportunity_id] = one
        self._lanes.setdefault((one.key, one.pipeline), []).append(one.opportunity_id)
