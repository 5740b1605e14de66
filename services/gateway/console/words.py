"""What statuses, blockers, log entries and outcomes are called on the pages, and in which tone."""

from typing import Final

STATUSES: Final = {
    1: ("Queued", "info"),
    2: ("Active", "run"),
    3: ("Paused", "warn"),
    4: ("Waiting", "wait"),
    5: ("Completed", "good"),
    6: ("Failed", "bad"),
    7: ("Cancelled", "mute"),
}
STATUS_NAMES: Final = {label.lower(): number for number, (label, _) in STATUSES.items()}
WORKFLOW_STATUSES: Final = {
    1: ("Draft", "mute"),
    2: ("Active", "good"),
    3: ("Paused", "warn"),
    4: ("Archived", "mute"),
}
PRIORITIES: Final = {1: "High", 2: "Normal", 3: "Low"}
BLOCKED: Final = {
    1: "due, a worker will take it",
    2: "for its time",
    3: "for the next try",
    4: "for what became of an attempt",
    5: "for its executor",
    6: "as the action asked",
    7: "for the provider",
    8: "its workflow is paused",
    9: "for a slot of the account",
    10: "somebody holds it",
    11: "for an event",
    12: "by an ad-hoc wait",
    13: "provider asked to slow down",
    14: "breaker is open",
    15: "for the rate limit",
    16: "outcome unknown: decide",
    17: "for quiet hours to end",
    18: "frequency cap",
    19: "credentials refused: renew them",
}
ERROR_CLASSES: Final = {
    1: "Timeout",
    2: "Rate limit",
    3: "Server error",
    4: "Network",
    5: "Validation",
    6: "Not found",
    7: "Authentication",
    8: "Authorization",
    9: "Configuration",
    10: "Contact data",
    11: "Database",
    12: "Indeterminate",
}
CONSEQUENCES: Final = {
    1: ("Started", "good"),
    2: ("Resumed", "run"),
    3: ("Goal achieved", "good"),
    4: ("Exit reached", "info"),
    5: ("Deduplicated", "mute"),
    6: ("Blocked", "bad"),
    7: ("Kept", "wait"),
    8: ("Not waited for", "mute"),
    9: ("Consent changed", "warn"),
    10: ("Replayed", "info"),
}
REFUSALS: Final = {
    "opt_out_blocked": "The contact has opted out",
    "deduplication_blocked": "The same start came a moment before",
    "reentry_blocked": "The contact has been in it, and may not enter again",
    "workflow_not_active": "The workflow took no starts",
    "loop_blocked": "Workflows started each other in a circle",
}
BULK_KINDS: Final = {1: "Retry", 2: "Cancellation", 3: "Enrolment", 4: "Migration"}
BULK_STATES: Final = {
    1: ("Running", "run"),
    2: ("Paused", "warn"),
    3: ("Done", "good"),
    4: ("Cancelled", "mute"),
    5: ("Gathering", "wait"),
}
CHANNELS: Final = {1: "E-mail", 2: "Text", 3: "Voice", 4: "Messenger"}
CATEGORIES: Final = {0: "everything", 1: "marketing", 2: "transactional"}
ROLES: Final = {1: "Member", 2: "Admin", 3: "Platform"}
ENTRY_TONES: Final = {
    "execution_started": "info",
    "action_completed": "good",
    "action_failed": "bad",
    "action_skipped": "mute",
    "skipped_non_retryable_error": "warn",
    "retry_scheduled": "warn",
    "max_retries_exhausted": "bad",
    "outcome_unknown": "warn",
    "execution_failed": "bad",
    "execution_completed": "good",
    "goal_achieved": "good",
    "exit_reached": "info",
    "wait_started": "wait",
    "wait_resumed": "run",
    "wait_timed_out": "warn",
    "cancelled": "mute",
    "paused": "warn",
    "send_skipped": "warn",
    "send_deferred": "wait",
    "opt_out_blocked": "warn",
    "condition_failed": "bad",
    "rate_limit_hit": "warn",
    "executor_unavailable": "warn",
    "visit_limit_reached": "warn",
}
"""Of log entries; any other is neutral."""


_ACRONYMS: Final = {"sms": "SMS", "id": "ID", "url": "URL", "api": "API", "email": "e-mail"}


def words(name: str) -> str:
    """A machine's name as people write it: "retry_scheduled" is "Retry scheduled"."""
    parts = name.removeprefix("custom:").replace("_", " ").split()
    text = " ".join(_ACRONYMS.get(part, part) for part in parts)
    return text[:1].upper() + text[1:]
