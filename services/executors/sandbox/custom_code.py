"""Runs an account's own JavaScript. The registry finds ACTION.

It has no effect outside: whatever became of an attempt, making it again harms nobody. So the type is declared
as repeated when in doubt, its failures are all NOT_DONE, and no gate is ever passed: it may be stopped at any
moment.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final

import orjson
from pydantic import AfterValidator, Field, JsonValue, StringConstraints

from services.executors.action import (
    ActionConfig,
    ActionDefinition,
    Call,
    Certainty,
    ConfigFault,
    Deferred,
    DeliveryClass,
    ErrorClass,
    Failed,
    NotExaminedError,
    Result,
    succeeded,
)
from services.executors.config_faults import is_to_be_rendered
from services.executors.results import MAX_OUTPUT_BYTES
from services.executors.sandbox.pool import NOBODY, BusyError, SandboxPool
from services.executors.sandbox.script import Ending, Script, Verdict
from services.executors.sandbox.worker import WorkerDiedError

_MAX_SOURCE: Final = 64 * 1024
_MAX_INPUTS: Final = 64 * 1024
_MAX_DEPTH: Final = 32
_MARGIN_S: Final = 1.0
"""Kept of an attempt's budget for what comes before and after the code."""
_SHORTEST_S: Final = 0.1
_PARSE_S: Final = 1.0
_EXAMINE_S: Final = 10.0
"""Less than Validate's callers wait. The first process takes 1 to 2 s to start, more on a busy machine."""
_BUSY: Final = Deferred(timedelta(seconds=2), "SANDBOX_BUSY")
_OFF: Final = "custom code is switched off here; WAYFARER_CUSTOM_CODE=on allows it"
_DISABLED: Final = Failed(
    ErrorClass.AUTHORIZATION, "CUSTOM_CODE_DISABLED", _OFF, Certainty.NOT_DONE, constant=True
)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What the action works with: processes to run code in, or None where that is switched off."""

    pool: SandboxPool | None


def _source(text: str) -> str:
    if len(text.encode(errors="replace")) > _MAX_SOURCE:
        raise ValueError(f"must be at most {_MAX_SOURCE} bytes")
    if "main" not in text:
        raise ValueError("must define a function main(inputs)")
    return text


def _inputs(inputs: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if len(json.dumps(inputs, allow_nan=False)) > _MAX_INPUTS:
        raise ValueError(f"must be at most {_MAX_INPUTS} bytes as JSON")
    return inputs


class Config(ActionConfig):
    """The code, what it is given, and its limits."""

    source: Annotated[
        str,
        StringConstraints(min_length=1),
        AfterValidator(_source),
        Field(
            description="JavaScript that defines `main(inputs)`, which may be async; what it returns is the "
            "result. At most 64 KiB. Data belongs into `inputs`: a merge field in code is rendered as code.",
        ),
    ]
    inputs: Annotated[
        dict[str, JsonValue],
        AfterValidator(_inputs),
        Field(description="Given to main; at most 64 KiB as JSON."),
    ] = Field(default_factory=dict)
    timeout_seconds: Annotated[float, Field(ge=1, le=20, description="How long the code may run.")] = 5
    memory_mb: Annotated[
        int, Field(ge=16, le=128, description="MiB the code may use, the language's own 1 included.")
    ] = 64


async def run(call: Call[Config], sandbox: Sandbox) -> Result:
    """Run the code in a process of its own."""
    if sandbox.pool is None:
        return _DISABLED
    left = call.deadline - asyncio.get_running_loop().time() - _MARGIN_S
    script = Script(
        source=call.config.source,
        inputs=json.dumps(call.config.inputs),
        seed=_seed(call),
        now_ms=time.time_ns() // 1_000_000,
        timeout_s=max(_SHORTEST_S, min(call.config.timeout_seconds, left)),
        memory_mb=call.config.memory_mb,
    )
    try:
        verdict = await sandbox.pool.run(
            call.key.account_id, script, wait_s=max(_SHORTEST_S, left - script.timeout_s)
        )
    except BusyError:
        return _BUSY
    except WorkerDiedError:
        text = "the process that ran the code ended"
        return Failed(ErrorClass.SERVER_ERROR, "SANDBOX_DIED", text, Certainty.NOT_DONE)
    return _result(verdict)


async def examine(config: Mapping[str, object], sandbox: Sandbox) -> list[ConfigFault]:
    """Find errors of syntax, and say if the code would never run. Raises NotExaminedError."""
    if sandbox.pool is None:
        return [ConfigFault("", _OFF, _DISABLED.code.lower())]
    source = config.get("source")
    if not isinstance(source, str) or is_to_be_rendered(source) or len(source) > _MAX_SOURCE:
        return []
    try:
        async with asyncio.timeout(_EXAMINE_S):
            script = Script(source=source, timeout_s=_PARSE_S, only_parse=True)
            verdict = await sandbox.pool.run(NOBODY, script, wait_s=_EXAMINE_S)
    except (BusyError, WorkerDiedError, TimeoutError) as error:
        raise NotExaminedError(f"no sandbox for the source: {type(error).__name__}") from error
    match verdict.ending:
        case Ending.RESULT:
            return []
        case Ending.TIMEOUT:
            raise NotExaminedError("the source could not be read in time")
        case ending:
            return [ConfigFault("source", _placed(verdict), ending.lower())]


def _seed(call: Call[Config]) -> int:
    key = f"{call.key.account_id}.{call.key}".encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:6])


def _placed(verdict: Verdict) -> str:
    return f"line {verdict.line}: {verdict.text}" if verdict.line else verdict.text


def _result(verdict: Verdict) -> Result:
    match verdict.ending:
        case Ending.RESULT:
            return _succeeded(verdict)
        case Ending.TIMEOUT:
            return _failed(ErrorClass.TIMEOUT, Ending.TIMEOUT, verdict.text)
        case Ending.SYNTAX_ERROR:
            return _failed(ErrorClass.VALIDATION, Ending.SYNTAX_ERROR, _placed(verdict))
        case ending:
            return _failed(ErrorClass.VALIDATION, ending, verdict.text)


def _failed(error_class: ErrorClass, ending: Ending, text: str) -> Failed:
    return Failed(error_class, ending.value, text[:500], Certainty.NOT_DONE, private=True)


def _succeeded(verdict: Verdict) -> Result:
    """Check what came out of the sandbox once more, and let the logs give way to the result."""
    try:
        value = orjson.loads(verdict.text)
    except ValueError:
        text = "the result holds half a character, or is nested too deep"
        return _failed(ErrorClass.VALIDATION, Ending.OUTPUT_INVALID, text)
    if fault := _unstorable(value):
        return _failed(ErrorClass.VALIDATION, Ending.OUTPUT_INVALID, fault)
    logs = [_clean(line) for line in verdict.logs]
    while True:
        output = {"result": value, "logs": logs}
        if len(orjson.dumps(output)) <= MAX_OUTPUT_BYTES:
            return succeeded(output)
        if not logs:
            text = f"the result takes more than {MAX_OUTPUT_BYTES} bytes"
            return _failed(ErrorClass.VALIDATION, Ending.OUTPUT_TOO_LARGE, text)
        logs.pop()


def _clean(line: str) -> str:
    """Drop what no database of ours stores; in a result it is an error, but logs are for people."""
    return line.replace("\x00", "").encode(errors="replace").decode()


def _unstorable(value: JsonValue, depth: int = 1) -> str:
    """Say what keeps a result from being stored; empty if nothing does."""
    if depth > _MAX_DEPTH:
        return f"the result is nested deeper than {_MAX_DEPTH} levels"
    match value:
        case str():
            return "the result holds the character NUL" if "\x00" in value else ""
        case dict():
            inner = (*value, *value.values())
        case list():
            inner = (*value,)
        case _:
            return ""
    return next((fault for one in inner if (fault := _unstorable(one, depth + 1))), "")


_SAMPLE: Final = """\
function main(inputs) {
  return { total: inputs.prices.reduce((sum, price) => sum + price, 0) };
}
"""

ACTION: Final = ActionDefinition(
    name="custom_code",
    summary="Runs JavaScript of the account's own, shut in.",
    config=Config,
    sample={"source": _SAMPLE, "inputs": {"prices": [3, 4]}},
    delivery=DeliveryClass.UNKEYED_AT_LEAST_ONCE,
    run=run,
    examine=examine,
    sensitive_fields=("source", "inputs"),
    timeout=timedelta(seconds=30),
)
