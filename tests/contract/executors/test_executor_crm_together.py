"""All of the crm's types in batches that meet over the same contacts. G5. R-ACT."""

import asyncio
import random

from wayfarer.action.v1 import action_pb2

from tests.contract.executors.crm_world import CrmWorld, output
from tests.contract.executors.world import Client, make_action, uuid7

CONFIGS: tuple[tuple[str, dict[str, object]], ...] = (
    ("add_note", {"body": "b"}),
    ("add_tag", {"tags": ["a", "b"]}),
    ("add_to_campaign", {"campaign": "spring", "on_active": "restart"}),
    ("assign_to_user", {"user_ids": ["ada", "bob", "cyd"], "strategy": "least_loaded"}),
    ("create_opportunity", {"pipeline": "sales", "stage": "new", "name": "n"}),
    ("create_task", {"title": "t", "due_in": {"amount": 1, "unit": "days"}, "assigned_to": "owner"}),
    ("move_pipeline_stage", {"pipeline": "sales", "stage": "offer", "create_if_missing": True}),
    ("remove_from_campaign", {"all": True}),
    ("remove_tag", {"tag": "a"}),
    ("update_contact", {"set": {"first_name": "A"}}),
)


async def test_batches_of_all_types_meet(crm: Client, crm_world: CrmWorld) -> None:
    """Whoever meets over locks tries again: every effect is done once, and the counts are right at the end."""
    contacts = [await crm_world.add_contact() for _ in range(6)]
    before = await crm_world.owned()
    batches: list[list[action_pb2.Action]] = []
    for turn in range(4):
        some = random.Random(turn).sample([*enumerate(CONFIGS * 2)], 12)
        batches.append(
            [make_action(*CONFIGS[place % 10], contact_id=contacts[(place + turn) % 6]) for place, _ in some]
        )
    batches.append([make_action("create_contact", {"email": f"{uuid7()}@example.com"})])
    answers = await asyncio.gather(*(crm.batch(batch) for batch in batches))
    results = [one for batch in answers for one in batch]
    assert {one.outcome for one in results} == {action_pb2.OUTCOME_SUCCEEDED}, results
    asked = [action for batch in batches for action in batch]
    done = list(zip(asked, results, strict=True))
    for contact_id in contacts:
        told = [
            (action.action_type, output(result))
            for action, result in done
            if action.contact_id == contact_id.bytes
        ]
        notes = {str(one["note_id"]) for name, one in told if name == "add_note"}
        assert notes == {note.note_id for note in await crm_world.notes(contact_id)}
        joined = {str(one["enrolment_id"]) for name, one in told if name == "add_to_campaign"}
        assert joined == {stay.enrolment_id for stay in await crm_world.enrolments(contact_id)}
        assert len(await crm_world.opportunities(contact_id)) <= 1
    owned = await crm_world.owned()
    assigned = {action.contact_id for action in asked if action.action_type == "assign_to_user"}
    assert sum(owned.values()) - sum(before.values()) == len(assigned)
