"""R-ERR-1: what each refusal of an e-mail provider means, row by row."""

from datetime import timedelta

import pytest

from services.executors.action import Certainty, ErrorClass
from services.executors.mail.email_faults import (
    TABLE,
    Fault,
    Row,
    SideEffect,
    Stage,
    failure,
    row_of,
)


def _named(row: Row) -> str:
    return f"{row.provider}-{row.low}-{row.names[0] if row.names else 'any'}-{row.stages[0].value}"


@pytest.mark.parametrize("row", TABLE, ids=_named)
def test_every_row_is_reached_by_the_faults_it_describes(row: Row) -> None:
    codes = range(row.low, row.high + 1)
    names = row.names or ("", "strange")
    found = [
        row_of(Fault(row.provider, code, name, stage))
        for code in codes
        for name in names
        for stage in row.stages
    ]
    assert row in found


@pytest.mark.parametrize(
    ("provider", "code", "name", "error_class", "certainty", "side_effect"),
    [
        ("sendgrid", 400, "subject", "VALIDATION", "NOT_DONE", "NONE"),
        ("sendgrid", 400, "personalizations.0.to.0.email", "CONTACT_DATA", "NOT_DONE", "NONE"),
        ("sendgrid", 400, "from.email", "CONFIGURATION", "NOT_DONE", "NONE"),
        ("sendgrid", 401, "", "AUTHENTICATION", "NOT_DONE", "NEEDS_REAUTHORISATION"),
        ("sendgrid", 403, "", "AUTHORIZATION", "NOT_DONE", "NONE"),
        ("sendgrid", 413, "", "VALIDATION", "NOT_DONE", "NONE"),
        ("sendgrid", 429, "", "RATE_LIMIT", "NOT_DONE", "NONE"),
        ("sendgrid", 500, "", "SERVER_ERROR", "INDETERMINATE", "NONE"),
        ("sendgrid", 503, "", "SERVER_ERROR", "NOT_DONE", "NONE"),
        ("sendgrid", 0, "", "INDETERMINATE", "INDETERMINATE", "NONE"),
        ("resend", 401, "missing_api_key", "AUTHENTICATION", "NOT_DONE", "NEEDS_REAUTHORISATION"),
        ("resend", 403, "invalid_api_key", "AUTHENTICATION", "NOT_DONE", "NEEDS_REAUTHORISATION"),
        ("resend", 403, "validation_error", "AUTHORIZATION", "NOT_DONE", "NONE"),
        ("resend", 409, "invalid_idempotent_request", "INDETERMINATE", "INDETERMINATE", "NONE"),
        ("resend", 409, "concurrent_idempotent_requests", "INDETERMINATE", "INDETERMINATE", "NONE"),
        ("resend", 422, "missing_required_field", "VALIDATION", "NOT_DONE", "NONE"),
        ("resend", 422, "invalid_from_address", "CONFIGURATION", "NOT_DONE", "NONE"),
        ("resend", 429, "daily_quota_exceeded", "RATE_LIMIT", "NOT_DONE", "NONE"),
        ("resend", 451, "security_error", "VALIDATION", "NOT_DONE", "NONE"),
        ("resend", 500, "application_error", "SERVER_ERROR", "INDETERMINATE", "NONE"),
        ("smtp", 550, "5.1.1", "CONTACT_DATA", "NOT_DONE", "ADDRESS_SUPPRESSED"),
        ("smtp", 552, "5.2.2", "CONTACT_DATA", "NOT_DONE", "ADDRESS_BOUNCED_SOFT"),
        ("smtp", 550, "5.7.1", "VALIDATION", "NOT_DONE", "NONE"),
        ("smtp", 552, "5.3.4", "VALIDATION", "NOT_DONE", "NONE"),
        ("smtp", 535, "5.7.8", "AUTHENTICATION", "NOT_DONE", "NEEDS_REAUTHORISATION"),
    ],
)
def test_what_a_fault_means(
    provider: str, code: int, name: str, error_class: str, certainty: str, side_effect: str
) -> None:
    fault = Fault(provider, code, name)
    failed = failure(fault)
    assert failed.error_class is ErrorClass[error_class]
    assert failed.certainty is Certainty[certainty]
    assert row_of(fault).side_effect is SideEffect[side_effect]
    assert failed.needs_reauthorisation == (side_effect == "NEEDS_REAUTHORISATION")


@pytest.mark.parametrize("provider", ["sendgrid", "resend"])
def test_every_status_of_a_refusal_is_known(provider: str) -> None:
    known = {row.meaning for row in TABLE}
    assert all(row_of(Fault(provider, code)).meaning in known for code in (0, *range(400, 600)))


@pytest.mark.parametrize("stage", Stage)
def test_every_reply_of_a_mail_server_is_known(stage: Stage) -> None:
    known = {row.meaning for row in TABLE}
    assert all(row_of(Fault("smtp", code, "", stage)).meaning in known for code in (0, *range(400, 600)))


def test_an_answer_nobody_knows_is_uncertain() -> None:
    failed = failure(Fault("smtp", 299))
    assert (failed.error_class, failed.certainty) == (ErrorClass.INDETERMINATE, Certainty.INDETERMINATE)


def test_a_rate_limit_pauses_the_lane_as_long_as_it_says() -> None:
    said = failure(Fault("sendgrid", 429, retry_after=timedelta(seconds=7)), "email")
    assert (said.retry_after, said.lane) == (timedelta(seconds=7), "email")
    silent = failure(Fault("sendgrid", 429), "email")
    assert (silent.retry_after, silent.lane) == (None, "")
    for said_so in (None, timedelta(seconds=1)):
        quota = failure(Fault("resend", 429, "daily_quota_exceeded", retry_after=said_so), "email")
        assert (quota.retry_after, quota.lane) == (timedelta(hours=1), "email")
    other = failure(Fault("sendgrid", 400, retry_after=timedelta(seconds=7)), "email")
    assert (other.retry_after, other.lane) == (None, "")


def test_codes_are_the_providers_own() -> None:
    assert failure(Fault("resend", 429, "rate_limit_exceeded")).code == "RATE_LIMIT_EXCEEDED"
    assert failure(Fault("resend", 429, "not a name")).code == "HTTP_429"
    assert failure(Fault("sendgrid", 400, "from.email")).code == "HTTP_400"
    assert failure(Fault("sendgrid", 0, timed_out=True)).code == "TIMEOUT"
    assert failure(Fault("smtp", 0, stage=Stage.CONNECT)).code == "CONNECT_FAILED"
