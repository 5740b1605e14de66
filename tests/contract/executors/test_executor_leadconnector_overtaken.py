"""Two that are about one errand at the same time: the later attempt has it, the older one changes nothing.

G5: what was sent is known to whoever comes after a crash.
"""

import asyncio
from pathlib import Path

import asyncpg
from wayfarer.action.v1 import action_executor_pb2

from services.executors.action import EffectKey
from services.executors.crm.addresses import Addresses
from services.executors.crm.errands import Errands
from services.executors.crm.provider import Errand, Turn
from services.executors.crm.records import ContactRecords
from services.local.postgres import Postgres
from services.runtime.keyring import Keyring
from tests.contract.executors.crm_world import CrmWorld
from tests.contract.executors.leadconnector_world import ElsewhereWorld
from tests.contract.executors.membership_world import output
from tests.contract.executors.test_executor_leadconnector_failing import KINDS, LATE, LOST, set_up
from tests.contract.executors.test_executor_membership import kind_of
from tests.contract.executors.world import ACCOUNT, uuid7


async def test_a_look_that_an_attempt_overtakes_takes_nothing_back(elsewhere: ElsewhereWorld) -> None:
    """G5: Reconcile sees that nothing is there; before it can say so a later attempt does it, and is not heard."""
    scene = await set_up(
        elsewhere, await elsewhere.account(), next(one for one in KINDS if one.name == "create_task")
    )
    await scene.misbehave(hang="before")
    assert kind_of(await elsewhere.crm.client.execute(scene.attempt)) == LATE
    await elsewhere.site.misbehave(f"GET tasks {scene.email}", delay_s=0.8)
    looking = asyncio.create_task(elsewhere.crm.client.reconcile(scene.attempt, fence=1))
    await elsewhere.site.misbehaved()
    await scene.misbehave(lose="after")
    assert kind_of(await scene.once_more()) == LOST
    assert (await looking).finding == action_executor_pb2.FINDING_UNKNOWN
    assert output(await scene.once_more())
    assert await scene.times() == 1


async def test_an_attempt_that_was_overtaken_notes_nothing(
    crm_world: CrmWorld, postgres: Postgres, keyring: Path
) -> None:
    """G5: what the later one sent is not forgotten, and the older one may not send."""
    key = EffectKey(ACCOUNT, uuid7(), "step", 1)
    first = Errand(key, "create_task", await crm_world.add_contact(), {}, {}, Turn(1, 1))
    keys = Keyring.load(keyring)
    addresses = Addresses(keys)
    async with asyncpg.create_pool(postgres.dsn("wayfarer_crm"), min_size=1, max_size=2) as pool:
        errands = Errands(pool, keys, ContactRecords(pool, keys, addresses), addresses)
        async with pool.acquire() as connection:
            await errands.open(connection, first)
        later = await errands.taken(first, Turn(1, 2))
        assert later is not None
        assert await errands.sent(later, {"by": "the later"}) is not None
        assert await errands.sent(first, None) is None
        assert await errands.sent(first, {"by": "the older"}) is None
        for turn in (Turn(1, 1), Turn(1, 2), Turn(0, 9)):
            assert await errands.taken(first, turn) is None
        kept = await errands.get(key, "create_task")
        assert kept is not None
        assert (kept.sent, kept.turn) == ({"by": "the later"}, Turn(1, 2))
        assert await errands.taken(kept, Turn(2, 1)) is not None
