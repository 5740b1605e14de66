"""The common beginning of every process: settings, log, traces, then `run`; called by each
`services/…/__main__.py`.

    if __name__ == "__main__":
        sys.exit(launch("worker", Settings, main))
"""

import asyncio
import gc
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final, Protocol, TypeVar

from services.runtime import logs, telemetry
from services.runtime.config import ConfigError, describe, load
from services.runtime.lifecycle import EXIT_MISUSED, EXIT_OK, run

_YOUNG: Final = 20_000


class ProcessSettings(Protocol):
    """What the settings of every process have."""

    @property
    def log_level(self) -> str: ...

    @property
    def otlp_endpoint(self) -> str: ...

    @property
    def trace_ratio(self) -> float: ...


S = TypeVar("S", bound=ProcessSettings)


def launch(
    service: str, settings_class: type[S], main: Callable[[S, AsyncExitStack, asyncio.Event], Awaitable[None]]
) -> int:
    """Run `main(settings, stack, stop)` as process `service` and give its exit code: 0, 1 failed, 2
    misconfigured.

    With the argument --print-config it prints the settings, secrets hidden, and does nothing else.
    """
    try:
        settings = load(settings_class, os.environ)
    except ConfigError as error:
        print(f"{service}: {error}", file=sys.stderr)
        return EXIT_MISUSED
    if "--print-config" in sys.argv[1:]:
        print(describe(settings))
        return EXIT_OK
    logs.configure(service, settings.log_level)
    telemetry.configure(service, endpoint=settings.otlp_endpoint, ratio=settings.trace_ratio)
    _spare_the_collector()
    return run(lambda stack, stop: main(settings, stack, stop))


def _spare_the_collector() -> None:
    """What is imported stays: it is never looked at again. And batches of hundreds make and drop thousands of
    objects: at Python's own threshold of 700 the collector would look in the middle of each.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 20)
