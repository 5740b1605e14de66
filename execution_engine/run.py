"""A claimed execution in a worker's hands: the row under its fence, moved by advance, written by commit."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from execution_engine.definition.program import Program
from execution_engine.model import BlockedOn, Priority, Status
from execution_engine.sending.facts import Facts

JsonObject = dict[str, Any]


@dataclass(slots=True, eq=False)
class Run:
    """Mutable on purpose: one driver owns it, and copying it per step would double the engine's work.

    Fields named like columns of `execution` mean the same. `fence`, `rev` and `asks` are what the row
    must still have for the next write to count. `visits` counts arrivals at steps, where a step may be
    visited again; `settings` are the account's; `cause` names the workflows whose executions led to this
    one by events of theirs, earliest first. `facts` is what the send gate knows of the contact; `foreign` are
    addresses of the config's that it has to know of, too; `counts_sends`: the account caps messages.
    """

    account_id: int
    execution_id: UUID
    workflow_id: UUID
    contact_id: UUID
    version: int
    priority: Priority
    fence: int
    rev: int
    status: Status
    blocked_on: BlockedOn
    step: int
    visit: int
    attempt: int
    failures: int
    crashes: int
    attempt_open: bool
    open_seq: int
    open_at: datetime | None
    steps_run: int
    log_seq: int
    log_hash: bytes
    chain_key: bytes
    program: Program | None = None
    trigger: JsonObject = field(default_factory=dict)
    traceparent: str = ""
    cause: list[str] = field(default_factory=list)
    outputs: JsonObject = field(default_factory=dict)
    visits: JsonObject = field(default_factory=dict)
    state_changed: bool = False
    contact: JsonObject | None = None
    names: JsonObject = field(default_factory=dict)
    settings: JsonObject = field(default_factory=dict)
    asks: int = 0
    ask: int = 0
    ask_detail: str = ""
    held_on: BlockedOn = BlockedOn.NOTHING
    resume_at: datetime | None = None
    not_before: datetime | None = None
    wait_seq: int = 0
    wait: JsonObject | None = None
    signals: list[JsonObject] = field(default_factory=list)
    blocked_by: str = ""
    lanes: tuple[str, ...] = ()
    facts: Facts | None = None
    foreign: tuple[str, ...] = ()
    counts_sends: bool = False
    config: bytes = b""
    wake_at: datetime | None = None
    reason: str = ""
    failure: str | None = None
    ended_at: datetime | None = None
    claimed_at: float = 0.0
    sent_at: float = 0.0

    def scope(self, now: datetime) -> JsonObject:
        """What templates and conditions may read."""
        return {
            "contact": self.contact or {},
            "trigger": self.trigger,
            "steps": self.outputs,
            "execution": {"id": str(self.execution_id)},
            "now": now,
            **self.names,
        }
