"""Gives the contact to a user. The registry finds ACTION; a batch decides under contacts' and users' locks.

Locks are taken in one order, contacts, users, turns, each by key. A turn is taken in the transaction that
records the effect: a delivery repeated finds the recorded user, and one rolled back gives its turn back.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import asyncpg
from pydantic import Field, StringConstraints, model_validator

from services.executors.action import (
    ActionConfig,
    ActionDefinition,
    Call,
    DeliveryClass,
    Failed,
    JsonObject,
    Result,
    succeeded,
)
from services.executors.crm import assignment
from services.executors.crm.carrying import Carrier
from services.executors.crm.contacts import contact_of
from services.executors.crm.desk import Desk
from services.executors.crm.fields import Key
from services.executors.crm.ids import ContactKey
from services.executors.crm.refusals import CONTACT_NOT_FOUND, USER_INACTIVE, USER_UNKNOWN
from services.executors.crm.users import Standing, UserKey

_TAKES_TURNS: Final = ("round_robin", "weighted")

Weight = Annotated[int, Field(ge=1, le=100)]


class Config(ActionConfig):
    """To whom."""

    user_ids: Annotated[
        tuple[Key, ...],
        Field(min_length=1, max_length=100, description="The users to choose from; 1 to 100."),
    ]
    strategy: Annotated[
        Literal["single", "round_robin", "weighted", "least_loaded"],
        Field(
            description="How to choose: the one, each in turn, by weight, or who owns the fewest contacts."
        ),
    ] = "single"
    weights: Annotated[
        dict[str, Weight], Field(description="For weighted: 1 to 100 per user, 1 if left out.")
    ] = Field(default_factory=dict)
    only_unassigned: Annotated[bool, Field(description="Leave a contact who has an owner alone.")] = False
    key: Annotated[
        Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")] | None,
        Field(description="Steps of the same key take turns together; the step's id if left out."),
    ] = None

    @model_validator(mode="after")
    def _check_choice(self) -> "Config":
        if len(set(self.user_ids)) != len(self.user_ids):
            raise ValueError("must name each user once")
        if self.strategy == "single" and len(self.user_ids) != 1:
            raise ValueError("must name one user for single")
        if self.weights and self.strategy != "weighted":
            raise ValueError("must have no weights but for weighted")
        if not self.weights.keys() <= set(self.user_ids):
            raise ValueError("must give weights to named users only")
        return self


async def apply(connection: asyncpg.Connection, calls: Sequence[Call[Config]], desk: Desk) -> list[Result]:
    """Give the contacts of the batch's calls to users; each call sees what those before it did."""
    owners = await desk.contacts.locked(connection, calls)
    users = await desk.users.locked(connection, _concerned(calls, owners))
    plans = _plans(calls, owners, users)
    turns = await desk.users.take_turns(
        connection,
        Counter(
            _turn_key(call)
            for call, plan in zip(calls, plans, strict=True)
            if plan and not isinstance(plan, Failed) and call.config.strategy in _TAKES_TURNS
        ),
    )
    owned = {key: user.owned for key, user in users.items()}
    now = dict(owners)
    results: list[Result] = []
    for call, plan in zip(calls, plans, strict=True):
        contact = contact_of(call)
        if isinstance(plan, Failed):
            results.append(plan)
            continue
        previous = now[contact]
        chosen = _choose(call, plan, owned, turns) if plan else previous
        results.append(succeeded({"user_id": chosen, "previous": previous, "changed": chosen != previous}))
        _move(owned, contact[0], previous, chosen)
        now[contact] = chosen
    await desk.contacts.write_owners(
        connection, {key: who for key, who in now.items() if who is not None and who != owners[key]}
    )
    await desk.users.count(connection, {key: owned[key] - user.owned for key, user in users.items()})
    return results


