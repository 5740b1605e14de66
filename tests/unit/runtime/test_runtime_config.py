"""Settings: read from variables, all faults at once, secrets never shown."""

from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path

import pytest

from services.runtime.config import (
    ConfigError,
    HostPort,
    Parser,
    boolean,
    choice,
    describe,
    host_port,
    host_ports,
    integer,
    load,
    number,
    path,
    seconds,
    setting,
    targets,
    text,
)


@dataclass(frozen=True, slots=True)
class Settings:
    level: str = setting("T_LEVEL", choice("INFO", "DEBUG"), default="INFO", help="How much is logged.")
    database: str = setting("T_DATABASE", text, secret=True, help="The DSN.")
    listen: HostPort = setting("T_LISTEN", host_port)
    workers: int = setting("T_WORKERS", integer(1, 8), default=2)
    timeout_s: float = setting("T_TIMEOUT", seconds(0.1, 60), default=5.0)
    trace: bool = setting("T_TRACE", boolean, default=False)
    executors: dict[str, HostPort] = setting("T_EXECUTORS", targets, default={})
    keyring: Path | None = setting("T_KEYRING", path, default=None)

    def __post_init__(self) -> None:
        if self.workers > 4 and self.trace:
            raise ValueError("T_TRACE: is for at most 4 workers")


ENVIRON = {"T_DATABASE": "postgresql://u:hunter2@h/d", "T_LISTEN": "127.0.0.1:7700"}


def test_reads_variables_and_defaults() -> None:
    settings = load(
        Settings, {**ENVIRON, "T_WORKERS": "3", "T_TRACE": "yes", "T_EXECUTORS": "crm=h:1,mail=h:2"}
    )
    assert settings == Settings(
        database="postgresql://u:hunter2@h/d",
        listen=HostPort("127.0.0.1", 7700),
        workers=3,
        trace=True,
        executors={"crm": HostPort("h", 1), "mail": HostPort("h", 2)},
    )
    with pytest.raises(FrozenInstanceError):
        settings.workers = 4  # type: ignore[misc]


def test_an_empty_variable_counts_as_unset() -> None:
    assert load(Settings, {**ENVIRON, "T_WORKERS": " "}).workers == 2
    with pytest.raises(ConfigError, match="T_LISTEN: is not set"):
        load(Settings, {**ENVIRON, "T_LISTEN": ""})


def test_reports_every_fault_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load(Settings, {"T_LEVEL": "LOUD", "T_LISTEN": "nowhere", "T_WORKERS": "9", "T_TIMEOUT": "soon"})
    assert caught.value.problems == (
        "T_LEVEL: must be one of INFO, DEBUG, not 'LOUD'",
        "T_DATABASE: is not set (The DSN.)",
        "T_LISTEN: must be host:port, not 'nowhere'",
        "T_WORKERS: must be a whole number from 1 to 8, not '9'",
        'T_TIMEOUT: must be a duration such as "2.5s" or "5m", from 0.1s to 60s, not \'soon\'',
    )
    assert all(problem in str(caught.value) for problem in caught.value.problems)


def test_a_rule_over_several_settings_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="at most 4 workers"):
        load(Settings, {**ENVIRON, "T_WORKERS": "5", "T_TRACE": "1"})


def test_an_invalid_secret_is_not_quoted() -> None:
    @dataclass(frozen=True, slots=True)
    class WithSecret:
        pin: int = setting("T_PIN", integer(0, 9), secret=True)

    with pytest.raises(ConfigError) as caught:
        load(WithSecret, {"T_PIN": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_describe_shows_all_but_secrets() -> None:
    shown = describe(load(Settings, {**ENVIRON, "T_EXECUTORS": "crm=h:1,mail=h:2"}))
    assert shown.splitlines() == [
        "T_LEVEL=INFO  # How much is logged.",
        "T_DATABASE=[hidden]  # The DSN.",
        "T_LISTEN=127.0.0.1:7700",
        "T_WORKERS=2",
        "T_TIMEOUT=5.0",
        "T_TRACE=false",
        "T_EXECUTORS=crm=h:1,mail=h:2",
        "T_KEYRING=",
    ]


@pytest.mark.parametrize(
    ("parse", "raw", "value"),
    [
        (seconds(), "250ms", 0.25),
        (seconds(), "2.5s", 2.5),
        (seconds(), "30", 30.0),
        (seconds(), "5m", 300.0),
        (seconds(), "12h", 43200.0),
        (seconds(), "7d", 604800.0),
        (boolean, "OFF", False),
        (number(0, 1), "0.01", 0.01),
        (host_port, "[::1]:50051", HostPort("::1", 50051)),
        (host_port, "localhost:0", HostPort("localhost", 0)),
        (host_ports, "a:1, b:2", (HostPort("a", 1), HostPort("b", 2))),
        (targets, "", {}),
    ],
)
def test_parsers_take(parse: Parser[object], raw: str, value: object) -> None:
    assert parse(raw) == value


@pytest.mark.parametrize(
    ("parse", "raw"),
    [
        (seconds(), "-1s"),
        (seconds(0, 10), "11s"),
        (seconds(), "1 s"),
        (boolean, "maybe"),
        (integer(0, 10), "1.0"),
        (integer(0, 10), "٣"),
        (number(0, 1), "nan"),
        (host_port, ":1"),
        (host_port, "h:"),
        (host_port, "h:65536"),
        (host_port, "::1:50051"),
        (host_port, "http://h:1"),
        (host_port, "user@h:1"),
        (targets, "crm"),
        (targets, "crm=h:1,crm=h:2"),
        (targets, "CRM=h:1"),
    ],
)
def test_parsers_refuse(parse: Parser[object], raw: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        parse(raw)


def test_an_ipv6_address_is_shown_as_it_is_dialled() -> None:
    assert str(HostPort("::1", 50051)) == "[::1]:50051"
    assert f"{HostPort('h', 1)}" == "h:1"
