"""Turns the vendored QuickJS into machine code, once per family process; `__main__.py compile` runs it.

Compiling takes half a second of two cores, loading what was compiled 3 ms. What is loaded is executed, so it
stays in memory: a file could be replaced.
"""

import hashlib
from importlib import resources
from typing import Final

from wasmtime import Config, Engine, Module

_SHA256: Final = "d4c9375f2b1ca4dc95f72c8aa2982a7a9951ac8011490d79c6582df732b4bbd9"
_STACK: Final = 2 * 1024 * 1024  # the most wasmtime allows
_LARGEST_MEMORY: Final = 128 * 1024 * 1024
_GUARD: Final = 64 * 1024


class TamperedError(Exception):
    """The vendored QuickJS is not the file it was when it was taken in."""


def engine() -> Engine:
    """Make an engine whose modules stop at a deadline and fit a limited address space.

    By default wasmtime reserves 4 GiB of addresses per memory, which spares it checks (16 % of the time) but
    makes RLIMIT_AS worthless.
    """
    config = Config()
    config.epoch_interruption = True
    config.max_wasm_stack = _STACK
    config.memory_reservation = _LARGEST_MEMORY
    config.memory_reservation_for_growth = 0
    config.memory_guard_size = _GUARD
    config.memory_may_move = False
    config.memory_init_cow = False  # it needs a file for each memory, which a sandbox process cannot open
    config.wasm_threads = False
    return Engine(config)


def compiled() -> bytes:
    """Compile QuickJS. Raises TamperedError."""
    wasm = resources.files(__package__).joinpath("quickjs.wasm").read_bytes()
    return bytes(Module(engine(), untampered(wasm)).serialize())


def untampered(wasm: bytes) -> bytes:
    """Give the file's bytes if they are those that were taken in. Raises TamperedError."""
    if hashlib.sha256(wasm).hexdigest() != _SHA256:
        raise TamperedError("quickjs.wasm is not the vendored file")
    return wasm


def prelude() -> str:
    """Give the JavaScript that runs before every script."""
    return resources.files(__package__).joinpath("prelude.js").read_text(encoding="utf-8")
