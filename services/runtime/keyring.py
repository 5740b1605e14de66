"""Seals account data at rest; every process that stores or reads config or personal data holds one Keyring.

A sealed value is `key id (1 byte) | nonce (12 bytes) | AES-256-GCM ciphertext and tag`. The key is derived
from the master key with that id by HKDF-SHA256 over `purpose|account_id`, so a value sealed for one account
or purpose never opens for another. Rotation adds a key and makes it current; older values still open by
their key id.
"""

import base64
import binascii
import json
import os
import secrets
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
NONCE_BYTES = 12
OVERHEAD_BYTES = 1 + NONCE_BYTES + 16
"""How much longer a sealed value is than its plaintext."""

_CIPHERS_KEPT = 8192  # about 1 KiB each: derived keys of the accounts in use, bounded


class KeyringError(Exception):
    """The keyring file is unusable, or a sealed value cannot be opened with it."""


class Keyring:
    """Master keys by id (0..255), one of them current. Immutable and safe to share between threads."""

    __slots__ = ("_cipher", "_current", "_mac_key", "_masters", "_prefix")

    def __init__(self, current: int, masters: Mapping[int, bytes]) -> None:
        """Take the id that seals and every master key by id. Raises KeyringError if they do not fit."""
        for key_id, master in masters.items():
            if not 0 <= key_id <= 255:
                raise KeyringError(f"key id {key_id} is not within 0..255")
            if len(master) != KEY_BYTES:
                raise KeyringError(f"key {key_id} has {len(master)} bytes, not {KEY_BYTES}")
        if current not in masters:
            raise KeyringError(f"the current key {current} is not among the keys")
        self._current = current
        self._masters = dict(masters)
        self._prefix = bytes((current,))
        self._cipher = lru_cache(maxsize=_CIPHERS_KEPT)(self._derive_cipher)
        self._mac_key = lru_cache(maxsize=_CIPHERS_KEPT)(self._derive_mac_key)

    def __repr__(self) -> str:
        return f"Keyring(current={self._current}, keys={sorted(self._masters)})"

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read `{"current": "1", "keys": {"1": "<base64 of 32 bytes>"}}`. Raises KeyringError."""
        current, masters = _read(Path(path))
        return cls(current, masters)

    @classmethod
    def generate(cls, path: Path | str) -> Self:
        """Load the keyring at `path`, creating it with one random key (mode 0600) if there is none.

        Several processes may race here; exactly one file wins and all load that one. Raises KeyringError.
        """
        target = Path(path)
        if not target.exists():
            temporary = _written_beside(target, 1, {1: secrets.token_bytes(KEY_BYTES)})
            try:
                os.link(temporary, target)  # unlike rename, never replaces a file that came first
            except FileExistsError:
                pass
            finally:
                temporary.unlink()
        return cls.load(target)

    @classmethod
    def rotate(cls, path: Path | str) -> Self:
        """Add a random key to the file, make it current, and load it. Raises KeyringError."""
        target = Path(path)
        _, masters = _read(target)
        newest = max(masters) + 1
        rotated = cls(newest, {**masters, newest: secrets.token_bytes(KEY_BYTES)})
        _written_beside(target, newest, rotated._masters).replace(target)
        return rotated

    def seal(self, purpose: str, account_id: int, plaintext: bytes) -> bytes:
        """Encrypt under the current key. `purpose` names the column or use, e.g. "step_config"."""
        nonce = os.urandom(NONCE_BYTES)
        return (
            self._prefix
            + nonce
            + self._cipher(self._current, purpose, account_id).encrypt(nonce, plaintext, None)
        )

    def open(self, purpose: str, account_id: int, sealed: bytes) -> bytes:
        """Decrypt what `seal` gave for the same purpose and account.

        Raises KeyringError for an unknown key id, and for a value that is altered, cut short, or was sealed
        for another account or purpose; the two latter cannot be told apart.
        """
        if len(sealed) < OVERHEAD_BYTES:
            raise KeyringError(
                f"a sealed value has at least {OVERHEAD_BYTES} bytes, this one has {len(sealed)}"
            )
        key_id = sealed[0]
        if key_id not in self._masters:
            raise KeyringError(f"sealed with key {key_id}, which the keyring does not hold")
        try:
            cipher = self._cipher(key_id, purpose, account_id)
            return cipher.decrypt(sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :], None)
        except InvalidTag:
            raise KeyringError(
                f"a value sealed with key {key_id} does not open as {purpose!r} of account {account_id}:"
                " altered, or another's"
            ) from None

    def mac_key(self, purpose: str, account_id: int) -> bytes:
        """Give 32 bytes for keyed hashes that stay comparable over rotations: from the oldest key."""
        return self._mac_key(purpose, account_id)

    def _derive_cipher(self, key_id: int, purpose: str, account_id: int) -> AESGCM:
        return AESGCM(_derive(self._masters[key_id], f"{purpose}|{account_id}"))

    def _derive_mac_key(self, purpose: str, account_id: int) -> bytes:
        # A label no purpose can equal keeps a MAC key apart from the cipher key of the same purpose.
        return _derive(self._masters[min(self._masters)], f"mac|{purpose}|{account_id}")


def _derive(master: bytes, info: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info.encode()).derive(master)


def _read(path: Path) -> tuple[int, dict[int, bytes]]:
    try:
        document = json.loads(path.read_bytes())
        masters = {
            int(key_id): base64.b64decode(key, validate=True) for key_id, key in document["keys"].items()
        }
        return int(document["current"]), masters
    except OSError as error:
        raise KeyringError(f"cannot read the keyring {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        # The cause is not chained: its message could quote key material.
        raise KeyringError(
            f'{path} is not a keyring: {{"current": "1", "keys": {{"1": "<base64 of 32 bytes>"}}}}'
        ) from None


def _written_beside(target: Path, current: int, masters: Mapping[int, bytes]) -> Path:
    """Write and fsync a keyring file (0600) in the folder of `target`; the caller moves it into place."""
    document = {
        "current": str(current),
        "keys": {str(key_id): base64.b64encode(master).decode() for key_id, master in masters.items()},
    }
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".keyring-", dir=target.parent)
    except OSError as error:
        raise KeyringError(f"cannot write the keyring {target}: {error.strerror}") from error
    with os.fdopen(descriptor, "w") as file:
        json.dump(document, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)
