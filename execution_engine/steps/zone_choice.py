"""Which time zone a wait keeps to: contact, workflow, account, or an IANA name; the waits' files check it."""

from zoneinfo import available_timezones

from execution_engine.definition.faults import Fault
from execution_engine.steps.control import Config

KINDS = ("contact", "workflow", "account")


def not_zone(config: Config, path: str) -> list[Fault]:
    """A fault if `time_zone` is there and is none of these."""
    zone = config.get("time_zone", "contact")
    if isinstance(zone, str) and (zone in KINDS or zone in available_timezones()):
        return []
    return [Fault(f"{path}.time_zone", "time_zone", f"must be {', '.join(KINDS)} or an IANA time zone")]
