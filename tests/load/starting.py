"""How quickly executions are started, singly and in bulk, and what reads take under load; scale.py."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import grpc
from google.protobuf.duration_pb2 import Duration
from wayfarer.execution.v1 import bulk_service_pb2 as bulk_pb
from wayfarer.execution.v1 import execution_service_pb2 as pb
from wayfarer.execution.v1.bulk_service_pb2_grpc import BulkServiceStub
from wayfarer.execution.v1.execution_service_pb2_grpc import ExecutionServiceStub

from services.runtime.grpc_client import open_channel
from tests.load.bed import Bed, Size, bed
from tests.load.jobs import JOBS
from tests.load.rig import Population, cpu_seconds, say

_CALLERS: Final = 64
_CONTACTS: Final = 200_000
_LOOK_S: Final = 0.5
"""As often as the command line looks how far an operation is."""


async def starts(size: Size) -> dict[str, Any]:
    """StartExecution from 64 callers at once, bulk enrolment, and reads while both cores are busy."""
    async with (
        bed(JOBS["bare"], size, contacts=_CONTACTS) as place,
        open_channel(place.stack.address) as channel,
    ):
        contacts = place.people.contacts
        single = await _single(place, size.seconds / 4)
        say(
            f"single starts: {single['starts_per_s']:,}/s, {sum(single['cpu_us_per_start'].values())} µs each"
        )
        bulk = await _bulk(channel, place.people, contacts)
        say(f"bulk enrolment: {bulk['starts_per_s']:,}/s")
        await place.staff(1)
        reads = await _reads(channel, place)
    return {"single": single, "bulk": bulk, "reads_under_load_ms": reads}


async def _single(place: Bed, seconds: float) -> dict[str, Any]:
    """Callers with a channel as any program opens it, over all accounts in turn; the CPU is theirs too."""
    people, took = place.people, []
    used, own = cpu_seconds(place.stack), time.process_time()
    begun = time.monotonic()
    async with grpc.aio.insecure_channel(str(place.stack.address)) as channel:
        stub = ExecutionServiceStub(channel)

        async def call(caller: int) -> None:
            for account_id, contact_id in itertools.islice(
                itertools.cycle(people.contacts), caller, None, _CALLERS
            ):
                asked = time.monotonic()
                if asked - begun > seconds:
                    return
                await stub.StartExecution(
                    pb.StartExecutionRequest(
                        workflow=str(people.workflows[account_id]), contact_id=str(contact_id)
                    ),
                    metadata=(("authorization", f"Bearer {people.keys[account_id]}"),),
                    timeout=10,
                )
                took.append(time.monotonic() - asked)

        await asyncio.gather(*(call(caller) for caller in range(_CALLERS)))
    elapsed = time.monotonic() - begun
    after = cpu_seconds(place.stack)
    cpu = {name: after[name] - used[name] for name in ("api", "postgres")}
    cpu["callers"] = time.process_time() - own
    took.sort()
    return {
        "starts_per_s": round(len(took) / elapsed),
        "callers": _CALLERS,
        "p50_ms": round(1000 * took[len(took) // 2], 1),
        "p95_ms": round(1000 * took[int(len(took) * 0.95)], 1),
        "cpu_us_per_start": {name: round(1e6 * seconds / len(took)) for name, seconds in cpu.items()},
    }


async def _bulk(
    channel: grpc.aio.Channel, people: Population, contacts: Sequence[tuple[int, UUID]]
) -> dict[str, Any]:
    """Enrols every contact of every account, 50 operations side by side, each as quick as it may."""
    stub = BulkServiceStub(channel)
    lists: dict[int, list[str]] = {account_id: [] for account_id in people.workflows}
    for account_id, contact_id in contacts:
        lists[account_id].append(str(contact_id))
    begun = time.monotonic()

    async def enrol(account_id: int) -> int:
        metadata = (("authorization", f"Bearer {people.keys[account_id]}"),)
        task = bulk_pb.BulkTask(
            enroll=bulk_pb.EnrollMany(
                workflow=str(people.workflows[account_id]), contact_ids=lists[account_id]
            )
        )
        request = bulk_pb.StartBulkOperationRequest(
            task=task, per_tick=20_000, tick=Duration(nanos=100_000_000)
        )
        answer = await stub.StartBulkOperation(request, metadata=metadata, timeout=60)
        while True:
            asked = bulk_pb.GetBulkOperationRequest(id=answer.operation.id)
            told = (await stub.GetBulkOperation(asked, metadata=metadata, timeout=30)).operation
            if told.state == bulk_pb.BULK_STATE_DONE:
                return int(told.outcomes["started"])
            await asyncio.sleep(_LOOK_S)

    started = sum(await asyncio.gather(*(enrol(account_id) for account_id in people.workflows)))
    elapsed = time.monotonic() - begun
    return {"started": started, "seconds": round(elapsed, 2), "starts_per_s": round(started / elapsed)}


async def _reads(channel: grpc.aio.Channel, place: Bed) -> dict[str, float]:
    """p50 and p95 of GetExecution and of a list's first page, one caller, at full load."""
    stub = ExecutionServiceStub(channel)
    await place.queue(60_000)
    while place.actions() < 1_000:
        await asyncio.sleep(0.1)
    account_id = next(iter(place.people.keys))
    metadata = (("authorization", f"Bearer {place.people.keys[account_id]}"),)
    page = await stub.ListExecutions(pb.ListExecutionsRequest(page_size=50), metadata=metadata, timeout=30)
    took: dict[str, list[float]] = {"get": [], "list": []}
    for number in range(300):
        begun = time.monotonic()
        wanted = page.executions[number % len(page.executions)].id
        await stub.GetExecution(pb.GetExecutionRequest(id=wanted), metadata=metadata, timeout=30)
        took["get"].append(time.monotonic() - begun)
        begun = time.monotonic()
        await stub.ListExecutions(pb.ListExecutionsRequest(page_size=50), metadata=metadata, timeout=30)
        took["list"].append(time.monotonic() - begun)
    found: dict[str, float] = {}
    for name, values in took.items():
        values.sort()
        found[f"{name}_p50"] = round(1000 * values[len(values) // 2], 2)
        found[f"{name}_p95"] = round(1000 * values[int(len(values) * 0.95)], 2)
    return found
