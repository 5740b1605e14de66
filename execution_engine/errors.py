"""Why a request cannot be served; raised by the engine, turned into a status by the API's one table.

    WayfarerError
    ├── NotFound                WORKFLOW_NOT_FOUND, CONTACT_NOT_FOUND, EXECUTION_NOT_FOUND
    ├── Refused                 the state of things does not allow it
    │   ├── WorkflowNotActive   WORKFLOW_NOT_ACTIVE
    │   ├── WorkflowArchived    WORKFLOW_ARCHIVED
    │   ├── WorkflowNotEditable WORKFLOW_NOT_EDITABLE
    │   ├── StepLimit           STEP_LIMIT
    │   ├── LastAdminKey        LAST_ADMIN_KEY
    │   ├── IllegalTransition   ILLEGAL_TRANSITION
    │   ├── NothingToReplay     NOTHING_TO_REPLAY
    │   ├── EventUnreadable     EVENT_UNREADABLE
    │   └── ContactOptedOut     CONTACT_OPTED_OUT
    ├── Conflict                it clashes with what is there
    │   ├── ReentryRefused      REENTRY_REFUSED
    │   ├── RequestIdReused     REQUEST_ID_REUSED
    │   ├── DraftChanged        DRAFT_CHANGED
    │   ├── WaitExists          WAIT_EXISTS
    │   ├── EventIdReused       EVENT_ID_REUSED
    │   └── ExternalIdTaken     EXTERNAL_ID_TAKEN
    ├── Invalid                 the input breaks a rule
    │   ├── DocumentMalformed   DOCUMENT_MALFORMED
    │   ├── WorkflowInvalid     WORKFLOW_INVALID
    │   ├── PageTokenInvalid    PAGE_TOKEN_INVALID
    │   ├── InvalidValue        VALUE_INVALID
    │   └── InvalidValues       VALUES_INVALID
    ├── Unauthenticated         UNAUTHENTICATED
    ├── RoleRequired            ROLE_REQUIRED
    ├── Overloaded              OVERLOADED
    └── ExecutorUnavailable     EXECUTOR_UNAVAILABLE

Reasons are part of the API: they never change. What happens to an attempt is not an error but an
outcome (outcome.py).
"""

from collections.abc import Sequence

from execution_engine.definition.faults import Fault


class WayfarerError(Exception):
    """Base of the tree. `reason` is stable; `metadata` holds what a program may want to read."""

    reason = "INTERNAL"

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = metadata


class NotFound(WayfarerError):
    """There is no such thing in the caller's account."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{kind} {name!r} not found", kind=kind, name=name)
        self.kind = kind
        self.reason = f"{kind.upper()}_NOT_FOUND"


class Refused(WayfarerError):
    """The state of things does not allow it."""


class WorkflowNotActive(Refused):
    """A start on a workflow that takes none."""

    reason = "WORKFLOW_NOT_ACTIVE"

    def __init__(self, workflow: str) -> None:
        super().__init__("Workflow is not active", workflow=workflow)


class WorkflowArchived(Refused):
    """A change of a workflow that has been ended for good."""

    reason = "WORKFLOW_ARCHIVED"

    def __init__(self, workflow: str) -> None:
        super().__init__("Workflow is archived", workflow=workflow)


class WorkflowNotEditable(Refused):
    """A change of single steps while the workflow runs."""

    reason = "WORKFLOW_NOT_EDITABLE"

    def __init__(self, workflow: str) -> None:
        super().__init__("Workflow must be draft or paused", workflow=workflow)


class StepLimit(Refused):
    """One step too many."""

    reason = "STEP_LIMIT"

    def __init__(self, limit: int) -> None:
        super().__init__(f"a workflow has at most {limit} steps", limit=str(limit))


class LastAdminKey(Refused):
    """The account would be left without a key that can make others."""

    reason = "LAST_ADMIN_KEY"

    def __init__(self) -> None:
        super().__init__("the account's last ADMIN key cannot be revoked: make another first")


class IllegalTransition(Refused):
    """A move that the state table does not have."""

    reason = "ILLEGAL_TRANSITION"

    def __init__(self, from_status: str, to_status: str) -> None:
        super().__init__(
            f"cannot go from {from_status} to {to_status}", from_status=from_status, to_status=to_status
        )


class NothingToReplay(Refused):
    """An event without a refused start that could be tried again."""

    reason = "NOTHING_TO_REPLAY"

    def __init__(self, event_id: str) -> None:
        super().__init__(
            "no start of this event was refused, or nothing published answers to it any more",
            event_id=event_id,
        )


class EventUnreadable(Refused):
    """What is kept of an event cannot be read, so that it cannot be replayed."""

    reason = "EVENT_UNREADABLE"

    def __init__(self, event: str) -> None:
        super().__init__("what is kept of this event still cannot be read", event=event)


class ContactOptedOut(Refused):
    """A start for somebody who wants nothing from us."""

    reason = "CONTACT_OPTED_OUT"

    def __init__(self, contact_id: str) -> None:
        super().__init__("Contact has opted out", contact_id=contact_id)


class Conflict(WayfarerError):
    """It clashes with what is there."""


class ReentryRefused(Conflict):
    """The workflow's re-entry rule forbids it; an earlier or running execution is named."""

    reason = "REENTRY_REFUSED"

    def __init__(self, execution_id: str) -> None:
        super().__init__("the workflow does not allow this contact to enter again", execution_id=execution_id)


