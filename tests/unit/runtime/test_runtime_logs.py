"""Logs: one JSON line per event, from structlog and the standard library alike, with nothing secret in it."""

import json
import subprocess
import sys

import pytest

from services.runtime.logs import MAX_TEXT, REDACTED, mask, mask_text

PROGRAM = """
import logging, structlog
from services.runtime import logs
logs.configure("api", "INFO")
log = structlog.get_logger("x")
log.debug("unheard")
log.info("sent", to="jane.doe@example.com", attempt=2)
logging.getLogger("lib").warning("refused %s", "Bearer abcdefgh12345678")
logging.getLogger("lib").info("extra", extra={"api_key": "k-1"})
try:
    raise RuntimeError("no mailbox jane.doe@example.com")
except RuntimeError:
    log.exception("failed")
    logging.getLogger("lib").exception("failed too")
"""


def test_a_process_writes_masked_json_lines() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == [
        "sent",
        f"refused {REDACTED}",
        "extra",
        "failed",
        "failed too",
    ]
    assert all(line["service"] == "api" and line["timestamp"].endswith("Z") for line in lines)
    assert [line["level"] for line in lines] == ["info", "warning", "info", "error", "error"]
    assert lines[0]["to"] == "j***@e***.com"
    assert lines[0]["attempt"] == 2
    assert lines[2]["api_key"] == REDACTED
    assert all("RuntimeError" in line["exception"] for line in lines[3:])
    assert "jane.doe" not in done.stderr


@pytest.mark.parametrize(
    ("raw", "masked"),
    [
        ("jane.doe+x@mail.example.co.uk", "j***@m***.uk"),
        ("from a@b.de to c@d.org", "from a***@b***.de to c***@d***.org"),
        ("call +491701234567 now", "call ***67 now"),
        ("postgresql://wayfarer:hunter2@127.0.0.1:5432/w", "postgresql://wayfarer:***@127.0.0.1:5432/w"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", REDACTED),
        ("Authorization: Bearer abc.def-ghi_jkl", f"Authorization: {REDACTED}"),
        ("2 + 2 @ noon", "2 + 2 @ noon"),
        ("x" * MAX_TEXT + "end", "x" * (MAX_TEXT // 2) + " … " + "x" * (MAX_TEXT // 2 - 3) + "end"),
    ],
)
def test_masks_what_looks_secret_or_personal(raw: str, masked: str) -> None:
    assert mask_text(raw) == masked


def test_masks_by_key_at_every_depth() -> None:
    event = {
        "event": "x",
        "Password": "hunter2",
        "page_token": "abc",
        "request": {"headers": [{"authorization": "x"}], "phone": "01701234567", "n": 1.5, "ok": True},
        "email": "not an address",
        "emails_sent": 12,
        "body": b"\x00\x01",
        "api_key": None,
    }
    assert mask(None, "info", event) == {
        "event": "x",
        "Password": REDACTED,
        "page_token": REDACTED,
        "request": {"headers": [{"authorization": REDACTED}], "phone": "***67", "n": 1.5, "ok": True},
        "email": "***ss",
        "emails_sent": 12,
        "body": "<2 bytes>",
        "api_key": None,
    }


def test_what_nests_too_deep_is_left_out() -> None:
    nested: object = {"password": "hunter2", "to": "jane@example.com"}
    for _ in range(10):
        nested = {"in": nested}
    shown = str(mask(None, "info", {"value": nested}))
    assert "jane@" not in shown
    assert "hunter2" not in shown
