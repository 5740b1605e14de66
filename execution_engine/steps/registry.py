"""Every type of control step by its name; adding one is its file and a line here."""

from collections.abc import Mapping
from types import MappingProxyType

from execution_engine.steps.control import ControlStep
from execution_engine.steps.end import END_STEP
from execution_engine.steps.go_to import GO_TO
from execution_engine.steps.goal import GOAL
from execution_engine.steps.if_step import IF
from execution_engine.steps.split import SPLIT
from execution_engine.steps.switch import SWITCH
from execution_engine.steps.wait_for_event import WAIT_FOR_EVENT
from execution_engine.steps.wait_time import WAIT_TIME
from execution_engine.steps.wait_until_date import WAIT_UNTIL_DATE
from execution_engine.steps.wait_until_time import WAIT_UNTIL_TIME

_ALL = (
    END_STEP,
    GO_TO,
    GOAL,
    IF,
    SPLIT,
    SWITCH,
    WAIT_FOR_EVENT,
    WAIT_TIME,
    WAIT_UNTIL_DATE,
    WAIT_UNTIL_TIME,
)
CONTROL_STEPS: Mapping[str, ControlStep] = MappingProxyType({step.type: step for step in _ALL})
