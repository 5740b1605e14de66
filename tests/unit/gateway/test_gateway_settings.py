"""What the gateway takes from its environment, and what it says of what it does not take."""

import pytest

from services.gateway.__main__ import Settings
from services.runtime.config import ConfigError, load

GIVEN = {
    "WAYFARER_LISTEN": "127.0.0.1:7733",
    "WAYFARER_DATABASE_URL": "postgres://localhost/wayfarer",
    "WAYFARER_KEYRING": "keyring.json",
    "WAYFARER_COMMUNICATION_TARGET": "127.0.0.1:7701",
    "WAYFARER_API_TARGET": "127.0.0.1:7700",
    "WAYFARER_PUBLIC_URL": "http://127.0.0.1:7733",
}


def test_without_an_address_of_traces_there_are_no_links() -> None:
    assert load(Settings, GIVEN).trace_url == ""


@pytest.mark.parametrize("url", ["https://traces.example/", "javascript:{trace_id}", "traces/{trace_id}"])
def test_an_address_of_traces_is_of_the_web_and_has_a_place_for_the_id(url: str) -> None:
    with pytest.raises(ConfigError, match=r"WAYFARER_CONSOLE_TRACE_URL.*trace_id"):
        load(Settings, {**GIVEN, "WAYFARER_CONSOLE_TRACE_URL": url})
