"""Reads the statements beside it and beside each family; a component loads its own when it is made.

One statement per file; its first comment says what it does, who runs it and which index serves it.
"""

from importlib import resources


def statement(name: str, package: str = __name__) -> str:
    """Give the text of `<name>.sql` in `package`; FileNotFoundError if there is none."""
    return resources.files(package).joinpath(f"{name}.sql").read_text(encoding="utf-8")
