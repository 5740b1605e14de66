"""R-ACT by the running stack: an account chooses a provider, and its workflow's e-mails go through its sandbox."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import grpc
from wayfarer.action.v1 import provider_service_pb2 as wire
from wayfarer.action.v1.provider_service_pb2_grpc import ProviderServiceStub

from services.local.stack import Stack
from tests.support.stacks import Cli

DOCUMENT = """
key: provided
steps:
  - {id: mail, type: send_email, config: {subject: "Hello {{ contact.first_name }}", text: Hi}}
"""


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


async def test_an_email_goes_through_the_chosen_provider(stack: Stack, cli: Cli, tmp_path: Path) -> None:
    account = stack.prepared.account_id
    settings = {"from_email": "hello@sender.example", "base_url": f"{stack.sandboxes_url}/email"}
    chosen = wire.PutProviderRequest(
        account_id=account,
        channel="email",
        provider="resend",
        settings=json.dumps(settings).encode(),
        credentials=b'{"api_key": "re_local"}',
    )
    async with grpc.aio.insecure_channel(f"127.0.0.1:{stack.ports.executor('communication')}") as channel:
        door = ProviderServiceStub(channel)
        await door.PutProvider(chosen, timeout=10)
        try:
            file = tmp_path / "provided.yaml"
            file.write_text(DOCUMENT)
            assert (await cli("apply", str(file))).code == 0
            contact = ("--external-id", "prov-1", "--first-name", "Ada", "--email", "ada@example.com")
            assert (await cli("contacts", "create", *contact)).code == 0
            started = await cli("start", "provided", "prov-1")
            assert started.code == 0, started.err
            execution = started.out.split()[0]
            assert "execution_completed" in (await cli("watch", execution)).out
        finally:
            # The stack is shared: other tests look for their e-mails in the mailbox.
            await door.DeleteProvider(
                wire.DeleteProviderRequest(account_id=account, channel="email"), timeout=10
            )
    (message,) = _get(f"{stack.sandboxes_url}/email/messages")
    assert (message["to"], message["subject"]) == (["ada@example.com"], "Hello Ada")
    assert message["idempotency_key"].startswith(execution)
