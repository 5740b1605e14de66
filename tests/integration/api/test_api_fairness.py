"""One account's backlog does not delay another's: R-LIMIT-3, G15, A-41."""

from datetime import timedelta

import pytest

from tests.integration.api.world import World, tagging

pytestmark = pytest.mark.usefixtures("worker")
_BACKLOG = """INSERT INTO execution (account_id, execution_id, workflow_id, contact_id, version, shard, status, priority,
    lane, blocked_on, wake_at, log_seq, log_hash, created_at, updated_at)
SELECT $1, uuidv7(), $2::uuid, $3::uuid, 1, a.shard, 1, 2, 2, 1, wf_now() - interval '1 hour', 1, '', wf_now(), wf_now()
FROM account a, generate_series(1, 100000) WHERE a.account_id = $1"""


async def test_a_hundred_thousand_queued_elsewhere_delay_nobody(world: World) -> None:
    """A-41: account A with 100,000 queued, account B with one due: B's step within 2 s."""
    busy, quiet = await world.client(active_limit=1_000), await world.client()
    workflow = await busy.publish(tagging("backlog"))
    contact = await busy.contact()
    await quiet.publish(tagging("one"))
    mine = await quiet.contact()
    await world.owner.execute(_BACKLOG, busy.account_id, workflow, contact.id)
    took = []
    for _ in range(5):
        execution = (await quiet.start("one", mine.id)).execution
        ended, _ = await quiet.watched_to_end(execution.id)
        took.append(ended.end_time.ToDatetime() - ended.create_time.ToDatetime())
        await world.owner.execute("UPDATE enrollment SET started_at = started_at - interval '10 s'")
    left = await world.owner.fetchval("SELECT count(*) FROM execution WHERE account_id = $1", busy.account_id)
    await world.owner.execute("UPDATE account SET active_limit = 1 WHERE account_id = $1", busy.account_id)
    await world.owner.execute("DELETE FROM execution WHERE account_id = $1 AND status = 1", busy.account_id)
    assert left > 1_000, "the backlog was worked off before it could be in anybody's way"
    assert max(took) <= timedelta(seconds=2)
