"""The sandbox's pure parts: frames, verdicts nobody may forge, the vendored file, the interpreter's isolation."""

import json
import subprocess
import sys

import pytest

from services.executors.sandbox.quickjs.compiled import TamperedError, compiled, untampered
from services.executors.sandbox.quickjs.interpreter import Interpreter
from services.executors.sandbox.script import Ending, Script, Verdict

TOLD = {"ending": "RESULT", "text": "1", "line": 0, "logs": ["a"], "worn": False}


@pytest.fixture(scope="module")
def interpreter() -> Interpreter:
    return Interpreter(compiled())


def test_scripts_and_verdicts_travel() -> None:
    script = Script(source="ö\ud800", inputs='{"a":1}', seed=2**48, timeout_s=1.5, only_parse=True)
    assert Script.decoded(script.encoded()) == script
    verdict = Verdict(Ending.EXCEPTION, "ö", 3, ("a",), True)
    assert Verdict.decoded(verdict.encoded()) == verdict
    assert Verdict.decoded(json.dumps(TOLD).encode()) == Verdict(Ending.RESULT, "1", 0, ("a",))


@pytest.mark.parametrize(
    "change",
    [
        {"ending": "GOOD"},
        {"text": 1},
        {"line": "1"},
        {"logs": [1]},
        {"logs": "a"},
        {"worn": None},
        {"text": None},
    ],
)
def test_what_is_no_verdict_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Verdict.decoded(json.dumps(TOLD | change).encode())


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"{", b"null"])
def test_rubbish_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Verdict.decoded(body)


def test_another_file_is_not_run() -> None:
    with pytest.raises(TamperedError):
        untampered(b"\0asm")


def test_the_family_does_not_load_the_interpreter() -> None:
    """What holds the database's password has no WebAssembly in it."""
    program = (
        "import sys; from services.executors.sandbox.__main__ import FAMILY;"
        "from services.executors.registry import Registry; Registry.scan(FAMILY.name, FAMILY.package);"
        "sys.exit('wasmtime' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_late_deadlines_do_not_hit_the_next_script(interpreter: Interpreter) -> None:
    """Each loop ends at its deadline, the script right after it is not hit by the same one."""
    for _ in range(20):
        assert interpreter.run(Script(source="for (;;);", timeout_s=0.05)).ending is Ending.TIMEOUT
        assert interpreter.run(Script(source="function main() { return 1 }")).text == "1"


def test_chance_and_time_come_from_the_script_alone(interpreter: Interpreter) -> None:
    source = "function main() { return [Math.random(), Date.now(), new Date().getTimezoneOffset()] }"
    one, same, other = (
        interpreter.run(Script(source=source, seed=seed, now_ms=5)).text for seed in (1, 1, 2)
    )
    assert one == same != other
    assert json.loads(one)[1:] == [5, 0]


def test_memory_is_given_back(interpreter: Interpreter) -> None:
    """More scripts than the address space of a process would hold memories for."""
    for _ in range(60):
        assert interpreter.run(Script(source="function main() {}", memory_mb=128)).ending is Ending.RESULT
