"""The workflows that the long benchmarks run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from services.local.stack import Stack
from tests.load import bare
from tests.load.rig import FIVE_TAGS, workflow_of

Step = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """A workflow and how many actions one execution of it has."""

    name: str
    actions: int
    expected: int
    """Actions per second it may come to on two cores."""
    steps: Callable[[Stack], list[Step]]
    webhooks: int = 0
    """Of the actions of one execution."""
    mails: int = 0

    def document(self, stack: Stack) -> str:
        """Its workflow for this stack."""
        return workflow_of(self.steps(stack))


def _bare(stack: Stack) -> list[Step]:
    return [{"id": f"step_{n}", "type": bare.ACTION, "config": {"note": f"step {n}"}} for n in range(5)]


def _tags(stack: Stack) -> list[Step]:
    return FIVE_TAGS


def _mixed(stack: Stack) -> list[Step]:
    """Of 20 actions: 10 tags, 6 field updates with merge fields behind conditions, 3 webhooks, 1 e-mail."""
    steps: list[Step] = [
        {"id": f"tag_{n}", "type": "add_tag", "config": {"tag": f"mixed-{n}"}} for n in range(10)
    ]
    for n in range(6):
        steps += [
            {
                "id": f"known_{n}",
                "type": "if",
                "config": {
                    "condition": f"contact.first_name != '' && 'mixed-{n}' in contact.tags",
                    "then": f"field_{n}",
                    "else": "end",
                },
            },
            {
                "id": f"field_{n}",
                "type": "update_contact",
                "config": {"set": {f"fields.note_{n}": "{{ contact.first_name }} of {{ account.name }}"}},
            },
        ]
    url = f"{stack.receiver_url}/hooks/bench"
    body = {"contact": "{{ contact.id }}", "name": "{{ contact.first_name }}"}
    steps += [
        {"id": f"hook_{n}", "type": "webhook_call", "config": {"url": url, "body": body}} for n in range(3)
    ]
    mail = {"category": "transactional", "subject": "Hello {{ contact.first_name }}", "text": "Well done."}
    return [*steps, {"id": "mail", "type": "send_email", "config": mail}]


def _timer(stack: Stack) -> list[Step]:
    return [{"id": "wait", "type": "wait_time", "config": {"amount": 1, "unit": "hours"}}]


JOBS: Final = {
    job.name: job
    for job in (
        Job("bare", 5, 20_000, _bare),
        Job("tags", 5, 15_000, _tags),
        Job("mixed", 20, 8_000, _mixed, webhooks=3, mails=1),
        Job("timer", 1, 20_000, _timer),
    )
}
