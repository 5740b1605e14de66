"""Entry point `python -m services.migrate STREAM`, run by deployments as the database's owner role.

STREAM is engine, or an executor family (crm, communication, integrations, internal, membership,
sandbox): a family's database gets the ledger that all families share and then its own tables. It is ledger
for a family that is not of this package, whose own tables are its own affair. Reads WAYFARER_DATABASE_URL.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from services.runtime import logs
from services.runtime.config import ConfigError, load, setting, text
from services.runtime.database import DatabaseUnavailableError
from services.runtime.migrate import MigrationError, migrate

FAMILIES: Final = ("communication", "crm", "integrations", "internal", "membership", "sandbox")
STREAMS: Final = ("engine", "ledger", *FAMILIES)
_USAGE: Final = f"usage: python -m services.migrate {'|'.join(STREAMS)}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a migration needs to know."""

    database_url: str = setting("WAYFARER_DATABASE_URL", text, secret=True, help="DSN of the owner role.")
    log_level: str = setting("WAYFARER_LOG_LEVEL", text, default="INFO", help="Lowest level logged.")


def streams(name: str) -> list[tuple[str, Path]]:
    """Give a database's (stream, folder) pairs in the order to apply; a family's own folder may be absent."""
    if name == "engine":
        return [("engine", _folder("execution_engine", "store", "migrations"))]
    ledger = ("executor", _folder("services", "executors", "migrations"))
    own = _folder("services", "executors", name, "migrations")
    return [ledger, (name, own)] if own.is_dir() else [ledger]


async def bring_up(name: str, database_url: str) -> list[str]:
    """Apply every pending file of one database; return "stream/file" of each. Raises as `migrate`."""
    applied = []
    for stream, folder in streams(name):
        applied += [f"{stream}/{file}" for file in await migrate(database_url, folder, stream=stream)]
    return applied


def main(arguments: Sequence[str]) -> int:
    """Run the command line; 0 when the schema is current, 1 when a migration failed, 2 on wrong use."""
    if len(arguments) != 1 or arguments[0] not in STREAMS:
        print(_USAGE, file=sys.stderr)
        return 2
    try:
        settings = load(Settings, os.environ)
        logs.configure("migrate", settings.log_level)
        applied = asyncio.run(bring_up(arguments[0], settings.database_url))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except (MigrationError, DatabaseUnavailableError) as error:
        print(f"migrate: {error}", file=sys.stderr)
        return 1
    print("\n".join(applied) if applied else "nothing to apply")
    return 0


def _folder(package: str, *parts: str) -> Path:
    return Path(str(files(package).joinpath(*parts)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
