"""Entry point of a sandbox process, `python -I -m services.executors.sandbox.quickjs`; worker.py starts it.

Machine code comes first on stdin, then one script per frame; each is answered by one frame on stdout. With
the argument `compile` it writes the machine code instead and ends.

WebAssembly is the fence. Behind it stands this process, of which little is left: no environment, no files but
two pipes and no means to open others, a bounded address space, a bounded life.
"""

import ctypes
import resource
import signal
import sys
import time
from typing import Final

from services.executors.sandbox.quickjs.compiled import compiled
from services.executors.sandbox.quickjs.interpreter import Interpreter
from services.executors.sandbox.script import LENGTH, Ending, Script, Verdict, framed

_ADDRESSES: Final = 512 * 1024 * 1024
"""Python, wasmtime and the largest memory take 270 MB of them."""
_LIFE_CPU_S: Final = 120
_WORN_CPU_S: Final = 60
"""Above it, another script of 20 seconds might not end within the life."""
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38


def main() -> None:
    """Serve until stdin ends."""
    if sys.argv[1:] == ["compile"]:
        sys.stdout.buffer.write(compiled())
        return
    _bind()
    _limit("RLIMIT_AS", _ADDRESSES)
    _limit("RLIMIT_CPU", _LIFE_CPU_S)
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_FSIZE", 0)
    machine_code = _read()
    if machine_code is None:
        return
    interpreter = Interpreter(machine_code)
    _warm(interpreter)
    _limit("RLIMIT_NOFILE", 0)
    _limit("RLIMIT_NPROC", 0)
    _answer(b"ready")
    while (body := _read()) is not None:
        verdict = interpreter.run(Script.decoded(body))
        worn = time.process_time() > _WORN_CPU_S
        _answer(Verdict(verdict.ending, verdict.text, verdict.line, verdict.logs, worn).encoded())


def _warm(interpreter: Interpreter) -> None:
    """Run a little once, so that everything that is loaded late is loaded while files can be opened."""
    for source, ending in (("function main() { return 1 }", Ending.RESULT), ("(", Ending.SYNTAX_ERROR)):
        verdict = interpreter.run(Script(source=source))
        if verdict.ending is not ending:
            raise SystemExit(f"the interpreter does not work: {verdict}")


def _bind() -> None:
    """End with the family, even if it is killed while a script runs, and never gain rights (Linux)."""
    if sys.platform.startswith("linux"):
        prctl = ctypes.CDLL(None).prctl
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _limit(name: str, most: int) -> None:
    """Set a limit for good; a system without it goes without."""
    number = getattr(resource, name, None)
    if number is not None:
        resource.setrlimit(number, (most, most))


def _read() -> bytes | None:
    """Give the next frame's body; None at the end."""
    head = sys.stdin.buffer.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(head)
    body = sys.stdin.buffer.read(size)
    return body if len(body) == size else None


def _answer(body: bytes) -> None:
    sys.stdout.buffer.write(framed(body))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
