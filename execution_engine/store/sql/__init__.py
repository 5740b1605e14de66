"""Reads the statements beside it; every store module loads its own at import.

One statement per file; its first comment says what it does, who runs it and which index serves it.
"""

from importlib import resources


def statement(name: str) -> str:
    """The text of `<name>.sql`; FileNotFoundError if there is none."""
    return resources.files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
