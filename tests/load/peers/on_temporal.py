"""Five activities of a Temporal workflow, on its own server and PostgreSQL; the runner starts it.

Its fast configuration: the Python SDK's worker with activities started eagerly (no trip through matching),
asynchronous activities, no workflow sandbox, a cache that holds every workflow, pollers that scale by
themselves, as docs.temporal.io/develop/worker-performance advises. Activities rather than local ones: those
keep no outcome until the workflow task ends, so the next step would begin before the last one is durable.
Workflows are started before the clock, while no worker polls.
"""

import asyncio
import time
from datetime import timedelta
from importlib.metadata import version
from typing import Final

from google.protobuf.duration_pb2 import Duration
from temporalio import activity, workflow
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker

from tests.load.peers.measuring import STEPS, WARM_UP, Record, tell, told

_NAMESPACE: Final = "peer"
_QUEUE: Final = "steps"
_STARTING: Final = 20
_PATIENCE_S: Final = 90.0
_TIMEOUT: Final = timedelta(seconds=60)
_RECORD: Final = Record(told().record)


@activity.defn
async def step(number: int) -> int:
    """Does nothing; the server records that it is done."""
    return number


@workflow.defn
class FiveSteps:
    """Each activity's outcome is in the workflow's history when its await returns."""

    @workflow.run
    async def run(self) -> None:
        for number in range(STEPS):
            begun = time.monotonic()
            await workflow.execute_activity(step, number, start_to_close_timeout=_TIMEOUT)
            _RECORD.durable(begun)


async def main() -> None:
    """Runs the load and tells the figures."""
    orders = told()
    client = await _client(orders.temporal)
    await _run(client, "warm-up", WARM_UP)
    _RECORD.forget()
    await _run(client, "load", orders.executions)
    setting = f"Temporal's server with PostgreSQL, Python SDK {version('temporalio')}, eager activities"
    tell(_RECORD.figures(orders.executions, setting))


async def _client(address: str) -> Client:
    """A client in a namespace of its own, once the server knows it. Raises the last error if it never does."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            client = await Client.connect(address, namespace=_NAMESPACE)
            await _register(client)
            await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=_NAMESPACE))
            await client.count_workflows()
        except (RPCError, RuntimeError):
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.5)
        else:
            return client


async def _register(client: Client) -> None:
    request = RegisterNamespaceRequest(
        namespace=_NAMESPACE, workflow_execution_retention_period=Duration(seconds=86_400)
    )
    try:
        await client.workflow_service.register_namespace(request)
    except RPCError as error:
        if "already" not in str(error):
            raise


async def _run(client: Client, name: str, executions: int) -> None:
    """Queues the workflows, then works until all have ended."""
    places = asyncio.Semaphore(_STARTING)

    async def start(number: int) -> None:
        async with places:
            await client.start_workflow(FiveSteps.run, id=f"{name}-{number}", task_queue=_QUEUE)

    await asyncio.gather(*(start(number) for number in range(executions)))
    async with Worker(
        client,
        task_queue=_QUEUE,
        workflows=[FiveSteps],
        activities=[step],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=executions + WARM_UP,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
    ):
        await asyncio.to_thread(_RECORD.wait, executions * STEPS)
        await _completed(client, name, executions)


async def _completed(client: Client, name: str, executions: int) -> None:
    """Returns once the server counts so many of these workflows as completed. Raises TimeoutError."""
    query = f"ExecutionStatus = 'Completed' AND WorkflowId STARTS_WITH '{name}-'"
    until = time.monotonic() + _PATIENCE_S
    while (found := (await client.count_workflows(query)).count) != executions:
        if time.monotonic() > until:
            raise TimeoutError(f"of {executions} workflows {found} are completed")
        await asyncio.sleep(0.2)


if __name__ == "__main__":
    asyncio.run(main())
