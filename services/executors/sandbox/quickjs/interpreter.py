"""Runs one script in an instance of its own, from source to verdict; the process in __main__.py calls it."""

import json
import re
from typing import Final

from wasmtime import Engine, Module, Trap, TrapCode

from services.executors.sandbox.quickjs.compiled import engine, prelude
from services.executors.sandbox.quickjs.deadline import Deadline
from services.executors.sandbox.quickjs.machine import (
    Machine,
    OutOfMemoryError,
    ThrownError,
    TooLongError,
)
from services.executors.sandbox.script import (
    MAX_LOG_BYTES,
    MAX_LOG_LINES,
    MAX_MESSAGE,
    MAX_RESULT_BYTES,
    Ending,
    Script,
    Verdict,
)

_NAME: Final = "source"
_LINE: Final = re.compile(rf"\b{_NAME}:(\d+)")
_MAIN: Final = "typeof main === 'function' ? main : undefined"
_JSON_ROOM: Final = 7 * MAX_LOG_BYTES  # a control character takes six bytes in JSON


class _EndedError(Exception):
    """The script cannot go on; `verdict` says why."""

    def __init__(self, ending: Ending, text: str, line: int = 0) -> None:
        super().__init__(text)
        self.verdict = Verdict(ending, text[:MAX_MESSAGE], line)


class Interpreter:
    """Runs scripts one after the other; they share nothing but machine code."""

    def __init__(self, machine_code: bytes) -> None:
        self._engine: Engine = engine()
        self._module = Module.deserialize(self._engine, machine_code)
        self._prelude = prelude()
        self._deadline = Deadline(self._engine)

    def run(self, script: Script) -> Verdict:
        """Run or only parse a script. Whatever it does, this returns within its time and memory."""
        with self._deadline.of(script.timeout_s):
            try:
                return self._run(script)
            except _EndedError as ended:
                return ended.verdict
            except ThrownError as error:
                return _exception(error).verdict
            except OutOfMemoryError:
                return Verdict(Ending.OUT_OF_MEMORY, f"more than {script.memory_mb} MiB were needed")
            except Trap as trap:
                return _trapped(trap, script)

    def _run(self, script: Script) -> Verdict:
        with Machine(self._engine, self._module, script.memory_mb * 2**20, script.seed) as machine:
            machine.set_clock(script.now_ms)
            _parse(machine, script.source)
            return Verdict(Ending.RESULT) if script.only_parse else self._result(machine, script)

    def _result(self, machine: Machine, script: Script) -> Verdict:
        ours = machine.evaluate(self._prelude, "prelude")
        read, pack, logs = (machine.field(ours, name) for name in ("read", "pack", "logs"))
        inputs = machine.call(read, machine.string(script.inputs))
        machine.evaluate(script.source, _NAME)
        main = machine.evaluate(_MAIN, "entry")
        if not machine.is_function(main):
            raise _EndedError(Ending.EXCEPTION, "the source defines no function main")
        result = _packed(machine, pack, machine.call(main, inputs))
        return Verdict(Ending.RESULT, result, logs=_lines(machine, logs))


def _parse(machine: Machine, source: str) -> None:
    try:
        machine.parse(source, _NAME)
    except ThrownError as error:
        raise _EndedError(Ending.SYNTAX_ERROR, error.message, _line(error)) from error
    except Trap as trap:
        if trap.trap_code is TrapCode.INTERRUPT:
            raise
        raise _EndedError(Ending.SYNTAX_ERROR, "the source is nested too deep") from trap


def _packed(machine: Machine, pack: int, value: int) -> str:
    try:
        packed = machine.call(pack, value)
    except ThrownError as error:
        raise _EndedError(Ending.OUTPUT_INVALID, f"the result is not JSON: {error.message}") from error
    if not machine.is_string(packed):
        raise _EndedError(Ending.OUTPUT_INVALID, "the result is not JSON")
    try:
        text = machine.text(packed, MAX_RESULT_BYTES)
        if len(text.encode()) <= MAX_RESULT_BYTES:
            return text
    except TooLongError:
        pass
    raise _EndedError(Ending.OUTPUT_TOO_LARGE, f"the result takes more than {MAX_RESULT_BYTES} bytes as JSON")


def _lines(machine: Machine, logs: int) -> tuple[str, ...]:
    """Give the console's lines, cut to their room; nothing if the script has broken its console."""
    try:
        told = json.loads(machine.text(machine.call(logs), _JSON_ROOM))
    except (ThrownError, TooLongError, ValueError, RecursionError):
        return ()
    lines: list[str] = []
    left = MAX_LOG_BYTES
    for line in told[:MAX_LOG_LINES] if isinstance(told, list) else ():
        cut = str(line).encode(errors="replace")[:left].decode(errors="ignore")
        left -= len(cut.encode())
        lines.append(cut)
        if left <= 0:
            break
    return tuple(lines)


def _exception(error: ThrownError) -> _EndedError:
    line = _line(error)
    said = f"{error.name}: {error.message}" if error.name else error.message or "a value without a text"
    place = f" (line {line})" if line else ""
    return _EndedError(Ending.EXCEPTION, said[: MAX_MESSAGE - len(place)] + place, line)


def _line(error: ThrownError) -> int:
    found = _LINE.search(error.stack[:4096])
    return min(int(found[1][:9]), 2**31) if found else 0


def _trapped(trap: Trap, script: Script) -> Verdict:
    match trap.trap_code:
        case TrapCode.INTERRUPT:
            return Verdict(Ending.TIMEOUT, f"it was still running after {script.timeout_s:g} seconds")
        case TrapCode.STACK_OVERFLOW:
            return Verdict(Ending.EXCEPTION, "RangeError: calls or values are nested too deep")
        case _:
            return Verdict(Ending.EXCEPTION, "the interpreter gave up")
