"""Roles, databases and secrets that the local stack makes, and the clones of them that tests get."""

import json
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from services.local.bootstrap import add_account, new_api_key, prepare
from services.local.postgres import Postgres
from services.local.stack import scratch_state_dir
from tests.support.postgres import CLUSTER_SETTINGS, Cluster, Database, free_port


async def _connect(dsn: str) -> asyncpg.Connection:
    return await asyncpg.connect(dsn)


async def test_roles_have_the_rights_they_need_and_no_more(engine_database: Database) -> None:
    """G18: who serves callers does not pass by row-level security; no role of ours is superuser."""
    admin = await _connect(engine_database.dsn("postgres"))
    roles = {
        row["rolname"]: (row["rolsuper"], row["rolbypassrls"], row["rolcreaterole"], row["rolcreatedb"])
        for row in await admin.fetch("SELECT * FROM pg_roles WHERE rolname LIKE 'wayfarer%'")
    }
    await admin.close()
    assert roles.pop("wayfarer_worker") == (False, True, False, False)
    assert len(roles) == 14
    assert set(roles.values()) == {(False, False, False, False)}


async def test_each_test_has_a_database_of_its_own(cluster: Cluster) -> None:
    async with cluster.clone("wayfarer") as one, cluster.clone("wayfarer") as other:
        key = new_api_key()
        await add_account(one.dsn("wayfarer_owner"), "one", key, 10)
        reader = await _connect(other.dsn("wayfarer_api"))
        assert await reader.fetchval("SELECT count(*) FROM api_key") == 0
        await reader.close()
        names = (one.name, other.name)
    admin = await _connect(cluster.postgres.dsn("postgres"))
    left = await admin.fetchval("SELECT count(*) FROM pg_database WHERE datname = ANY($1)", names)
    await admin.close()
    assert left == 0


async def test_a_clone_keeps_owner_and_grants(
    engine_database: Database, family_database: Callable[[str], Awaitable[Database]]
) -> None:
    owner = await _connect(engine_database.dsn("wayfarer_owner"))
    await owner.execute("CREATE TABLE more (n int)")
    await owner.close()
    worker = await _connect(engine_database.dsn("wayfarer_worker"))
    assert await worker.fetchval("SELECT count(*) FROM execution") == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await worker.execute("DELETE FROM account")
    await worker.close()
    crm = await family_database("crm")
    app = await _connect(crm.dsn("wayfarer_crm"))
    assert await app.fetchval("SELECT count(*) FROM effect_ledger") == 0
    assert await app.fetchval("SELECT count(*) FROM contact_record") == 0
    await app.close()


async def test_an_account_is_made_once_per_key(engine_database: Database) -> None:
    key = new_api_key()
    dsn = engine_database.dsn("wayfarer_owner")
    assert await add_account(dsn, "a", key, 10) == await add_account(dsn, "a", key, 10)
    assert await add_account(dsn, "a", new_api_key(), 10) != await add_account(dsn, "a", key, 10)


async def test_preparing_again_changes_nothing_and_lost_secrets_are_made_anew() -> None:
    with scratch_state_dir() as folder:
        async with Postgres(folder / "data", free_port(), settings=CLUSTER_SETTINGS) as postgres:
            first = await prepare(postgres, folder)
            assert await prepare(postgres, folder) == first
            secrets = json.loads((folder / "secrets.json").read_text())
            del secrets["wayfarer_crm"]
            (folder / "secrets.json").write_text(json.dumps(secrets))
            again = await prepare(postgres, folder)
            assert (again.api_key, again.account_id) == (first.api_key, first.account_id)
            assert again.dsns["wayfarer_crm"] != first.dsns["wayfarer_crm"]
            connection = await _connect(again.dsns["wayfarer_crm"])
            await connection.close()
