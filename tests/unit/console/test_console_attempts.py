"""How often a key may be tried at the sign-in: per address, per key, in bounded memory."""

from dataclasses import dataclass

import pytest

from services.gateway.console.attempts import PER_ADDRESS, PER_KEY, Attempts


@dataclass(slots=True)
class Hand:
    """A clock that is moved by hand."""

    at: float = 1_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def attempts(clock: Hand) -> Attempts:
    return Attempts(clock)


def test_an_address_that_fails_too_often_waits_as_long_as_it_is_told(attempts: Attempts, clock: Hand) -> None:
    for number in range(PER_ADDRESS.most):
        assert not attempts.take("203.0.113.7", f"key {number}").wait_s
    refused = attempts.take("203.0.113.7", "another")
    assert refused.wait_s == pytest.approx(PER_ADDRESS.each_s)
    assert not attempts.take("203.0.113.8", "another").wait_s
    clock.at += refused.wait_s - 0.1
    assert attempts.take("203.0.113.7", "a third").wait_s
    clock.at += 0.2
    assert not attempts.take("203.0.113.7", "a third").wait_s
    assert attempts.take("203.0.113.7", "a fourth").wait_s


def test_a_key_is_slow_from_wherever_it_is_tried(attempts: Attempts) -> None:
    for number in range(PER_KEY.most):
        assert not attempts.take(f"203.0.113.{number}", "one key").wait_s
    assert attempts.take("198.51.100.1", "one key").wait_s == pytest.approx(PER_KEY.each_s)
    assert not attempts.take("198.51.100.1", "other key").wait_s


def test_a_good_key_costs_nothing_and_many_at_once_are_many(attempts: Attempts) -> None:
    for _ in range(100):
        attempts.give_back(attempts.take("203.0.113.7", "good"))
    assert len(attempts) == 0
    under_way = [attempts.take("203.0.113.7", f"key {number}") for number in range(50)]
    assert sum(not one.wait_s for one in under_way) == PER_ADDRESS.most
    for one in under_way:
        attempts.give_back(one)
    assert len(attempts) == 0


def test_an_ipv6_network_is_one_address(attempts: Attempts) -> None:
    for number in range(PER_ADDRESS.most):
        attempts.take(f"2001:db8:1:2::{number:x}", f"key {number}")
    assert attempts.take("2001:db8:1:2:ffff::1", "more").wait_s
    assert not attempts.take("2001:db8:1:3::1", "more").wait_s
    assert not attempts.take("::1", "more").wait_s
    for number in range(PER_ADDRESS.most):
        attempts.take("::ffff:192.0.2.1", f"mapped {number}")
    assert attempts.take("192.0.2.1", "mapped too").wait_s


def test_memory_is_bounded(attempts: Attempts) -> None:
    for number in range(30_000):
        attempts.take(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", f"key {number}")
    assert len(attempts) == 10_000
    attempts.take("what the proxy wrote " * 1_000, "x")
    assert len(attempts) == 10_000
