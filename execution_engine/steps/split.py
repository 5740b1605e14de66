"""`split`: branches by percentage, the same for a contact each time; config {branches: [{percent, then}]}.

The draw depends on workflow, step and contact alone: it is sticky over versions and re-entries.
"""

from hashlib import blake2b
from typing import Any
from uuid import UUID

from execution_engine.definition.faults import Fault
from execution_engine.definition.program import Branch, SplitStep
from execution_engine.steps.control import Config, ControlStep, Resolve, not_text, required, unknown_keys

_MOST_BRANCHES = 20


def _check(config: Config, path: str) -> list[Fault]:
    faults = unknown_keys(config, ("branches",), path) + required(config, ("branches",), path)
    branches = config.get("branches", [])
    if not isinstance(branches, list) or not 2 <= len(branches) <= _MOST_BRANCHES:
        if "branches" in config:
            faults.append(Fault(f"{path}.branches", "type", f"must be a list of 2 to {_MOST_BRANCHES}"))
        return faults
    for place, branch in enumerate(branches):
        faults += _check_branch(branch, f"{path}.branches[{place}]")
    if not faults and abs(sum(branch["percent"] for branch in branches) - 100) > 1e-6:
        faults.append(Fault(f"{path}.branches", "sum", "the percentages must add up to 100"))
    return faults


def _check_branch(branch: Any, path: str) -> list[Fault]:
    if not isinstance(branch, dict):
        return [Fault(path, "type", "must be a mapping with percent and then")]
    faults = unknown_keys(branch, ("percent", "then"), path) + required(branch, ("percent", "then"), path)
    faults += not_text(branch, ("then",), path)
    percent = branch.get("percent", 0)
    if not isinstance(percent, int | float) or isinstance(percent, bool) or not 0 <= percent <= 100:
        faults.append(Fault(f"{path}.percent", "range", "must be a number from 0 to 100"))
    return faults


def _targets(config: Config) -> dict[str, str]:
    branches = config.get("branches")
    if not isinstance(branches, list):
        return {}
    named = {
        f"branches[{place}].then": b.get("then") for place, b in enumerate(branches) if isinstance(b, dict)
    }
    return {path: target for path, target in named.items() if isinstance(target, str)}


def _build(id: str, position: int, next: int, config: Config, resolve: Resolve) -> SplitStep:
    up_to = 0.0
    branches: list[Branch] = []
    for branch in config["branches"]:
        up_to += float(branch["percent"])
        branches.append(Branch(up_to, resolve(branch["then"]), branch["then"]))
    return SplitStep(id, position, tuple(branches))


def draw(workflow_id: UUID, step_id: str, contact_id: UUID) -> float:
    """Where a contact falls, in [0, 100)."""
    digest = blake2b(workflow_id.bytes + contact_id.bytes + step_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 * 100


def choose(step: SplitStep, drawn: float) -> Branch:
    """The branch of a draw; the last one takes what rounding leaves."""
    return next((branch for branch in step.branches if drawn < branch.up_to), step.branches[-1])


SPLIT = ControlStep("split", _check, _targets, _build, goes_on=lambda config: False)
