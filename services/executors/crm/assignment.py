"""Chooses among users, purely; assign_to_user calls it with their counts locked and its turns taken."""

from collections.abc import Mapping, Sequence
from math import gcd
from typing import Final

_GOLDEN: Final = 0.6180339887


def by_turn(users: Sequence[str], turn: int) -> str:
    """Give the user whose turn it is: n turns go to k users n/k times each."""
    return users[turn % len(users)]


def by_weight(users: Sequence[str], weights: Mapping[str, int], turn: int) -> str:
    """Give the user whose turn it is: of as many turns as the weights' sum, each user has its weight's share.

    Turns walk over the weights in steps that share no factor with their sum: every place is met once a round,
    and a heavy user's turns lie apart.
    """
    total = sum(weights.get(user, 1) for user in users)
    place = turn * _stride(total) % total
    for user in users:
        place -= weights.get(user, 1)
        if place < 0:
            return user
    raise AssertionError("a place below the sum is somebody's")


def by_load(users: Sequence[str], owned: Mapping[str, int]) -> str:
    """Give the user who owns the fewest contacts; of several, the first."""
    return min(users, key=lambda user: owned[user])  # min keeps the first of equals


def _stride(total: int) -> int:
    stride = max(1, round(total * _GOLDEN))
    while gcd(stride, total) != 1:
        stride += 1
    return stride
