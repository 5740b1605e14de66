"""Reads the family's own statements; every part that runs some loads them when it is made."""

from services.executors.internal import queries
from services.executors.queries import statement


def own(name: str) -> str:
    """Give the text of queries/<name>.sql; FileNotFoundError if there is none."""
    return statement(name, queries.__name__)