class RequestIdReused(Conflict):
    """The same request id came with another payload."""

    reason = "REQUEST_ID_REUSED"

    def __init__(self, request_id: str) -> None:
        super().__init__("this request id was used with another payload", request_id=request_id)


class DraftChanged(Conflict):
    """Somebody else changed the draft meanwhile."""

    reason = "DRAFT_CHANGED"

    def __init__(self, workflow: str) -> None:
        super().__init__("the draft has changed since it was read", workflow=workflow)


class ExternalIdTaken(Conflict):
    """Another contact has this external id."""

    reason = "EXTERNAL_ID_TAKEN"

    def __init__(self, external_id: str) -> None:
        super().__init__("another contact has this external id", external_id=external_id)


class WaitExists(Conflict):
    """The execution has an ad-hoc wait already."""

    reason = "WAIT_EXISTS"

    def __init__(self, wait_id: str) -> None:
        super().__init__("the execution has an ad-hoc wait already", wait_id=wait_id)


class EventIdReused(Conflict):
    """The same event id came with other content."""

    reason = "EVENT_ID_REUSED"

    def __init__(self, source_id: str) -> None:
        super().__init__("this event id was used for another event", event_id=source_id)


class Invalid(WayfarerError):
    """The input breaks a rule."""


class DocumentMalformed(Invalid):
    """The text is not a document at all. Line and column count from 1."""

    reason = "DOCUMENT_MALFORMED"

    def __init__(self, problem: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {problem}", line=str(line), column=str(column))
        self.problem, self.line, self.column = problem, line, column


class WorkflowInvalid(Invalid):
    """The document breaks rules: all of them at once."""

    reason = "WORKFLOW_INVALID"

    def __init__(self, faults: Sequence[Fault]) -> None:
        count = len(faults)
        first = f"{faults[0].path}: {faults[0].message}" if faults else "no fault given"
        super().__init__(
            f"the workflow has {count} fault{'s' if count != 1 else ''}; the first: {first}",
            faults=str(count),
        )
        self.faults = tuple(faults)


class PageTokenInvalid(Invalid):
    """The page token is not one of ours, or belongs to another filter."""

    reason = "PAGE_TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("the page token is not one given for this list and filter")


class InvalidValue(Invalid):
    """One field breaks one rule."""

    reason = "VALUE_INVALID"

    def __init__(self, field: str, rule: str, message: str) -> None:
        super().__init__(f"{field}: {message}", field=field, rule=rule)
        self.field, self.rule = field, rule


class InvalidValues(Invalid):
    """Several fields break rules: all of them at once."""

    reason = "VALUES_INVALID"

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(f"{faults[0].path}: {faults[0].message}", faults=str(len(faults)))
        self.faults = tuple(faults)


class RoleRequired(WayfarerError):
    """The key's role does not allow this."""

    reason = "ROLE_REQUIRED"

    def __init__(self, role: str) -> None:
        super().__init__(f"this needs a key with the role {role}", role=role)


class Unauthenticated(WayfarerError):
    """No credential, or one that is not known."""

    reason = "UNAUTHENTICATED"


class Overloaded(WayfarerError):
    """Too much at once; come back after `retry_after_s` seconds."""

    reason = "OVERLOADED"

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ExecutorUnavailable(WayfarerError):
    """A family that is needed cannot be reached."""

    reason = "EXECUTOR_UNAVAILABLE"

    def __init__(self, family: str) -> None:
        super().__init__(f"the executor family {family!r} cannot be reached", family=family)
