"""What a run may read of its contact next, by where it stands; compile.py asks, so that only that is fetched.

It is a forecast: a run that comes to a step by another way, a goal or a refused message, may need more. The
walk then asks for it before it decides.
"""

from collections.abc import Sequence

from execution_engine.definition.program import (
    END,
    ActionStep,
    GoalStep,
    GoToStep,
    IfStep,
    Reads,
    SplitStep,
    Step,
    SwitchStep,
    WaitForEventStep,
    WaitStep,
    WaitTimeStep,
    WaitUntilDateStep,
    WaitUntilTimeStep,
)

_ELAPSED = ("seconds", "minutes", "hours", "days", "weeks")
_NOTHING = Reads()


def reads_contact(step: Step) -> bool:
    """Whether the step reads the contact's data."""
    match step:
        case ActionStep():
            return step.needs_contact
        case IfStep():
            return "contact" in step.condition.roots
        case SwitchStep():
            return any("contact" in case.condition.roots for case in step.cases)
        case WaitTimeStep():
            return step.zone == "contact" and step.unit not in _ELAPSED
        case WaitUntilTimeStep():
            return step.zone == "contact"
        case WaitUntilDateStep():
            return step.zone == "contact" or "contact" in step.date.roots
        case WaitForEventStep():
            return "contact" in step.pattern.match.roots
        case _:
            return False


def forecast(steps: Sequence[Step]) -> tuple[tuple[Reads, ...], tuple[Reads, ...]]:
    """By position: what a run reads that is taken up there, and one whose action there has ended."""
    own = [Reads(reads_contact(step), _is_message(step)) for step in steps]
    # From each step up to the next action or wait, that one included; a jump back needs another round.
    coming = list(own)
    changed = True
    while changed:
        changed = False
        for step in reversed(steps):
            if isinstance(step, ActionStep | WaitStep):
                continue
            found = own[step.position] | _union(coming, _ways_on(step))
            changed = changed or found != coming[step.position]
            coming[step.position] = found
    after = [_union(coming, _ways_on(step)) for step in steps]
    taken_up = [
        coming[step.position] | after[step.position] if isinstance(step, WaitStep) else coming[step.position]
        for step in steps
    ]
    return tuple(taken_up), tuple(after)


def _is_message(step: Step) -> bool:
    return isinstance(step, ActionStep) and step.channel is not None


def _union(coming: Sequence[Reads], positions: Sequence[int]) -> Reads:
    found = _NOTHING
    for position in positions:
        if position != END:
            found |= coming[position]
    return found


def _ways_on(step: Step) -> tuple[int, ...]:
    match step:
        case ActionStep():
            return (step.next, step.on_error.target)
        case IfStep():
            return (step.then, step.otherwise)
        case SwitchStep():
            return (*(case.then for case in step.cases), step.otherwise)
        case SplitStep():
            return tuple(branch.then for branch in step.branches)
        case GoToStep():
            return (step.target, step.next)
        case WaitForEventStep():
            return (step.on_event, step.on_timeout)
        case WaitTimeStep() | WaitUntilDateStep() | WaitUntilTimeStep() | GoalStep():
            return (step.next,)
        case _:
            return ()
