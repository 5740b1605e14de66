"""R-ACT: an effect's name in a URL comes back whole, and cannot be made up or altered."""

import base64
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.executors.action import EffectKey
from services.executors.providers.effect_token import EffectTokens, TokenRefusedError
from services.runtime.keyring import Keyring

TOKENS = EffectTokens(Keyring(1, {1: b"k" * 32}))
STEP = st.text(min_size=1, max_size=16).filter(lambda text: "\x00" not in text and text.isprintable())


@given(
    st.integers(1, 2**40),
    st.uuids(),
    STEP,
    st.integers(1, 65_535),
    st.uuids(),
)
def test_a_token_comes_back_whole(
    account: int, execution: uuid.UUID, step: str, visit: int, contact: uuid.UUID
) -> None:
    effect = EffectKey(account, execution, step, visit)
    assert TOKENS.read(TOKENS.make(effect, contact)) == (effect, contact)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_an_altered_token_is_refused(place: int, by: int) -> None:
    token = TOKENS.make(EffectKey(7, uuid.uuid4(), "mail", 1), uuid.uuid4())
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    raw[place % len(raw)] ^= by
    with pytest.raises(TokenRefusedError):
        TOKENS.read(base64.urlsafe_b64encode(raw).decode().rstrip("="))


@pytest.mark.parametrize("text", ["", "a", "%%%", "é", "A" * 200])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(TokenRefusedError):
        TOKENS.read(text)


def test_another_keyrings_token_is_refused() -> None:
    other = EffectTokens(Keyring(1, {1: b"x" * 32}))
    with pytest.raises(TokenRefusedError):
        TOKENS.read(other.make(EffectKey(7, uuid.uuid4(), "mail", 1), uuid.uuid4()))
