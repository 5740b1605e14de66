"""What the engine asks of whoever runs it; services/runtime implements these, the store calls them."""

from typing import Protocol


class Vault(Protocol):
    """Encryption with keys per account. Purposes keep ciphertexts of different columns apart."""

    def seal(self, purpose: str, account_id: int, plaintext: bytes) -> bytes:
        """Encrypts and authenticates."""
        ...

    def open(self, purpose: str, account_id: int, sealed: bytes) -> bytes:
        """Undoes seal; raises an error of the implementation if the bytes were tampered with."""
        ...

    def mac_key(self, purpose: str, account_id: int) -> bytes:
        """32 bytes that stay the same when encryption keys rotate."""
        ...


DOCUMENT = "engine.document"
INPUT = "engine.input"
STATE = "engine.state"
WAIT = "engine.wait"
SIGNALS = "engine.signals"
EVENT = "engine.event"
TRIGGER = "engine.trigger"
BULK = "engine.bulk"
NOTICE = "engine.notice"
LOG = "engine.log"
ADDRESS = "engine.address"
ADDRESS_HASH = "engine.address_hash"
REQUEST = "engine.request"
CRM_PENDING = "engine.crm_pending"
CHAIN = "engine.chain"
