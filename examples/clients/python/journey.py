"""The Python client at work: starts an execution, follows it, lists it, reads its log, and is refused.

WAYFARER_URL is the gateway's address, WAYFARER_API_KEY a key. Prints what it saw as JSON.
"""

import json
import os
import uuid

from wayfarer_client import AuthenticatedClient
from wayfarer_client.api.contact import create_contact
from wayfarer_client.api.execution import list_execution_logs, list_workflow_executions, start_execution
from wayfarer_client.api.workflow import apply_workflow
from wayfarer_client.models import (
    ApplyWorkflowBody,
    ApplyWorkflowResponse,
    Contact,
    CreateContactBody,
    Execution,
    ExecutionStatus,
    JsonObject,
    ListExecutionLogsResponse,
    ListExecutionsResponse,
    Problem,
    StartExecutionBody,
    StartExecutionResponse,
)

DOCUMENT = """
key: python_journey
steps:
  - {id: tag, type: add_tag, config: {tag: newcomer}}
"""


def start(client: AuthenticatedClient) -> Execution:
    """Starts an execution for a new contact; asking twice with one key starts one."""
    applied = apply_workflow.sync(client=client, body=ApplyWorkflowBody(document=DOCUMENT, publish=True))
    assert isinstance(applied, ApplyWorkflowResponse), applied
    contact = create_contact.sync(client=client, body=CreateContactBody(first_name="Jane", tags=["vip"]))
    assert isinstance(contact, Contact), contact
    trigger = JsonObject.from_dict({"campaign": "spring"})
    body, key = StartExecutionBody(contact_id=uuid.UUID(contact.id), trigger=trigger), str(uuid.uuid4())
    started = [
        start_execution.sync("python_journey", client=client, body=body, idempotency_key=key)
        for _ in range(2)
    ]
    first, again = started
    assert isinstance(first, StartExecutionResponse), first
    assert isinstance(first.execution, Execution)
    assert first == again, (first, again)
    return first.execution


def follow(client: AuthenticatedClient, execution: Execution) -> None:
    """Waits until the execution has ended. A stream is read line by line, by the client's own connection."""
    with client.get_httpx_client().stream("GET", f"/api/v1/executions/{execution.id}/watch") as changes:
        assert "event: end" in changes.iter_lines()


def main() -> None:
    """Does it all."""
    url, key = os.environ["WAYFARER_URL"], os.environ["WAYFARER_API_KEY"]
    with AuthenticatedClient(url, key) as client:
        execution = start(client)
        follow(client, execution)
        listed = list_workflow_executions.sync(
            "python_journey", client=client, status=ExecutionStatus.COMPLETED, limit=10
        )
        assert isinstance(listed, ListExecutionsResponse), listed
        log = list_execution_logs.sync(uuid.UUID(execution.id), client=client, limit=2, page=1)
        assert isinstance(log, ListExecutionLogsResponse), log
        body = StartExecutionBody(contact_id=uuid.uuid4())
        nobody = start_execution.sync("python_journey", client=client, body=body)
        assert isinstance(nobody, Problem), nobody
        too_many = list_workflow_executions.sync("python_journey", client=client, limit=1001)
        assert isinstance(too_many, Problem), too_many
    seen = {
        "execution": execution.id,
        "listed": [one.id for one in listed.executions],
        "log": [entry.event for entry in log.log_entries],
        "total": log.total,
        "nobody": [nobody.status, nobody.reason],
        "too_many": [[one.field, one.rule] for one in too_many.errors or []],
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
