"""Lifecycle: stop signals, order of closing, crashes, exit codes, by real processes where they matter."""

import asyncio
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from services.runtime.lifecycle import FatalError, periodic, supervise, wait_any


def start(body: str) -> "subprocess.Popen[str]":
    program = """
    import asyncio, sys
    from contextlib import asynccontextmanager
    from services.runtime import logs
    from services.runtime.lifecycle import run, supervise
    logs.configure("test")

    @asynccontextmanager
    async def part(name):
        print("open", name, flush=True)
        try:
            yield
        finally:
            print("close", name, flush=True)
    """
    source = textwrap.dedent(program) + textwrap.dedent(body) + "\nsys.exit(run(main))\n"
    return subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: "subprocess.Popen[str]") -> tuple[int, list[str], str]:
    out, err = process.communicate(timeout=30)
    return process.returncode, out.splitlines(), err


def read_until(process: "subprocess.Popen[str]", line: str) -> None:
    assert process.stdout is not None
    while (got := process.stdout.readline().rstrip()) != line:
        assert got, f"ended before {line!r}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_closes_parts_in_reverse_and_exits_0(number: signal.Signals) -> None:
    process = start(
        """
        async def main(stack, stop):
            await stack.enter_async_context(part("a"))
            await stack.enter_async_context(part("b"))
            print("ready", flush=True)
            await stop.wait()
        """
    )
    read_until(process, "ready")
    process.send_signal(number)
    code, out, _ = finish(process)
    assert (code, out) == (0, ["close b", "close a"])


def test_a_signal_while_starting_ends_the_process_too() -> None:
    process = start(
        """
        import services.runtime.lifecycle as lifecycle
        async def main(stack, stop):
            await stack.enter_async_context(part("a"))
            await asyncio.Event().wait()
        lifecycle._SETTLE_S = 0.1
        """
    )
    read_until(process, "open a")
    process.terminate()
    assert finish(process)[:2] == (0, ["close a"])


def test_a_second_signal_ends_at_once() -> None:
    process = start(
        """
        @asynccontextmanager
        async def stuck():
            yield
            print("stuck", flush=True)
            await asyncio.Event().wait()

        async def main(stack, stop):
            await stack.enter_async_context(stuck())
            print("ready", flush=True)
            await stop.wait()
        """
    )
    read_until(process, "ready")
    process.terminate()
    read_until(process, "stuck")
    process.terminate()
    assert finish(process)[0] == 128 + signal.SIGTERM


def test_a_crash_of_main_closes_parts_and_exits_1() -> None:
    process = start(
        """
        async def main(stack, stop):
            await stack.enter_async_context(part("a"))
            raise RuntimeError("no good")
        """
    )
    code, out, err = finish(process)
    assert (code, out) == (1, ["open a", "close a"])
    assert "no good" in err


def test_a_crash_of_a_supervised_task_stops_the_process() -> None:
    process = start(
        """
        async def failing():
            raise RuntimeError("task is no good")

        async def main(stack, stop):
            await stack.enter_async_context(part("a"))
            supervise(stack, failing(), "failing")
            await stop.wait()
        """
    )
    code, out, err = finish(process)
    assert (code, out) == (1, ["open a", "close a"])
    assert "task is no good" in err


def test_main_may_end_by_itself() -> None:
    assert finish(start("async def main(stack, stop):\n    print('done')\n"))[:2] == (0, ["done"])


async def test_supervised_work_is_cancelled_when_the_stack_closes() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def forever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with AsyncExitStack() as stack:
        supervise(stack, forever(), "forever")
        await begun.wait()
    assert ended.is_set()


async def test_supervised_work_may_end_by_itself_within_its_grace() -> None:
    stop = asyncio.Event()
    finished: list[str] = []

    async def drains() -> None:
        await stop.wait()
        await asyncio.sleep(0)
        finished.append("drained")

    async with AsyncExitStack() as stack:
        supervise(stack, drains(), "drains", grace_s=10)
        stop.set()
    assert finished == ["drained"]


async def test_parts_below_a_task_outlive_it() -> None:
    order: list[str] = []

    @asynccontextmanager
    async def pool() -> AsyncIterator[None]:
        yield
        order.append("pool closed")

    async def uses_pool() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            order.append("task ended")

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(pool())
        supervise(stack, uses_pool(), "user")
        await asyncio.sleep(0)
    assert order == ["task ended", "pool closed"]


async def test_a_crash_outside_run_is_raised_where_the_stack_closes() -> None:
    async def failing() -> None:
        raise RuntimeError("no good")

    stack = AsyncExitStack()
    await asyncio.wait([supervise(stack, failing(), "failing")])
    with pytest.raises(RuntimeError, match="no good"):
        await stack.aclose()


async def test_periodic_goes_on_after_errors_and_at_once_when_there_is_more() -> None:
    stop, rounds = asyncio.Event(), 0

    async def work() -> bool:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            raise RuntimeError("once")
        if rounds == 6:
            stop.set()
        return rounds != 3

    wake = asyncio.Event()
    loop = asyncio.create_task(periodic(3600, work, stop, wake=wake, name="test"))
    while rounds < 3:
        await asyncio.sleep(0)
    wake.set()
    await asyncio.wait_for(loop, 10)
    assert rounds == 6


async def test_a_fatal_error_ends_a_periodic_loop() -> None:
    async def work() -> None:
        raise FatalError("another has taken over")

    with pytest.raises(FatalError):
        await periodic(3600, work, asyncio.Event())


async def test_a_wake_set_during_the_work_is_not_lost() -> None:
    stop, wake, rounds = asyncio.Event(), asyncio.Event(), 0

    async def work() -> None:
        nonlocal rounds
        rounds += 1
        (wake if rounds == 1 else stop).set()

    await asyncio.wait_for(periodic(3600, work, stop, wake=wake), 10)
    assert rounds == 2


async def test_stop_ends_a_waiting_loop() -> None:
    stop, done = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        done.set()

    loop = asyncio.create_task(periodic(3600, work, stop))
    await done.wait()
    stop.set()
    await asyncio.wait_for(loop, 10)


async def test_wait_any_returns_after_its_time() -> None:
    await asyncio.wait_for(wait_any(0.001, asyncio.Event(), None), 10)
