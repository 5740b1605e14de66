"""The executors' pure parts: results, registry, faults, the guard, tables."""

import secrets
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from types import ModuleType

import pytest
from wayfarer.action.v1 import action_pb2

from services.executors import crm
from services.executors.action import (
    ActionConfig,
    ActionDefinition,
    Certainty,
    DefinitionError,
    DeliveryClass,
    ErrorClass,
    Failed,
    Skipped,
    succeeded,
)
from services.executors.address_guard import is_internal
from services.executors.crm.records import merged
from services.executors.gate import AttemptStoppedError, SendGate
from services.executors.integrations.http_faults import failure, pause_asked
from services.executors.mail.addresses import Sender, sender
from services.executors.registry import Registry
from services.executors.results import LedgerState, ResultCodec
from services.executors.webhook_signing import signing_secret
from services.runtime.keyring import Keyring

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def codec() -> ResultCodec:
    return ResultCodec("crm", Keyring(1, {1: secrets.token_bytes(32)}))


def test_private_results_are_sealed(codec: ResultCodec) -> None:
    encoded = codec.encode(succeeded({"who": "ada"}, contact_changes={"email": "ada@example.test"}))
    stored = codec.stored(7, encoded)
    assert b"ada" not in stored
    opened = codec.open(7, stored)
    assert opened.output == b'{"who":"ada"}'
    assert opened.replayed
    assert codec.replay(8, stored).failure.code == "RESULT_UNREADABLE"


def test_results_map_to_ledger_states(codec: ResultCodec) -> None:
    failed = Failed(
        ErrorClass.TIMEOUT, "T", "text\x00 \ud800", Certainty.INDETERMINATE, timedelta(seconds=2), lane="l"
    )
    encoded = codec.encode(failed)
    assert encoded.state is LedgerState.UNKNOWN
    assert encoded.message.failure.message == "text ?"
    assert encoded.message.lane.lane == "l"
    assert codec.encode(Skipped("WHY")).state is LedgerState.DONE
    assert codec.encode(Skipped("WHY")).message.outcome == action_pb2.OUTCOME_SKIPPED


def test_registry_finds_the_files_of_a_family() -> None:
    registry = Registry.scan("crm", crm)
    assert {"add_tag", "remove_tag", "update_contact"} <= set(registry.definitions)
    assert registry.transactional
    definition = registry.definitions["add_tag"]
    assert registry.config(definition, b'{"tag":"x"}') is registry.config(definition, b'{"tag":"x"}')


def test_registry_refuses_duplicates_and_bad_samples() -> None:
    one = Registry.scan("crm", crm).definitions["add_tag"]
    with pytest.raises(DefinitionError, match="twice"):
        Registry("crm", [one, one])
    with pytest.raises(DefinitionError, match="no action"):
        Registry.scan("none", _package())


def _package() -> ModuleType:
    package = ModuleType("empty")
    package.__path__ = []
    return package


class _Config(ActionConfig):
    pass


def test_definition_says_what_is_missing() -> None:
    with pytest.raises(DefinitionError) as faults:
        ActionDefinition(
            name="Bad Name", summary="", config=_Config, sample={}, delivery=DeliveryClass.TX, max_batch=0
        )
    for word in ("lower_snake", "summary", "TX goes with apply", "one of run and apply", "max_batch"):
        assert word in str(faults.value)


async def test_gate_passes_once_open() -> None:
    gate = SendGate(float("inf"))
    gate.begin()
    assert gate.begun
    assert not gate.close()
    closed = SendGate(float("inf"))
    assert closed.close()
    with pytest.raises(AttemptStoppedError, match="CANCELLED"):
        closed.begin()
    with pytest.raises(AttemptStoppedError, match="PAST_DEADLINE"):
        SendGate(0.0).begin()


INTERNAL = """
0.0.0.0 10.1.2.3 100.64.0.1 127.9.9.9 169.254.169.254 172.16.0.1 192.0.0.192 192.168.1.1 198.18.0.1 224.0.0.1
255.255.255.255 168.63.129.16 :: ::1 ::127.0.0.1 ::ffff:8.8.8.8 64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1::
2001::1 fc00::1 fe80::1 ff02::1
"""


@pytest.mark.parametrize("address", INTERNAL.split())
def test_internal_addresses(address: str) -> None:
    assert is_internal(ip_address(address))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700::1111", "2a00:1450::1"]
)
def test_public_addresses(address: str) -> None:
    assert not is_internal(ip_address(address))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120", timedelta(seconds=120)),
        ("999999999999", timedelta(days=7)),
        ("Fri, 20 Nov 2026 12:05:00 GMT", timedelta(minutes=5)),
        ("Fri, 20 Nov 2026 11:00:00 GMT", timedelta(0)),
        ("soon", None),
        ("", None),
        ("-5", None),
    ],
)
def test_retry_after(text: str, expected: timedelta | None) -> None:
    assert pause_asked(text, lambda: NOW) == expected


@pytest.mark.parametrize("status", [100, 199, 300, 400, 418, 429, 451, 500, 503, 599, 999])
def test_every_status_has_a_class(status: int) -> None:
    assert failure(status, "", "h").code == f"HTTP_{status}"


def test_merging_records() -> None:
    data: dict[str, object] = {"a": 1, "b": 2, "fields": {"x": 1, "y": 2}}
    assert merged(data, {"a": None, "c": 3}) == {"b": 2, "c": 3, "fields": {"x": 1, "y": 2}}
    assert merged(data, {"fields": {"x": None, "z": 3}})["fields"] == {"y": 2, "z": 3}
    assert merged(data, {"fields": {"z": 3}}, replace_fields=True)["fields"] == {"z": 3}
    assert merged({}, {"fields": {"z": 3}}) == {"fields": {"z": 3}}


def test_settings_parsers() -> None:
    assert sender("Wayfarer <a@example.test>") == Sender("Wayfarer", "a@example.test")
    for wrong in ("nobody", "", "whsec_", "whsec_!!"):
        with pytest.raises(ValueError, match="must be"):
            sender(wrong)
        with pytest.raises(ValueError, match="must be"):
            signing_secret(wrong)
