"""The processes that custom code runs in: what they are denied, and that none harms another.

R-ERR-7.
"""

import asyncio
import json
import os
import signal
import sys

import grpc
import pytest
from wayfarer.action.v1 import action_executor_pb2 as wire
from wayfarer.action.v1 import action_pb2
from wayfarer.common.v1 import failure_pb2

from tests.contract.executors.sandboxed import (
    ARRAYS,
    FOREVER,
    QUICK,
    busy_process,
    code,
    environment,
    gone,
    limits,
    no_new_rights,
    open_files,
    output,
    peak_mib,
    processes,
)
from tests.contract.executors.world import TIMEOUT_S, Client

DENIED = {
    "Max open files": 0,
    "Max processes": 0,
    "Max file size": 0,
    "Max core file size": 0,
    "Max cpu time": 120,
    "Max address space": 512 * 2**20,
}


async def test_bad_code_does_not_disturb_its_neighbours(sandbox: Client) -> None:
    bad = [code(FOREVER, timeout_seconds=3), code(ARRAYS, timeout_seconds=3, memory_mb=128)]
    good = [code(QUICK, {"n": n}) for n in range(20)]
    results = await sandbox.batch([bad[0], *good, bad[1]])
    assert results[0].failure.code == "TIMEOUT"
    assert results[-1].failure.code in ("OUT_OF_MEMORY", "TIMEOUT")
    assert [json.loads(one.output)["result"]["n"] for one in results[1:-1]] == list(range(20))


async def test_an_account_cannot_keep_the_others_out(sandbox: Client) -> None:
    """Four processes, and four endless scripts of one account: two of them run, two wait."""
    actions = [code(FOREVER, timeout_seconds=15) for _ in range(4)]
    for action in actions:
        action.budget_ms = 60_000
    hogs = [asyncio.create_task(sandbox.execute(action)) for action in actions]
    await busy_process()
    other = code(QUICK, {"n": 1})
    other.account_id = 8
    assert (await sandbox.execute(other)).outcome == action_pb2.OUTCOME_SUCCEEDED
    assert not any(hog.done() for hog in hogs)
    for action in actions:
        assert await sandbox.cancel(action)
    assert {(await hog).failure.code for hog in hogs} == {"CANCELLED"}


async def test_a_killed_process_fails_its_script_only(sandbox: Client) -> None:
    await output(sandbox, code(QUICK))
    running = asyncio.create_task(sandbox.execute(code(FOREVER, timeout_seconds=20)))
    victim = await busy_process()
    os.kill(victim, signal.SIGKILL)
    result = await running
    assert (result.failure.code, result.certainty) == ("SANDBOX_DIED", action_pb2.CERTAINTY_NOT_DONE)
    assert result.failure.error_class == failure_pb2.ERROR_CLASS_SERVER_ERROR
    assert (await output(sandbox, code(QUICK, {"a": 1})))["result"] == {"a": 1}
    assert victim not in processes()


async def test_idle_processes_that_were_killed_are_replaced(sandbox: Client) -> None:
    await output(sandbox, code(QUICK))
    for pid in processes():
        os.kill(pid, signal.SIGKILL)
        await gone(pid)
    results = [await sandbox.execute(code(QUICK, {"n": n})) for n in range(3)]
    assert {one.outcome for one in results} == {action_pb2.OUTCOME_SUCCEEDED}


async def test_a_hung_process_is_killed_and_replaced(sandbox: Client) -> None:
    """The process is stopped, so that its own deadline cannot come: the one outside it does."""
    running = asyncio.create_task(sandbox.execute(code(FOREVER, timeout_seconds=2)))
    victim = await busy_process()
    os.kill(victim, signal.SIGSTOP)
    assert (await running).failure.code == "TIMEOUT"
    assert (await output(sandbox, code(QUICK)))["result"] == {}
    assert victim not in processes()


async def test_a_source_that_could_not_be_checked_is_not_called_good(sandbox: Client) -> None:
    await output(sandbox, code(QUICK))
    for pid in processes():
        os.kill(pid, signal.SIGSTOP)
    config = json.dumps({"source": "main("}).encode()
    request = wire.ValidateRequest(action_type="custom_code", config=config)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await sandbox.stub.Validate(request, timeout=TIMEOUT_S)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    for pid in processes():
        os.kill(pid, signal.SIGKILL)
        await gone(pid)
    assert (await sandbox.stub.Validate(request, timeout=TIMEOUT_S)).faults


async def test_cancel_ends_the_code(sandbox: Client) -> None:
    action = code(FOREVER, timeout_seconds=20)
    running = asyncio.create_task(sandbox.execute(action))
    victim = await busy_process()
    assert await sandbox.cancel(action)
    assert (await running).failure.code == "CANCELLED"
    await gone(victim)


async def test_a_process_has_nothing_and_can_have_nothing(sandbox: Client) -> None:
    await output(sandbox, code(QUICK))
    for pid in processes():
        assert environment(pid) == b""
        assert no_new_rights(pid)
        pipe_in, pipe_out, errors = open_files(pid)
        assert pipe_in.startswith("pipe:")
        assert pipe_out.startswith("pipe:")
        assert errors == "/dev/null"
        for name, most in DENIED.items():
            assert limits(pid)[name] == [str(most)] * 2, name


async def test_a_killed_family_leaves_no_process_behind() -> None:
    program = (
        "import asyncio; from services.executors.sandbox.pool import SandboxPool, Script\n"
        f"async def main():\n  script = Script(source={FOREVER!r}, timeout_s=60)\n"
        "  async with SandboxPool(1) as pool: await pool.run(7, script, wait_s=5)\n"
        "asyncio.run(main())"
    )
    family = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    victim = await busy_process(family.pid)
    family.kill()
    await family.wait()
    await gone(victim)


async def test_memory_of_a_process_stays_bounded(sandbox: Client) -> None:
    """Python and the interpreter take 36 MiB; bombs add what their scripts may use, however many come."""
    for pid in processes():
        os.kill(pid, signal.SIGKILL)
        await gone(pid)
    bombs = [ARRAYS, ARRAYS.replace("new Array(1e4).fill(1)", "'x'.repeat(1e5) + a.length")]
    for source in [*bombs, ARRAYS.replace("new Array(1e4).fill(1)", "new ArrayBuffer(1e5)")] * 2:
        assert (await sandbox.execute(code(source, timeout_seconds=20))).failure.code == "OUT_OF_MEMORY"
    peaks = [peak_mib(pid) for pid in processes()]
    assert peaks
    assert max(peaks) < 64 + 60
