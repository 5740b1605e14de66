"""How many executions a list has, and its pages by number: R-API-2, R-LOG-4, without a worker."""

from uuid import UUID

import pytest
from wayfarer.execution.v1 import execution_pb2

from tests.integration.api.over_http import Http
from tests.integration.api.world import Client, World, refused, tagging

CANCELLED = execution_pb2.EXECUTION_STATUS_CANCELLED


async def started(client: Client, number: int, key: str = "counted") -> list[str]:
    """Ids of executions that were started for a contact each, newest first."""
    await client.publish(tagging(key))
    return [(await client.start(key, (await client.contact()).id)).execution.id for _ in range(number)][::-1]


async def past(world: World, client: Client, number: int) -> None:
    """So many executions in the history; the oldest of them was cancelled, the others are COMPLETED."""
    (one,) = await started(client, 1)
    columns = [
        row[0]
        for row in await world.owner.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'execution_history'"
        )
    ]
    changed = {
        "execution_id": "uuidv7()",
        "status": "CASE place WHEN 1 THEN 7 ELSE 5 END",
        "ended_at": "wf_now()",
    }
    copied = ", ".join(changed.get(name, name) for name in columns)
    made = await world.owner.execute(
        f"INSERT INTO execution_history ({', '.join(columns)}) SELECT {copied}"
        " FROM execution, generate_series(1, $3) AS place WHERE account_id = $1 AND execution_id = $2",
        client.account_id,
        UUID(one),
        number,
    )
    assert made == f"INSERT 0 {number}"


async def test_executions_by_page_and_limit(client: Client, http: Http) -> None:
    """R-API-2: of a workflow, of a contact and of all: total, page, limit, total_pages; beyond the end, none."""
    ids = await started(client, 7)
    await started(client, 2, "other")
    seen: list[str] = []
    for page in range(1, 5):
        body = (await http("GET", "/workflows/counted/executions", page=page, limit=3)).body
        paging = {name: body[name] for name in ("total", "page", "limit", "total_pages", "total_is_minimum")}
        assert paging == {"total": 7, "page": page, "limit": 3, "total_pages": 3, "total_is_minimum": False}
        seen += [one["id"] for one in body["executions"]]
        assert bool(body["next_page_token"]) == (page < 3)
    assert seen == ids
    everything = (await http("GET", "/executions")).body
    assert (everything["total"], everything["page"], everything["total_pages"]) == (9, 1, 1)
    whose = (await client.get(ids[3])).contact_id
    assert (await http("GET", "/executions", contact_id=whose)).body["total"] == 1
    assert (await http("GET", "/executions", status="CANCELLED")).body["total"] == 0

    second = (await http("GET", "/workflows/counted/executions", page=2, limit=3)).body
    token = second["next_page_token"]
    third = (await http("GET", "/workflows/counted/executions", limit=3, page_token=token)).body
    assert [one["id"] for one in third["executions"]] == ids[6:]
    assert not third.keys() & {"total", "total_is_minimum", "total_pages", "page"}
    both = await http("GET", "/workflows/counted/executions", page=2, page_token=token)
    assert (both.status, both.at_fault) == (422, {"page": "exclusive"})


async def test_a_total_is_exact_as_far_as_ten_thousand(world: World, client: Client, http: Http) -> None:
    """R-API-2: then it is "at least"; pages have numbers as far, and tokens go on from the last of them."""
    await past(world, client, 10_050)
    body = (await http("GET", "/executions", limit=1_000)).body
    assert (body["total"], body["total_is_minimum"], body["total_pages"]) == (10_000, True, 10)
    last = await client.listed(page=200, page_size=50)
    assert len(last.executions) == 50
    rest = await client.listed(page_size=60, page_token=last.next_page_token)
    assert len(rest.executions) == 51
    assert (rest.next_page_token, rest.HasField("total_size")) == ("", False)
    assert max(one.id for one in rest.executions) < min(one.id for one in last.executions)
    assert (await refused(client.listed(page=201, page_size=50))).rules == {"page": "too_far"}
    assert (await refused(client.listed(page=2**32 - 1, page_size=1_000))).rules == {"page": "too_far"}


@pytest.mark.parametrize(("number", "told"), [(19_000, (1, False)), (20_500, (0, True))])
async def test_counting_looks_at_so_many_and_no_more(
    world: World, client: Client, number: int, told: tuple[int, bool]
) -> None:
    """One that fits is behind many that do not: within 20,000 it is counted, beyond it nobody looks."""
    await past(world, client, number)
    listed = await client.listed(workflow="counted", status=CANCELLED, page=1)
    assert (listed.total_size, listed.total_is_minimum) == told
    uncounted = await client.listed(workflow="counted", status=CANCELLED)
    assert (uncounted.HasField("total_size"), uncounted.executions) == (False, listed.executions)
    assert len(listed.executions) == 1
