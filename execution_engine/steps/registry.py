"""Every type of control step by its name; adding one is its file and a line here."""

from collections.abc import Mapping
from types import MappingProxyType

from execution_engine.steps.control import ControlStep
from execution_engine.steps.end import END_STEP
from execution_engine.steps.if_step import IF
from execution_engine.steps.wait_time import WAIT_TIME

CONTROL_STEPS: Mapping[str, ControlStep] = MappingProxyType({s.type: s for s in (END_STEP, IF, WAIT_TIME)})
