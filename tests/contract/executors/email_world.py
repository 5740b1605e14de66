"""The surroundings of the e-mail providers' contract tests: the sandbox, accounts that chose, what arrived."""

import itertools
import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web
from google.protobuf.timestamp_pb2 import Timestamp
from wayfarer.action.v1 import action_pb2
from wayfarer.action.v1 import provider_service_pb2 as wire
from wayfarer.action.v1.provider_service_pb2_grpc import ProviderServiceStub

from services.local.arrivals import Arrivals
from services.local.sandboxes.email import EmailSandbox
from tests.contract.executors.world import TIMEOUT_S, Client, make_action

ACCOUNTS = itertools.count(1000)
MESSAGE = {"subject": "Grüße", "text": "Hallo", "html": "<p>Hallo</p>", "from_name": "Éva, Inc."}
KEYS = {"sendgrid": "SG.secret-of-a-test", "resend": "re_secret_of_a_test"}


def address(word: str = "") -> str:
    return f"{word}{uuid.uuid4().hex}@example.test"


@dataclass(frozen=True, slots=True)
class Post:
    """What a provider posted to us."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class ServedSandbox:
    """The sandbox on a port of its own, and whom it posts its events to."""

    sandbox: EmailSandbox
    port: int
    posts: list[Post]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def to(self, recipient: str) -> list[dict[str, Any]]:
        return [one for one in self.sandbox.arrivals.kept if recipient in one["to"]]

    async def control(self, what: str, asked: Mapping[str, Any]) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/_control/{what}", json=dict(asked)) as answer,
        ):
            assert answer.status == 200, await answer.text()

    async def events(self, message: Mapping[str, Any], event: Any, **asked: Any) -> list[Post]:
        """Let the provider tell of a message; what it posted."""
        before = len(self.posts)
        await self.control("event", {"message_id": message["message_id"], "event": event, **asked})
        return self.posts[before:]


@asynccontextmanager
async def serve_sandbox() -> AsyncIterator[ServedSandbox]:
    sandbox = EmailSandbox(Arrivals(None))
    application = sandbox.application()
    posts: list[Post] = []

    async def taken(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        posts.append(Post(headers, await request.read()))
        return web.Response()

    application.router.add_post("/taken/{provider}", taken)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served = ServedSandbox(sandbox, runner.addresses[0][1], posts)
    sandbox.callbacks.update({name: f"{served.url}/taken/{name}" for name in KEYS})
    try:
        yield served
    finally:
        await runner.cleanup()


@dataclass(frozen=True, slots=True)
class EmailWorld:
    """The communication family, its inside door and its providers' sandbox."""

    client: Client
    door: ProviderServiceStub
    served: ServedSandbox

    async def put(
        self, account: int, provider: str, settings: Mapping[str, Any], credentials: Mapping[str, Any] | None
    ) -> int:
        request = wire.PutProviderRequest(
            account_id=account, channel="email", provider=provider, settings=json.dumps(settings).encode()
        )
        if credentials is not None:
            request.credentials = json.dumps(credentials).encode()
        revision: int = (await self.door.PutProvider(request, timeout=TIMEOUT_S)).revision
        return revision

    async def account_with(self, provider: str, **changes: Any) -> int:
        """An account that chose a provider."""
        account, signer = next(ACCOUNTS), self.served.sandbox.signer
        settings = {"from_email": "hello@sender.test", "from_name": "Sender", "base_url": self.served.url}
        credentials = {"api_key": KEYS[provider]}
        if provider == "sendgrid":
            settings["webhook_public_key"] = signer.sendgrid_key
        else:
            credentials["webhook_secret"] = signer.resend_secret
        credentials.update(changes.pop("credentials", {}))
        await self.put(account, provider, settings | changes, credentials)
        return account

    def action(
        self, account: int, to: str, config: Mapping[str, Any] = MESSAGE, **more: Any
    ) -> action_pb2.Action:
        action = make_action("send_email", dict(config), contact={"email": to}, **more)
        action.account_id = account
        return action

    async def take(
        self, account: int, provider: str, post: Post, *, age_s: float = 0
    ) -> wire.TakeCallbackResponse:
        """Hand a post to the door as the gateway would, `age_s` after it came."""
        return await self.visit(
            "https://in.example.test/cb", "POST", account, provider, post.headers, post.body, age_s
        )

    async def visit(
        self,
        url: str,
        method: str = "GET",
        account: int = 0,
        provider: str = "wayfarer",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        age_s: float = 0,
    ) -> wire.TakeCallbackResponse:
        came = Timestamp()
        came.FromMilliseconds(int((time.time() + age_s) * 1000))
        request = wire.TakeCallbackRequest(
            channel="email",
            provider=provider,
            account_id=account,
            method=method,
            url=url,
            headers=dict(headers or {}),
            body=body,
            receive_time=came,
        )
        response: wire.TakeCallbackResponse = await self.door.TakeCallback(request, timeout=TIMEOUT_S)
        return response


def reason(error: Any) -> tuple[str, dict[str, str]]:
    """The ErrorInfo of a refused rpc: its reason and metadata."""
    from google.rpc.error_details_pb2 import ErrorInfo
    from grpc_status import rpc_status

    status = rpc_status.from_call(error)
    assert status is not None
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.reason, dict(info.metadata)


def fields(error: Any) -> set[str]:
    """The fields at fault of a refused rpc."""
    from google.rpc.error_details_pb2 import BadRequest
    from grpc_status import rpc_status

    found: set[str] = set()
    status = rpc_status.from_call(error)
    assert status is not None
    for detail in status.details:
        request = BadRequest()
        if detail.Unpack(request):
            found |= {violation.field for violation in request.field_violations}
    return found
