"""R-SEND, A-48, G11: the order of the gate's rules, and each rule's edges, over all zones."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_engine.calendar.zones import wall_clock
from execution_engine.model import BlockedOn, LogEvent
from execution_engine.sending.channels import Category, Channel, Message, message_of, without
from execution_engine.sending.effects import Suppress, effect_of
from execution_engine.sending.facts import Consent, Facts, Sent, Suppression
from execution_engine.sending.gate import Allowed, Later, Place, Refused, Unread, Verdict, judge
from execution_engine.sending.hours import opens_at, quiet_until, release
from execution_engine.sending.rules import Hours, Rules, faults, rules_of

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
ADDRESS = "ann@example.com"
HASH = b"h" * 16
STEP = ("e", "mail", 1)
ZONES = sorted(available_timezones() - {"localtime", "Factory", "posixrules"})
QUIET = {"quiet_hours": {"from": "21:00", "to": "08:00"}}


def message(channel: Channel = Channel.EMAIL, category: Category = Category.MARKETING) -> Message:
    return Message(channel, category, ADDRESS)


def facts(**given: Any) -> Facts:
    return Facts(rev=1, hashes={ADDRESS: HASH}, **given)


def asked(
    known: Facts, account: dict[str, Any] | None = None, at: datetime = NOW, what: Message | None = None
) -> Verdict:
    place = Place(STEP, {"contact": "Europe/Berlin"})
    return judge(what or message(), known, rules_of(account or {}, {}), place, at)


def rule_of(verdict: Verdict) -> str:
    assert isinstance(verdict, Refused | Later)
    return verdict.evidence["rule"]


def suppressed(category: Category | None = None, until: datetime | None = None) -> Suppression:
    return Suppression(Channel.EMAIL, HASH, category, "HARD_BOUNCE", until)


def denied(granted: bool = False) -> dict[tuple[Channel, Category], Consent]:
    return {(Channel.EMAIL, Category.MARKETING): Consent(granted, "form", NOW)}


def sends(*hours_ago: float) -> tuple[Sent, ...]:
    return tuple(
        Sent(NOW - timedelta(hours=h), Channel.EMAIL, Category.MARKETING, ("other", "mail", n))
        for n, h in enumerate(sorted(hours_ago, reverse=True))
    )


CAPS = {"frequency_caps": [{"channels": ["email"], "most": 2, "per": "1d"}]}
NIGHT = datetime(2026, 11, 26, 21, 30, tzinfo=UTC)  # 22:30 in Berlin


def test_the_rules_come_in_their_order() -> None:
    """Each rule alone stops a message, and an earlier one speaks first."""
    everything = {**QUIET, **CAPS, "explicit_consent": ["email"]}
    known = facts(opted_out=True, consents=denied(), suppressions=(suppressed(),), sent=sends(1, 2))
    nowhere = Message(Channel.EMAIL, Category.MARKETING, "")
    assert rule_of(asked(known, everything, NIGHT, nowhere)) == "NO_ADDRESS"
    assert rule_of(asked(known, everything, NIGHT)) == "SUPPRESSED"
    known.suppressions = ()
    assert rule_of(asked(known, everything, NIGHT)) == "OPTED_OUT"
    known.opted_out = False
    assert rule_of(asked(known, everything, NIGHT)) == "CONSENT_DENIED"
    known.consents = {}
    assert rule_of(asked(known, everything, NIGHT)) == "NO_CONSENT"
    known.consents = denied(granted=True)
    assert rule_of(asked(known, everything, NIGHT)) == "QUIET_HOURS"
    assert rule_of(asked(known, CAPS)) == "FREQUENCY_CAP"
    known.sent = ()
    allowed = asked(known, everything)
    assert isinstance(allowed, Allowed)
    assert (allowed.evidence["consent"], allowed.evidence["source"]) == ("given", "form")


def test_what_is_skipped_for_an_opt_out_says_so() -> None:
    verdict = asked(facts(opted_out=True))
    assert isinstance(verdict, Refused)
    assert verdict.event is LogEvent.OPT_OUT_BLOCKED


def test_transactional_mail_passes_quiet_hours_and_implied_consent() -> None:
    what = message(category=Category.TRANSACTIONAL)
    strict = {**QUIET, "explicit_consent": ["email"]}
    assert isinstance(asked(facts(consents=denied()), strict, NIGHT, what), Allowed)
    assert rule_of(asked(facts(opted_out=True), strict, NIGHT, what)) == "OPTED_OUT"
    assert rule_of(asked(facts(suppressions=(suppressed(),)), strict, NIGHT, what)) == "SUPPRESSED"


def test_a_suppression_holds_for_its_channel_category_address_and_time() -> None:
    what = message(category=Category.TRANSACTIONAL)
    assert isinstance(asked(facts(suppressions=(suppressed(Category.MARKETING),)), what=what), Allowed)
    assert isinstance(asked(facts(suppressions=(suppressed(until=NOW),))), Allowed)
    assert rule_of(asked(facts(suppressions=(suppressed(until=NOW + timedelta(seconds=1)),)))) == "SUPPRESSED"
    other = Suppression(Channel.EMAIL, b"x" * 16, None, "STOP", None)
    by_text = Suppression(Channel.SMS, HASH, None, "STOP", None)
    assert isinstance(asked(facts(suppressions=(other, by_text))), Allowed)


def test_an_address_that_was_not_read_is_asked_for() -> None:
    foreign = Message(Channel.EMAIL, Category.MARKETING, "boss@example.com")
    assert asked(facts(), what=foreign) == Unread()


def test_a_copy_that_is_suppressed_is_dropped_and_told() -> None:
    """R-SEND: cc and bcc are judged; the message goes without those that nothing may be sent to."""
    copied = Message(Channel.EMAIL, Category.MARKETING, ADDRESS, ("boss@example.com", "aide@example.com"))
    assert asked(facts(), what=copied) == Unread()
    hashes = {ADDRESS: HASH, "boss@example.com": b"b" * 16, "aide@example.com": b"a" * 16}
    bounced = Suppression(Channel.EMAIL, b"b" * 16, None, "HARD_BOUNCE", None)
    verdict = asked(Facts(rev=1, hashes=hashes, suppressions=(bounced,)), what=copied)
    assert isinstance(verdict, Allowed)
    assert verdict.dropped == ("boss@example.com",)
    assert (verdict.evidence["copies_dropped"], verdict.evidence["copies_reasons"]) == ("1", "HARD_BOUNCE")
    other = Suppression(Channel.EMAIL, b"b" * 16, Category.TRANSACTIONAL, "HARD_BOUNCE", None)
    passed = asked(Facts(rev=1, hashes=hashes, suppressions=(other,)), what=copied)
    assert isinstance(passed, Allowed)
    assert not passed.dropped
    assert "copies_dropped" not in passed.evidence


def test_copies_are_read_from_cc_and_bcc_and_taken_out_of_them() -> None:
    """R-SEND: each address once, of e-mails only; what is no list of texts has none."""
    config = b'{"cc":[" a@b.c ","","x@y.z"],"bcc":["x@y.z"],"text":"t"}'
    assert message_of(Channel.EMAIL, config, {}).copies == ("a@b.c", "x@y.z")
    assert message_of(Channel.SMS, config, {}).copies == ()
    assert message_of(Channel.EMAIL, b'{"cc":"a@b.c","bcc":[1]}', {}).copies == ()
    left = orjson.loads(without(Channel.EMAIL, config, ("x@y.z",)))
    assert left == {"cc": [" a@b.c ", ""], "bcc": [], "text": "t"}


def test_a_message_takes_its_category_and_address_from_config_and_contact() -> None:
    contact = {"email": "a@b.c", "phone": "+4930123", "fields": {"messenger_id": 77}}
    assert message_of(Channel.EMAIL, b"{}", contact) == Message(Channel.EMAIL, Category.MARKETING, "a@b.c")
    config = b'{"to":" x@y.z ","category":"transactional"}'
    assert message_of(Channel.EMAIL, config, contact) == Message(
        Channel.EMAIL, Category.TRANSACTIONAL, "x@y.z"
    )
    assert message_of(Channel.SMS, b"{}", contact).address == "+4930123"
    assert message_of(Channel.MESSENGER, b"{}", contact).address == "77"
    assert message_of(Channel.VOICE, b"{}", {}).address == ""


def test_quiet_hours_in_the_contacts_zone_end_in_the_morning() -> None:
    """A-48."""
    verdict = asked(facts(), QUIET, NIGHT)
    assert isinstance(verdict, Later)
    morning = datetime(2026, 11, 27, 7, 0, tzinfo=UTC)
    assert morning <= verdict.until <= morning + timedelta(minutes=10)
    assert verdict.reason is BlockedOn.QUIET_HOURS
    assert verdict.evidence["time_zone"] == "Europe/Berlin"
    assert verdict.evidence["local_time"] == "2026-11-26T22:30:00"
    assert asked(facts(), QUIET, NIGHT) == verdict  # the same moment each time it is asked
    assert isinstance(asked(facts(), QUIET, verdict.until), Allowed)


def test_a_workflows_rules_go_before_the_accounts() -> None:
    place = Place(STEP, {})
    midnight = datetime(2026, 11, 26, 23, 0, tzinfo=UTC)
    for workflow, held in (({}, True), ({"quiet_hours": "off"}, False)):
        verdict = judge(message(), facts(), rules_of(QUIET, workflow), place, midnight)
        assert isinstance(verdict, Later) is held
    window = {"send_window": {"days": ["mon"], "from": "09:00", "to": "17:00", "spread": 0}}
    verdict = judge(message(), facts(), rules_of({}, window), place, NOW)
    assert isinstance(verdict, Later)
    assert verdict.until == datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
    assert rule_of(verdict) == "SEND_WINDOW"


def test_a_cap_counts_what_slid_not_out_and_not_this_visit() -> None:
    assert rule_of(asked(facts(sent=sends(1, 23)), CAPS)) == "FREQUENCY_CAP"
    assert isinstance(asked(facts(sent=sends(1, 24)), CAPS), Allowed)
    own = Sent(NOW, Channel.EMAIL, Category.MARKETING, STEP)
    assert isinstance(asked(facts(sent=(*sends(1), own)), CAPS), Allowed)
    by_text = Sent(NOW, Channel.SMS, Category.MARKETING, ("other", "text", 1))
    assert isinstance(asked(facts(sent=(*sends(1), by_text)), CAPS), Allowed)


def test_a_cap_that_defers_says_when_there_is_room() -> None:
    caps = {"frequency_caps": [{"most": 2, "per": "1d", "then": "defer"}]}
    verdict = asked(facts(sent=sends(1, 2, 5)), caps)
    assert isinstance(verdict, Later)
    assert verdict.until == NOW + timedelta(hours=22)
    assert verdict.reason is BlockedOn.FREQUENCY_CAP
    assert isinstance(asked(facts(sent=sends(1, 2, 5)), caps, verdict.until), Allowed)


MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2037, 1, 1)).map(lambda d: d.replace(tzinfo=UTC))
TIMES = st.times().map(lambda t: t.replace(second=0, microsecond=0))
DAYS = st.frozensets(st.integers(0, 6), min_size=1)


def hours(begins: Any, ends: Any, days: frozenset[int]) -> Hours:
    return Hours(begins, ends, days, "contact", frozenset(), frozenset(), timedelta(0))


@given(MOMENTS, TIMES, TIMES, DAYS, st.sampled_from(ZONES))
def test_quiet_hours_end_later_and_once(
    now: datetime, begins: Any, ends: Any, days: frozenset[int], name: str
) -> None:
    """Over all zones and their clock changes: an end is ahead, and at it these quiet hours are over."""
    if begins == ends:
        return
    zone, rule = ZoneInfo(name), hours(begins, ends, days)
    until = quiet_until(rule, now, zone)
    if until is None:
        shown = wall_clock(now, zone)
        if begins < ends and shown.weekday() in days and begins <= shown.time() < ends:
            # Only an hour that comes twice, or one inside a gap, may look quiet and not be.
            assert any(
                zone.utcoffset(shown + timedelta(hours=h)) != zone.utcoffset(shown) for h in range(-26, 27)
            )
        return
    assert now < until <= now + timedelta(hours=50)
    later = quiet_until(rule, until, zone)
    assert later is None or later > until


@given(MOMENTS, TIMES, TIMES, DAYS, st.sampled_from(ZONES))
def test_a_window_that_is_shut_opens_ahead(
    now: datetime, begins: Any, ends: Any, days: frozenset[int], name: str
) -> None:
    if begins == ends:
        return
    zone, rule = ZoneInfo(name), hours(begins, ends, days)
    opens = opens_at(rule, now, zone)
    if opens is not None:
        assert now < opens <= now + timedelta(days=9)


@given(st.lists(st.uuids(), min_size=200, max_size=200, unique=True))
def test_what_is_released_is_spread(ids: list[Any]) -> None:
    spread = timedelta(minutes=10)
    dues = [release(NOW, spread, str(one), "mail") for one in ids]
    assert all(NOW <= due < NOW + spread for due in dues)
    halves = sum(due < NOW + spread / 2 for due in dues)
    assert 50 <= halves <= 150


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"quiet_hours": {"from": "21:00"}}, "quiet_hours"),
        ({"quiet_hours": {"from": "21:00", "to": "21:00"}}, "quiet_hours"),
        ({"quiet_hours": {"from": "25:00", "to": "08:00"}}, "quiet_hours"),
        ({"quiet_hours": {"from": "21:00", "to": "08:00", "time_zone": "Mars"}}, "quiet_hours"),
        ({"quiet_hours": {"from": "21:00", "to": "08:00", "bogus": 1}}, "quiet_hours"),
        ({"quiet_hours": "on"}, "quiet_hours"),
        ({"quiet_hours": {"from": "1:00", "to": "2:00", "channels": [["email"]]}}, "quiet_hours"),
        ({"send_window": {"from": "09:00", "to": "17:00", "days": ["someday"]}}, "send_window"),
        ({"send_window": {"from": "09:00", "to": "17:00", "spread": "20h"}}, "send_window"),
        ({"frequency_caps": {"most": 1}}, "frequency_caps"),
        ({"frequency_caps": [{"most": 0}]}, "frequency_caps"),
        ({"frequency_caps": [{"most": 1, "per": "1y"}]}, "frequency_caps"),
        ({"frequency_caps": [{"most": 1, "then": "explode"}]}, "frequency_caps"),
        ({"frequency_caps": [{"most": 1, "channels": ["fax"]}]}, "frequency_caps"),
        ({"explicit_consent": "sms"}, "explicit_consent"),
    ],
)
def test_bad_rules_are_named(given: dict[str, Any], field: str) -> None:
    assert [fault.path for fault in faults(given, "settings.sending")] == [f"settings.sending.{field}"]


def test_good_rules_have_no_fault() -> None:
    everything = {
        "quiet_hours": {"from": "21:00", "to": "08:00", "time_zone": "account", "spread": "5m"},
        "send_window": {"days": ["weekdays"], "from": "09:00", "to": "17:00"},
        "frequency_caps": [{"channels": ["email"], "most": 3, "per": "7d", "then": "defer"}],
        "explicit_consent": ["sms"],
    }
    assert not faults(everything, "settings.sending")
    assert rules_of({}, {}) == Rules()


def test_numbers_compare_without_what_stands_between_the_digits() -> None:
    """STOP holds however somebody wrote the number."""
    contact = {"phone": "+15551234567"}
    config = b'{"to": "+1 (555) 123-4567"}'
    assert message_of(Channel.SMS, config, contact) == Message(
        Channel.SMS, Category.MARKETING, "+15551234567"
    )


@pytest.mark.parametrize(
    "given",
    [None, 5, "sms", {}, {"channel": []}, {"channel": "fax"}, {"channel": {"a": 1}}],
)
def test_what_is_no_suppression_is_passed_over(given: Any) -> None:
    assert effect_of("sms_failed", {"suppress": given}) is None


def test_a_suppression_an_event_tells_of_is_bounded() -> None:
    told = {"channel": "sms", "reason": "A\0B", "until": 1e30}
    effect = effect_of("sms_undelivered", {"suppress": told})
    assert isinstance(effect, Suppress)
    assert effect.reason == "AB"
    assert effect.seconds is not None
    assert effect.seconds < 11 * 366 * 86_400


@pytest.mark.parametrize("off", ["off", False])
def test_off_may_be_written_with_and_without_quotes(off: Any) -> None:
    assert not faults({"quiet_hours": off}, "settings")
    assert rules_of(QUIET, {"quiet_hours": off}).quiet is None
