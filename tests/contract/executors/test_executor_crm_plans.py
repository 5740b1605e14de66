"""The plans of the families' statements: with the settings they connect with, each goes by its index. G5."""

from types import ModuleType

import asyncpg
import pytest

from services.executors import queries as ledger_queries
from services.executors.crm import queries as crm_queries
from services.executors.family import PLANNER
from services.executors.queries import statement
from tests.contract.executors.world import Client, uuid7

MANY_ADDRESSES = """INSERT INTO contact_address (account_id, contact_id, kind, mac)
SELECT 1, gen_random_uuid(), 'email', sha256(n::text::bytea) FROM generate_series(1, 3000) AS n;
ANALYZE contact_address"""
"""In a table of a few rows either index serves as well."""


@pytest.mark.parametrize(
    ("name", "arrays", "package"),
    [
        ("read_effects", 4, ledger_queries),
        ("lock_effects", 4, ledger_queries),
        ("resume_sending", 7, ledger_queries),
        ("record_outcomes", 8, ledger_queries),
        ("add_tags", 3, crm_queries),
        ("remove_tags", 3, crm_queries),
        ("lock_records", 2, crm_queries),
        ("write_records", 3, crm_queries),
        ("get_records", 2, crm_queries),
        ("hold_contacts", 2, crm_queries),
        ("lock_contacts", 2, crm_queries),
        ("write_owners", 3, crm_queries),
        ("get_users", 2, crm_queries),
        ("lock_users", 2, crm_queries),
        ("count_owned", 3, crm_queries),
        ("get_campaigns", 2, crm_queries),
        ("end_enrolments", 3, crm_queries),
        ("get_stages", 2, crm_queries),
        ("get_opportunities", 3, crm_queries),
        ("write_opportunities", 6, crm_queries),
        ("drop_addresses", 3, crm_queries),
    ],
)
async def test_statements_use_the_primary_keys(
    crm: Client, name: str, arrays: int, package: ModuleType
) -> None:
    """With the settings the families connect with, no plan reads a table from end to end."""
    connection = await asyncpg.connect(crm.environment["url"], server_settings=PLANNER)
    await connection.execute(f"PREPARE p AS {statement(name, package.__name__)}")
    owner = [f"'{uuid7()}'"] if name in ("resume_sending", "record_outcomes") else []
    values = ", ".join(["'{}'"] * arrays + owner)
    plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE p({values})"))
    await connection.close()
    assert "_pkey" in plan, plan
    assert "Seq Scan" not in plan, plan


@pytest.mark.parametrize(
    ("name", "values", "index"),
    [
        ("get_active_enrolments", "'{}', '{}'", "campaign_enrolment_active"),
        ("get_addresses", "'{}', '{}'", "contact_address_by_mac"),
        ("page_notes", "1, NULL, NULL, 9", "contact_note_pkey"),
        ("page_tasks", "1, NULL, NULL, 9", "contact_task_pkey"),
        ("page_opportunities", "1, NULL, NULL, 9", "opportunity_pkey"),
        ("page_enrolments", "1, NULL, NULL, 9", "campaign_enrolment_pkey"),
        ("page_users", "1, '', 9", "crm_user_pkey"),
        ("page_pipelines", "1, '', 9", "pipeline_pkey"),
        ("page_campaigns", "1, '', 9", "campaign_pkey"),
        ("delete_record", "1, NULL", "contact_record_pkey"),
        ("delete_belongings", "1, NULL", "contact_note_pkey"),
    ],
)
async def test_statements_use_their_index(crm: Client, name: str, values: str, index: str) -> None:
    connection = await asyncpg.connect(crm.environment["url"], server_settings=PLANNER)
    await connection.execute("BEGIN")  # never committed: what is filled in goes with the connection
    if name == "get_addresses":
        await connection.execute(MANY_ADDRESSES)
    await connection.execute(f"PREPARE p AS {statement(name, crm_queries.__name__)}")
    plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE p({values})"))
    await connection.close()
    assert index in plan, plan
    assert "Seq Scan" not in plan, plan
    # An ordered index gives each page its rows: nothing is sorted that would have to be read first.
    assert not name.startswith("page_") or plan.startswith("Limit"), plan
    assert name == "page_pipelines" or not name.startswith("page_") or "Sort" not in plan, plan
