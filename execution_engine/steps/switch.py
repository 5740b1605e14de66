"""`switch`: the first case whose condition holds; config {cases: [{condition, then}], else}."""

from typing import Any

from execution_engine.definition.conditions import Condition
from execution_engine.definition.faults import Fault
from execution_engine.definition.program import Case, SwitchStep
from execution_engine.steps.control import (
    Config,
    ControlStep,
    Resolve,
    condition_reads,
    not_condition,
    not_text,
    required,
    unknown_keys,
)

_MOST_CASES = 20


def _check(config: Config, path: str) -> list[Fault]:
    faults = unknown_keys(config, ("cases", "else"), path) + required(config, ("cases", "else"), path)
    faults += not_text(config, ("else",), path)
    cases = config.get("cases", [{"condition": "true", "then": "end"}])
    if not isinstance(cases, list) or not 1 <= len(cases) <= _MOST_CASES:
        return [*faults, Fault(f"{path}.cases", "type", f"must be a list of 1 to {_MOST_CASES} cases")]
    for place, case in enumerate(cases):
        faults += _check_case(case, f"{path}.cases[{place}]")
    return faults


def _check_case(case: Any, path: str) -> list[Fault]:
    if not isinstance(case, dict):
        return [Fault(path, "type", "must be a mapping with condition and then")]
    faults = unknown_keys(case, ("condition", "then"), path) + required(case, ("condition", "then"), path)
    faults += not_text(case, ("then",), path)
    if "condition" in case:
        faults += not_condition(case["condition"], f"{path}.condition")
    return faults


def _cases(config: Config) -> list[dict[str, Any]]:
    cases = config.get("cases")
    return [case for case in cases if isinstance(case, dict)] if isinstance(cases, list) else []


def _targets(config: Config) -> dict[str, str]:
    named = {f"cases[{place}].then": case.get("then") for place, case in enumerate(_cases(config))}
    named["else"] = config.get("else")
    return {path: target for path, target in named.items() if isinstance(target, str)}


def _build(id: str, position: int, next: int, config: Config, resolve: Resolve) -> SwitchStep:
    cases = tuple(Case(Condition.compile(c["condition"]), resolve(c["then"])) for c in config["cases"])
    return SwitchStep(id, position, cases, resolve(config["else"]))


def _reads(config: Config) -> frozenset[str]:
    return condition_reads([case.get("condition") for case in _cases(config)])


SWITCH = ControlStep("switch", _check, _targets, _build, goes_on=lambda config: False, reads=_reads)
