"""The console's sign-in slows down who tries keys; through the real gateway and API."""

import aiohttp

from services.gateway.console.attempts import PER_ADDRESS
from tests.integration.api.world import Client, World


async def test_who_tries_many_keys_must_wait(world: World, client: Client) -> None:
    """Ten unknown keys, then 429 with when to try again; even the good key waits, from that address alone."""

    async def tried(key: str, address: str) -> aiohttp.ClientResponse:
        url, sender = f"{world.stack.gateway_url}/console/sign-in", {"x-forwarded-for": address}
        return await session.post(url, data={"key": key}, headers=sender, allow_redirects=False)

    async with aiohttp.ClientSession() as session:
        for _ in range(3 * PER_ADDRESS.most):
            assert (await tried(client.key, "203.0.113.7")).status == 303, "a good key is never too many"
        for number in range(PER_ADDRESS.most):
            assert (await tried(f"wf_unknown_{number}", "203.0.113.7")).status == 401
        for key in ("wf_unknown", client.key):
            answer = await tried(key, "203.0.113.7")
            assert answer.status == 429
            assert 1 <= int(answer.headers["retry-after"]) <= PER_ADDRESS.each_s
            assert "Too many keys were tried" in await answer.text()
            assert "wayfarer_session" not in answer.cookies
        assert (await tried(client.key, "203.0.113.8")).status == 303
