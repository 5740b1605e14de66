"""Keyring: what seals opens, for the same account and purpose only, over rotations, and not once altered."""

import json
import stat
from pathlib import Path

import pytest

from services.runtime.keyring import OVERHEAD_BYTES, Keyring, KeyringError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "keyring.json"


@pytest.fixture
def keyring(path: Path) -> Keyring:
    return Keyring.generate(path)


def test_opens_what_it_sealed(keyring: Keyring) -> None:
    sealed = keyring.seal("step_config", 7, b'{"to": "jane"}')
    assert keyring.open("step_config", 7, sealed) == b'{"to": "jane"}'
    assert len(sealed) == len(b'{"to": "jane"}') + OVERHEAD_BYTES
    assert b"jane" not in sealed


def test_seals_the_same_text_differently_each_time(keyring: Keyring) -> None:
    assert keyring.seal("p", 1, b"x") != keyring.seal("p", 1, b"x")


def test_seals_empty_text(keyring: Keyring) -> None:
    assert keyring.open("p", 1, keyring.seal("p", 1, b"")) == b""


@pytest.mark.parametrize(("purpose", "account_id"), [("step_config", 8), ("contact", 7)])
def test_does_not_open_for_another_account_or_purpose(
    keyring: Keyring, purpose: str, account_id: int
) -> None:
    sealed = keyring.seal("step_config", 7, b"x")
    with pytest.raises(KeyringError, match="does not open"):
        keyring.open(purpose, account_id, sealed)


def test_every_altered_byte_is_noticed(keyring: Keyring) -> None:
    sealed = keyring.seal("p", 1, b"hello")
    for position in range(len(sealed)):
        altered = bytearray(sealed)
        altered[position] ^= 1
        with pytest.raises(KeyringError):
            keyring.open("p", 1, bytes(altered))


@pytest.mark.parametrize("length", [0, 1, OVERHEAD_BYTES - 1])
def test_a_value_cut_short_is_refused(keyring: Keyring, length: int) -> None:
    with pytest.raises(KeyringError, match="at least"):
        keyring.open("p", 1, keyring.seal("p", 1, b"x")[:length])


def test_rotation_seals_anew_and_opens_the_old(keyring: Keyring, path: Path) -> None:
    old = keyring.seal("p", 1, b"old")
    rotated = Keyring.rotate(path)
    new = rotated.seal("p", 1, b"new")
    assert (old[0], new[0]) == (1, 2)
    assert Keyring.load(path).open("p", 1, old) == b"old"
    assert Keyring.load(path).open("p", 1, new) == b"new"
    with pytest.raises(KeyringError, match="sealed with key 2"):
        keyring.open("p", 1, new)


def test_mac_keys_outlive_rotation_and_differ_by_purpose_and_account(keyring: Keyring, path: Path) -> None:
    before = keyring.mac_key("address", 1)
    assert len(before) == 32
    assert Keyring.rotate(path).mac_key("address", 1) == before
    assert len({before, keyring.mac_key("address", 2), keyring.mac_key("page_token", 1)}) == 3


def test_generate_creates_once_and_keeps_it_private(path: Path) -> None:
    sealed = Keyring.generate(path).seal("p", 1, b"x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Keyring.generate(path).open("p", 1, sealed) == b"x"
    assert [entry.name for entry in path.parent.iterdir()] == ["keyring.json"]


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{}",
        '{"current": "1", "keys": {"1": "not base64!"}}',
        json.dumps({"current": "1", "keys": {"1": "c2hvcnQ="}}),
        json.dumps({"current": "2", "keys": {"1": "A" * 43 + "="}}),
        json.dumps({"current": "256", "keys": {"256": "A" * 43 + "="}}),
    ],
)
def test_an_unusable_file_is_refused_without_quoting_it(tmp_path: Path, document: str) -> None:
    path = tmp_path / "keyring.json"
    path.write_text(document)
    with pytest.raises(KeyringError) as caught:
        Keyring.load(path)
    assert "AAAA" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match="nowhere"):
        Keyring.load(tmp_path / "nowhere")


def test_shows_no_key_material(keyring: Keyring) -> None:
    assert repr(keyring) == "Keyring(current=1, keys=[1])"
