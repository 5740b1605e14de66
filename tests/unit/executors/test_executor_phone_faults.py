"""The table of Twilio's and Meta's failures, row by row, against what practitioners do about each.

R-ERR-1: the class of every code. R-SEND: which of them suppress a contact.
"""

import json

import pytest

from services.executors.action import Certainty, ErrorClass, Failed, Skipped
from services.executors.phone.phone_faults import TABLE, Fault, http_codes, verdict

RETRY = {ErrorClass.SERVER_ERROR, ErrorClass.NETWORK, ErrorClass.TIMEOUT}
LATER = {ErrorClass.RATE_LIMIT}
NEVER = {ErrorClass.VALIDATION, ErrorClass.NOT_FOUND, ErrorClass.CONTACT_DATA}
OURS = {ErrorClass.AUTHENTICATION, ErrorClass.AUTHORIZATION, ErrorClass.CONFIGURATION}
SKIP: set[ErrorClass] = set()

NUMBER = {"channel": "sms", "reason": "NUMBER_INVALID", "until": None}
FOR_A_WHILE = {"channel": "sms", "reason": "SMS_DND_TEMPORARY", "until": 3600}
FOR_EVER = {"channel": "sms", "reason": "SMS_DND_PERMANENT", "until": None}
PERSON = {"channel": "messenger", "reason": "MESSENGER_UNREACHABLE", "until": None}

ROWS = [
    *(
        ("twilio", code, NEVER, NUMBER)
        for code in ["21211", "21214", "21217", "21614", "13224", "30005", "30006"]
    ),
    ("twilio", "30003", RETRY, FOR_A_WHILE),
    *(("twilio", code, SKIP, FOR_EVER) for code in ("21610", "30004")),
    *(("twilio", code, NEVER, None) for code in ("30007", "21612", "30036")),
    ("twilio", "30008", RETRY, None),
    *(("twilio", code, LATER, None) for code in ("20429", "10004", "21611", "30001")),
    *(("twilio", code, OURS, None) for code in ("20003", "21606", "21408", "21608")),
    *(("meta", code, RETRY, None) for code in ("2", "1200")),
    *(("meta", code, LATER, None) for code in ("4", "613", "32")),
    *(("meta", code, NEVER, PERSON) for code in ("10", "551", "100/2018001", "368")),
    *(("meta", code, OURS, None) for code in ("190", "200", "230", "10/1893063")),
    *(("", code, OURS, None) for code in ("HTTP_401", "HTTP_403", "ADDRESS_REFUSED")),
    *(("", code, NEVER, None) for code in ("HTTP_404", "HTTP_410", "HTTP_3xx", "HTTP_4xx")),
    *(("", code, LATER, None) for code in ("HTTP_425", "HTTP_429")),
    *(("", code, RETRY, None) for code in ("HTTP_408", "HTTP_503", "HTTP_5xx")),
    *(("", code, RETRY, None) for code in ("CONNECT_FAILED", "CONNECTION_LOST", "TIMEOUT")),
]
REAUTHORISE = {"20003", "190", "200", "230", "10/1893063", "HTTP_401", "HTTP_403"}
UNCERTAIN = {"30008", "HTTP_5xx", "CONNECTION_LOST", "TIMEOUT"}


@pytest.mark.parametrize(("provider", "code", "classes", "suppress"), ROWS, ids=[row[1] for row in ROWS])
def test_row(provider: str, code: str, classes: set[ErrorClass], suppress: dict[str, object] | None) -> None:
    result = verdict(Fault(provider or "twilio", "sms", (code, "HTTP_418", "HTTP_4xx")))
    if isinstance(result, Skipped):
        assert classes is SKIP
    else:
        assert isinstance(result, Failed)
        assert result.error_class in classes
        assert (result.certainty is Certainty.INDETERMINATE) == (code in UNCERTAIN)
        assert result.needs_reauthorisation == (code in REAUTHORISE)
    changes = json.loads(result.contact_changes) if result.contact_changes else {}
    assert changes.get("suppress") == suppress


def test_every_row_is_among_these() -> None:
    assert {(row.provider, code) for row in TABLE for code in row.codes} == {row[:2] for row in ROWS}
    assert all(row.meaning for row in TABLE)


@pytest.mark.parametrize(
    ("status", "error_class", "certainty"),
    [
        (302, ErrorClass.VALIDATION, Certainty.NOT_DONE),
        (400, ErrorClass.VALIDATION, Certainty.NOT_DONE),
        (405, ErrorClass.VALIDATION, Certainty.NOT_DONE),
        (409, ErrorClass.VALIDATION, Certainty.NOT_DONE),
        (413, ErrorClass.VALIDATION, Certainty.NOT_DONE),
        (422, ErrorClass.VALIDATION, Certainty.NOT_DONE),
        (500, ErrorClass.SERVER_ERROR, Certainty.INDETERMINATE),
        (502, ErrorClass.SERVER_ERROR, Certainty.INDETERMINATE),
        (503, ErrorClass.SERVER_ERROR, Certainty.NOT_DONE),
        (504, ErrorClass.SERVER_ERROR, Certainty.INDETERMINATE),
        (199, ErrorClass.SERVER_ERROR, Certainty.INDETERMINATE),
    ],
)
def test_http_status_decides_where_no_code_does(
    status: int, error_class: ErrorClass, certainty: Certainty
) -> None:
    result = verdict(Fault("twilio", "sms", http_codes(status)))
    assert isinstance(result, Failed)
    assert (result.error_class, result.certainty, result.code) == (error_class, certainty, f"HTTP_{status}")


def test_another_provider_s_code_means_nothing() -> None:
    result = verdict(Fault("meta", "messenger", ("21610", *http_codes(400))))
    assert isinstance(result, Failed)
    assert (result.code, result.error_class) == ("21610", ErrorClass.VALIDATION)


def test_the_more_telling_code_counts_and_refs_are_for_the_uncertain() -> None:
    page = verdict(Fault("meta", "messenger", ("10/1893063", "10", *http_codes(400)), refs=(("to", "x"),)))
    assert isinstance(page, Failed)
    assert (page.error_class, page.refs) == (ErrorClass.AUTHORIZATION, ())
    lost = verdict(Fault("twilio", "sms", ("TIMEOUT",), refs=(("to", "x"),)))
    assert isinstance(lost, Failed)
    assert lost.refs == (("to", "x"),)


def test_voice_suppresses_voice() -> None:
    result = verdict(Fault("twilio", "voice", ("21214",)))
    assert json.loads(result.contact_changes)["suppress"]["channel"] == "voice"
