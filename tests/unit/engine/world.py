"""A run and a catalogue to advance in tests of the pure core; no database, no clock but the given one."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from execution_engine import chain
from execution_engine.definition.compile import compile_program
from execution_engine.definition.document import Document
from execution_engine.definition.program import ActionTypeInfo, Catalogue, DeliveryClass
from execution_engine.model import BlockedOn, LogEvent, LogRow, Priority, Status
from execution_engine.run import Run

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
KEY = bytes(range(32))


def action_type(name: str, delivery_class: DeliveryClass, family: str = "crm") -> ActionTypeInfo:
    """One entry of a catalogue."""
    return ActionTypeInfo(name, family, 1, delivery_class, "{}", "{}", (), (), 30_000, 3, 100, 0.0)


CATALOGUE = Catalogue(
    {
        "add_tag": action_type("add_tag", DeliveryClass.TX),
        "send_email": action_type("send_email", DeliveryClass.UNKEYED_AT_MOST_ONCE, "communication"),
        "webhook_call": action_type("webhook_call", DeliveryClass.UNKEYED_AT_LEAST_ONCE, "integrations"),
    }
)


def new_run(steps: list[dict[str, Any]], **settings: Any) -> Run:
    """A run just claimed for the first time, at the first of `steps`."""
    program = compile_program(
        Document({"key": "k", "steps": steps, **({"settings": settings} if settings else {})}, {}), CATALOGUE
    )
    genesis = chain.link(
        KEY, chain.GENESIS, 1, LogEvent.EXECUTION_STARTED, "", "", 0, 0, chain.microseconds(NOW)
    )
    return Run(
        account_id=1,
        execution_id=UUID("01930000-0000-7000-8000-000000000001"),
        workflow_id=UUID("01930000-0000-7000-8000-000000000002"),
        contact_id=UUID("01930000-0000-7000-8000-000000000003"),
        version=1,
        priority=Priority.NORMAL,
        fence=1,
        rev=1,
        status=Status.ACTIVE,
        blocked_on=BlockedOn.WORKER,
        step=0,
        visit=1,
        attempt=0,
        failures=0,
        crashes=0,
        attempt_open=False,
        open_seq=0,
        open_at=None,
        steps_run=0,
        log_seq=1,
        log_hash=genesis,
        chain_key=KEY,
        program=program,
    )


def events(rows: list[LogRow]) -> list[str]:
    """The names of the entries that rows list as, starts included."""
    names: list[str] = []
    for row in rows:
        if row.seq_end != row.seq:
            names.append("action_started")
        names.append(row.event.name.lower())
    return names


def verify_chain(rows: list[LogRow], head: bytes) -> None:
    """Asserts that rows follow execution_started without gaps and chain up to `head`."""
    previous = chain.link(
        KEY, chain.GENESIS, 1, LogEvent.EXECUTION_STARTED, "", "", 0, 0, chain.microseconds(NOW)
    )
    seq = 1
    for row in rows:
        assert row.seq == seq + 1, "a gap in the log"
        assert chain.row_hash(KEY, previous, row) == row.hash, f"the chain breaks at {row}"
        previous, seq = row.hash, row.seq_end
    assert previous == head
