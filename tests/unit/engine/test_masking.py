"""A-21: what people read shows no address, no phone number and no key."""

from typing import Any

import pytest

from execution_engine.masking import REDACTED, mask_config, mask_text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("jane@example.com", "j***@e***.com"),
        ("to Jane <jane.doe+news@mail.example.co.uk>, please", "to Jane <j***@m***.uk>, please"),
        ("a@b.de and c@d.org", "a***@b***.de and c***@d***.org"),
        ("call +49 170 1234567 now", "call ***67 now"),
        ("+4917012345678", "***78"),
        ("(0170) 123 45 67", "(***67"),
        ("Authorization: Bearer sk_live_abc.def", f"Authorization: {REDACTED}"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", REDACTED),
        ("basic dXNlcjpwYXNz", REDACTED),
        ("nothing to hide, order 42 of 2026", "nothing to hide, order 42 of 2026"),
    ],
)
def test_texts(text: str, masked: str) -> None:
    assert mask_text(text) == masked


def test_ids_and_times_are_no_phone_numbers() -> None:
    for text in (
        "2026-11-20T12:00:00+00:00",
        "01890a5d-ac96-774b-bcce-b302099a8057",
        "HTTP_503",
        "550 5.1.1",
    ):
        assert mask_text(text) == text


def test_configs_are_masked_by_path_by_name_and_by_look() -> None:
    config: dict[str, Any] = {
        "to": "jane@example.com",
        "headers": {"X-Api-Key": "k-123", "X-Note": "see jane@example.com"},
        "body": {"nested": [{"password": "p"}, {"text": "call +4917012345678"}]},
        "secret_note": "n",
        "count": 3,
        "empty": "",
    }
    masked = mask_config(config, ("to", "body"))
    assert masked == {
        "to": "j***@e***.com",
        "headers": {"X-Api-Key": REDACTED, "X-Note": "see j***@e***.com"},
        "body": REDACTED,
        "secret_note": REDACTED,
        "count": 3,
        "empty": "",
    }
    assert mask_config(config)["body"] == {"nested": [{"password": REDACTED}, {"text": "call ***78"}]}
