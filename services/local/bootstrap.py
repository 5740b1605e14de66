"""Prepares a fresh cluster: roles, databases, migrations, keyring, demo account and key; stack.py calls it.

Everything here may run again: what is there is left as it is.
"""

import asyncio
import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from execution_engine.store.admin import new_secret
from services.local.ports import FAMILIES
from services.local.postgres import Postgres
from services.local.state_files import write_private
from services.migrate.__main__ import bring_up
from services.runtime.keyring import Keyring

ENGINE_DATABASE = "wayfarer"
_ENGINE_ROLES = {
    "wayfarer_owner": "NOBYPASSRLS",
    "wayfarer_api": "NOBYPASSRLS",
    "wayfarer_worker": "BYPASSRLS",
}
DEMO_ACCOUNT = "Demo"
DEMO_ACTIVE_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the processes are started with."""

    dsns: dict[str, str]
    """By role: wayfarer_owner, wayfarer_api, wayfarer_worker, wayfarer_crm …"""
    keyring: Path
    api_key: str
    webhook_secret: str
    account_id: int


def database_of(family: str) -> str:
    """The database of an executor family."""
    return f"wayfarer_{family}"


async def prepare(postgres: Postgres, state_dir: Path) -> Prepared:
    """Brings the cluster up to date; safe to repeat."""
    passwords = _secrets(state_dir / "secrets.json")
    keyring = state_dir / "keyring.json"
    Keyring.generate(keyring)
    dsns = await bring_up_databases(postgres, passwords)
    account_id = await add_account(
        dsns["wayfarer_owner"], DEMO_ACCOUNT, passwords["api_key"], DEMO_ACTIVE_LIMIT
    )
    return Prepared(dsns, keyring, passwords["api_key"], passwords["webhook_secret"], account_id)


async def bring_up_databases(postgres: Postgres, passwords: Mapping[str, str]) -> dict[str, str]:
    """Makes roles and databases and migrates each as its owner, all at once; where each role connects."""
    await _roles_and_databases(postgres, passwords)
    dsns = {role: postgres.dsn(ENGINE_DATABASE, role, passwords[role]) for role in _ENGINE_ROLES}
    for family in FAMILIES:
        for role in (database_of(family), f"{database_of(family)}_owner"):
            dsns[role] = postgres.dsn(database_of(family), role, passwords[role])
    await asyncio.gather(
        bring_up("engine", dsns["wayfarer_owner"]),
        *(bring_up(family, dsns[f"{database_of(family)}_owner"]) for family in FAMILIES),
    )
    return dsns


def new_passwords() -> dict[str, str]:
    """A random password for each role. URL-safe: nothing in them needs quoting."""
    return {role: secrets.token_urlsafe(24) for role in _roles()}


def _roles() -> dict[str, str]:
    """Every role of the local databases, and whether it passes by row-level security."""
    families = {
        role: "NOBYPASSRLS"
        for family in FAMILIES
        for role in (database_of(family), f"{database_of(family)}_owner")
    }
    return _ENGINE_ROLES | families


async def add_account(owner_dsn: str, name: str, api_key: str, active_limit: int) -> int:
    """Makes an account with one API key, unless the key is known; the account's id."""
    connection = await asyncpg.connect(owner_dsn)
    try:
        async with connection.transaction():
            hashed = hashlib.sha256(api_key.encode()).digest()
            known = await connection.fetchval("SELECT account_id FROM api_key WHERE key_hash = $1", hashed)
            if known is not None:
                return int(known)
            account_id = await connection.fetchval(
                "INSERT INTO account (name, active_limit) VALUES ($1, $2) RETURNING account_id",
                name,
                active_limit,
            )
            await connection.execute(
                "INSERT INTO api_key (account_id, key_hash, actor) VALUES ($1, $2, $3)",
                account_id,
                hashed,
                "local-stack",
            )
            return int(account_id)
    finally:
        await connection.close()


def new_api_key() -> str:
    """The text of a fresh API key."""
    return new_secret()


def _secrets(path: Path) -> dict[str, str]:
    """The secrets of this state directory: those that are there, and new ones for what is missing."""
    known: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    wanted = new_passwords() | {
        "api_key": new_api_key(),
        "webhook_secret": f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
    }
    if wanted.keys() - known.keys():
        known = wanted | known
        write_private(path, json.dumps(known))
    return known


async def _roles_and_databases(postgres: Postgres, passwords: Mapping[str, str]) -> None:
    connection = await asyncpg.connect(postgres.dsn("postgres"))
    try:
        async with connection.transaction():
            there = {row[0] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
            for role, rls in _roles().items():
                # Set anew each time, so that lost secrets do not lock us out of the data.
                verb = "ALTER" if role in there else "CREATE"
                await connection.execute(f"{verb} ROLE {role} LOGIN {rls} PASSWORD '{passwords[role]}'")
        present = {row[0] for row in await connection.fetch("SELECT datname FROM pg_database")}
        owners = {ENGINE_DATABASE: "wayfarer_owner"} | {
            database_of(family): f"{database_of(family)}_owner" for family in FAMILIES
        }
        for database, owner in owners.items():
            if database not in present:
                await connection.execute(f"CREATE DATABASE {database} OWNER {owner} STRATEGY wal_log")
    finally:
        await connection.close()