async def _decided(connection: asyncpg.Connection, call: Call[Config], desk: Desk) -> Failed | JsonObject:
    """Choose for one call and take its turn; nothing else is written."""
    owners = await desk.contacts.locked(connection, [call])
    users = await desk.users.locked(connection, _concerned([call], owners))
    (plan,) = _plans([call], owners, users)
    if isinstance(plan, Failed):
        return plan
    takes_turn = plan and call.config.strategy in _TAKES_TURNS
    turns = await desk.users.take_turns(connection, {_turn_key(call): 1} if takes_turn else {})
    owned = {key: user.owned for key, user in users.items()}
    return {"user_id": _choose(call, plan, owned, turns) if plan else None}


def _as_decided(config: Config, plan: Mapping[str, Any]) -> Config:
    """Name the one who was chosen."""
    chosen = plan["user_id"]
    return config if chosen is None else Config(user_ids=(chosen,))


def _concerned(
    calls: Sequence[Call[Config]], owners: Mapping[ContactKey, str | None]
) -> set[tuple[int, str]]:
    """Give everybody whose count may be compared or changed."""
    named = {(call.key.account_id, user_id) for call in calls for user_id in call.config.user_ids}
    return named | {(key[0], owner) for key, owner in owners.items() if owner is not None}


def _plans(
    calls: Sequence[Call[Config]],
    owners: Mapping[ContactKey, str | None],
    users: Mapping[UserKey, Standing],
) -> list[Failed | tuple[str, ...]]:
    """Tell per call whom to choose from, nobody if the contact is left alone, or why it fails."""
    plans: list[Failed | tuple[str, ...]] = []
    taken = {key for key, owner in owners.items() if owner is not None}
    for call in calls:
        contact = contact_of(call)
        plan = _candidates(call, users) if contact in owners else CONTACT_NOT_FOUND
        if not isinstance(plan, Failed):
            plan = () if call.config.only_unassigned and contact in taken else plan
            taken.add(contact)
        plans.append(plan)
    return plans


def _candidates(call: Call[Config], users: Mapping[UserKey, Standing]) -> Failed | tuple[str, ...]:
    account_id, named = call.key.account_id, call.config.user_ids
    if any((account_id, user_id) not in users for user_id in named):
        return USER_UNKNOWN
    return tuple(user_id for user_id in named if users[account_id, user_id].active) or USER_INACTIVE


def _choose(
    call: Call[Config],
    candidates: tuple[str, ...],
    owned: Mapping[UserKey, int],
    turns: dict[tuple[int, str], int],
) -> str:
    match call.config.strategy:
        case "single":
            return candidates[0]
        case "least_loaded":
            account_id = call.key.account_id
            return assignment.by_load(candidates, {one: owned[account_id, one] for one in candidates})
        case "round_robin":
            return assignment.by_turn(candidates, _turn(call, turns))
        case "weighted":
            return assignment.by_weight(candidates, call.config.weights, _turn(call, turns))


def _turn(call: Call[Config], turns: dict[tuple[int, str], int]) -> int:
    key = _turn_key(call)
    turns[key] += 1
    return turns[key] - 1


def _turn_key(call: Call[Config]) -> tuple[int, str]:
    return call.key.account_id, call.config.key or call.key.step_id


def _move(owned: dict[UserKey, int], account_id: int, previous: str | None, chosen: str | None) -> None:
    if previous is not None:
        owned[account_id, previous] -= 1
    if chosen is not None:
        owned[account_id, chosen] += 1


_CARRIER: Final = Carrier("assign_to_user", Config, apply, _decided, _as_decided)

ACTION: Final = ActionDefinition(
    name="assign_to_user",
    summary="Gives the contact to a user, who owns it from then on.",
    config=Config,
    sample={"user_ids": ["ada", "bob"], "strategy": "round_robin"},
    delivery=DeliveryClass.TX,
    apply=apply,
    elsewhere=_CARRIER.run,
    elsewhere_summary=(
        "LeadConnector: chosen among our users, then PUT /contacts/{id} with assignedTo by "
        "settings.users; at least once, of the same user"
    ),
    find=_CARRIER.find,
    lanes=("crm",),
    emits={"owner_assigned": "user_id"},
    max_batch=500,
)
