"""Starts, supervises and stops a process; every `python -m services.…` ends in `sys.exit(run("name", main))`.

    async def main(stack: AsyncExitStack, stop: asyncio.Event) -> None:
        pool = await stack.enter_async_context(open_pool(...))
        supervise(stack, periodic(1.0, sweep, stop), "sweep")
        await stop.wait()

SIGTERM or SIGINT sets `stop`; when main returns, what it entered closes in reverse order. A second signal
ends the process at once.
"""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from contextvars import ContextVar
from typing import Final

import structlog
import uvloop

log = structlog.get_logger(__name__)

Main = Callable[[AsyncExitStack, asyncio.Event], Awaitable[None]]

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_MISUSED: Final = 2
"""For invalid settings or arguments: what a restart will not mend."""

_SETTLE_S: Final = 5.0


class FatalError(Exception):
    """Raised by `periodic` work when going on would be wrong; it ends the loop, and so the process."""


_on_crash: ContextVar[Callable[[str, BaseException], None] | None] = ContextVar(
    "wayfarer_on_crash", default=None
)


def run(main: Main, *, use_uvloop: bool = False) -> int:
    """Run `main` until it returns and give the exit code: 0, or 1 if it or a supervised task failed.

    After a stop signal `main` has 5 seconds to return before it is cancelled (it may still be starting).
    uvloop helps processes without gRPC only: grpc.aio polls on a thread of its own and is slower on it.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if use_uvloop else None) as runner:
        return runner.run(_run(main))


def supervise(
    stack: AsyncExitStack, work: Coroutine[object, object, object], name: str, *, grace_s: float = 0.0
) -> asyncio.Task[object]:
    """Run `work` beside main; if it raises, the process stops and exits with 1. It may end by itself.

    When `stack` closes, the task has `grace_s` seconds to end by itself, is then cancelled, and is awaited.
    Outside `run` (in a test) a crash is raised where the stack closes instead.
    """
    task = asyncio.create_task(work, name=name)  # held by the stack's callback until it is done
    report = _on_crash.get()
    if report is not None:
        task.add_done_callback(lambda done: _report_crash(done, name, report))
    stack.push_async_callback(_end_task, task, grace_s, swallow=report is not None)
    return task


async def periodic(
    interval_s: float,
    work: Callable[[], Awaitable[bool | None]],
    stop: asyncio.Event,
    *,
    name: str = "",
    jitter: float = 0.1,
    wake: asyncio.Event | None = None,
) -> None:
    """Call `work` now and then every `interval_s` seconds ± `jitter` (a share of it) until `stop` is set.

    `wake` set means at once; `work` giving True means there is more to do, also at once. An error is logged
    and the loop goes on: these loops are repeated questions, and one bad answer must not end them.
    FatalError does.
    """
    title = name or getattr(work, "__qualname__", "periodic")
    while not stop.is_set():
        if wake is not None:
            wake.clear()  # before the work: what is set during it is for the next round
        try:
            if await work() is True:
                await asyncio.sleep(0)
                continue
        except FatalError:
            raise
        except Exception:
            log.exception("periodic_failed", name=title)
        await wait_any(interval_s * random.uniform(1 - jitter, 1 + jitter), stop, wake)


async def wait_any(timeout_s: float, *events: asyncio.Event | None) -> None:
    """Return when one of the events is set or after `timeout_s` seconds."""
    waiting = [event for event in events if event is not None]
    if any(event.is_set() for event in waiting):
        return
    tasks = [asyncio.ensure_future(event.wait()) for event in waiting]
    try:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _run(main: Main) -> int:
    stop = asyncio.Event()
    failures: list[BaseException] = []

    def crashed(name: str, error: BaseException) -> None:
        log.error("task_crashed", name=name, exc_info=error)
        failures.append(error)
        stop.set()

    _on_crash.set(crashed)
    _stop_on_signals(stop)
    try:
        async with AsyncExitStack() as stack:
            await _until_stopped(asyncio.ensure_future(main(stack, stop)), stop)
            stop.set()  # main ended by itself: what still runs is told so
            log.info("stopping")
    except Exception as error:
        log.error("crashed", exc_info=error)
        failures.append(error)
    log.info("stopped", failed=bool(failures))
    return EXIT_FAILED if failures else EXIT_OK


async def _until_stopped(main: "asyncio.Future[None]", stop: asyncio.Event) -> None:
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((main, stopped), return_when=asyncio.FIRST_COMPLETED)
        if not main.done():
            await asyncio.wait((main,), timeout=_SETTLE_S)
        if main.done():
            main.result()
            return
        main.cancel()
        with suppress(asyncio.CancelledError):
            await main
    finally:
        stopped.cancel()


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    received_before = False

    def received(number: signal.Signals) -> None:
        nonlocal received_before
        if received_before:
            os._exit(128 + number)
        received_before = True
        log.info("stop_requested", signal=number.name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received, number)


def _report_crash(
    task: "asyncio.Task[object]", name: str, report: Callable[[str, BaseException], None]
) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        report(name, error)


async def _end_task(task: "asyncio.Task[object]", grace_s: float, *, swallow: bool) -> None:
    if not task.done() and grace_s:
        await asyncio.wait((task,), timeout=grace_s)
    task.cancel()
    with suppress(asyncio.CancelledError, *((Exception,) if swallow else ())):
        await task
