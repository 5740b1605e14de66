"""Takes one webhook through its redirects within its time; webhook_call's run is its only caller."""

import asyncio
from dataclasses import dataclass

from multidict import CIMultiDict

from services.executors.gate import AttemptStoppedError, SendGate
from services.executors.integrations.caller import CallFailedError, Request, Response, WebhookCaller
from services.executors.integrations.redirects import FOLLOWED, MAX_REDIRECTS, Hop, next_hop
from services.executors.integrations.signing import Signing


class TooManyRedirectsError(Exception):
    """The receiver redirects on and on."""


@dataclass(slots=True)
class Delivery:
    """One call on its way."""

    caller: WebhookCaller
    signing: Signing
    gate: SendGate
    may_be_done: bool = False
    """Whether a receiver took the request before it sent us on to fetch something."""

    async def make(self, hop: Hop, *, redirects: bool, timeout_s: float) -> Response:
        """Make the call and give the answer that is no redirect, or the first one if none is followed.

        Raises CallFailedError, RedirectRefusedError, TooManyRedirectsError, AttemptStoppedError.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._send(hop, deadline)
            if not redirects or response.status not in FOLLOWED or not response.location:
                return response
            following = next_hop(hop, response.status, response.location)
            # A receiver that answers a POST with "now look there" has mostly done it.
            self.may_be_done |= following.method != hop.method
            hop = following
        raise TooManyRedirectsError

    async def _send(self, hop: Hop, deadline: float) -> Response:
        headers = CIMultiDict(hop.headers)
        if hop.content_type:
            headers["Content-Type"] = hop.content_type
        else:
            headers.popall("Content-Type", None)
        headers.update(hop.credentials(hop.body))
        headers.update(self.signing.headers(hop.body))
        left_s = deadline - asyncio.get_running_loop().time()
        if left_s <= 0:
            raise CallFailedError(timed_out=True, refused=False, sent=False)
        try:
            return await self.caller.call(Request(hop.method, hop.url, headers, hop.body, left_s), self.gate)
        except AttemptStoppedError:
            if not self.may_be_done:
                raise
            raise CallFailedError(timed_out=True, refused=False, sent=True) from None
