"""send_email through each provider, against a sandbox of theirs on loopback.

R-ACT, R-SEND: a message goes through the provider its account chose; R-ERR-1: refusals; G6: one effect.
"""

import asyncio
import itertools
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from wayfarer.action.v1 import action_executor_pb2 as wire
from wayfarer.action.v1 import action_pb2
from wayfarer.action.v1.provider_service_pb2_grpc import ProviderServiceStub
from wayfarer.common.v1 import failure_pb2
from yarl import URL

from services.executors.gate import SendGate
from services.executors.providers.http_exchange import NoAnswerError, ProviderHttp
from services.runtime.config import HostPort, host_port
from services.runtime.grpc_client import open_channel
from tests.contract.executors.email_world import (
    ACCOUNTS,
    KEYS,
    MESSAGE,
    EmailWorld,
    ServedSandbox,
    address,
)
from tests.contract.executors.world import TIMEOUT_S, Client, Mailbox


@pytest.fixture(scope="module")
async def world(communication: Client, email_sandbox: ServedSandbox) -> AsyncIterator[EmailWorld]:
    async with open_channel(host_port(communication.address)) as channel:
        yield EmailWorld(communication, ProviderServiceStub(channel), email_sandbox)


def told(result: action_pb2.ActionResult) -> tuple[str, str, str]:
    return (
        failure_pb2.ErrorClass.Name(result.failure.error_class).removeprefix("ERROR_CLASS_"),
        result.failure.code,
        action_pb2.Certainty.Name(result.certainty).removeprefix("CERTAINTY_"),
    )


@pytest.mark.parametrize("provider", KEYS)
async def test_arrives_as_written(world: EmailWorld, provider: str) -> None:
    account, to, copy, blind = await world.account_with(provider), address(), address(), address()
    config = {
        **MESSAGE,
        "cc": [copy],
        "bcc": [blind],
        "reply_to": "help@sender.test",
        "headers": {"X-Campaign": "spring"},
        "preheader": "Read <this>",
        "category": "transactional",
    }
    result = await world.client.execute(world.action(account, to, config))
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED, result
    (message,) = world.served.to(to)
    assert (message["provider"], message["cc"], message["bcc"]) == (provider, [copy], [blind])
    assert (message["subject"], message["text"]) == ("Grüße", "Hallo")
    assert message["html"].startswith("<div")
    assert "Read &lt;this&gt;</div><p>Hallo</p>" in message["html"]
    assert message["headers"] == {"X-Campaign": "spring"}
    assert json.loads(result.output)["provider"] == provider
    assert message["message_id"] in result.provider_refs.values()
    assert "hello@sender.test" in message["from"]


@pytest.mark.parametrize("provider", KEYS)
async def test_marketing_can_be_unsubscribed_from(world: EmailWorld, provider: str) -> None:
    account, to = await world.account_with(provider), address()
    await world.client.execute(world.action(account, to))
    (message,) = world.served.to(to)
    assert message["headers"]["List-Unsubscribe"].startswith("<http://127.0.0.1:")
    assert message["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


async def test_an_account_that_chose_nothing_goes_through_the_processes_server(
    world: EmailWorld, mailbox: Mailbox
) -> None:
    to = address()
    result = await world.client.execute(world.action(next(ACCOUNTS), to))
    assert json.loads(result.output)["provider"] == "smtp"
    assert len(mailbox.to(to)) == 1
    foreign = {**MESSAGE, "from_email": "ceo@somebody-else.test"}
    refused = await world.client.execute(world.action(next(ACCOUNTS), to, foreign))
    assert told(refused) == ("CONFIGURATION", "SENDER_NOT_ALLOWED", "NOT_DONE")
    assert len(mailbox.to(to)) == 1


async def test_an_account_may_bring_its_own_mail_server(world: EmailWorld, mailbox: Mailbox) -> None:
    account, to, copy = next(ACCOUNTS), address(), address()
    settings = {"from_email": "hello@sender.test", "host": mailbox.host, "port": mailbox.port}
    await world.put(account, "smtp", {**settings, "security": "none"}, {})
    mailbox.replies[copy] = "rcpt:550 no such user"
    config = {**MESSAGE, "cc": [copy], "bcc": [address()], "from_email": "other@sender.test"}
    result = await world.client.execute(world.action(account, to, config))
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED, result
    assert result.provider_refs["copies_refused"] == "1"
    (raw,) = mailbox.to(to)
    assert b"other@sender.test" in raw
    assert b"bcc" not in raw.lower()


async def test_a_mail_server_that_cannot_be_encrypted_gets_nothing(
    world: EmailWorld, mailbox: Mailbox
) -> None:
    account, to = next(ACCOUNTS), address()
    settings = {"from_email": "hello@sender.test", "host": mailbox.host, "port": mailbox.port}
    await world.put(account, "smtp", settings, {"user": "u", "password": "p"})
    result = await world.client.execute(world.action(account, to))
    assert told(result) == ("CONFIGURATION", "CONNECT_UNSUPPORTED", "NOT_DONE")
    assert not mailbox.to(to)


async def test_a_mail_server_knows_the_account_by_its_password(world: EmailWorld, mailbox: Mailbox) -> None:
    account, to = next(ACCOUNTS), address()
    settings = {"from_email": "hello@sender.test", "host": mailbox.host, "port": mailbox.port}
    settings["security"] = "none"
    await world.put(account, "smtp", settings, {"user": "ada", "password": "wrong"})
    refused = await world.client.execute(world.action(account, to))
    assert told(refused) == ("AUTHENTICATION", "535", "NOT_DONE")
    await world.put(account, "smtp", settings, {"user": "ada", "password": mailbox.password})
    result = await world.client.execute(world.action(account, to))
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED, result
    assert len(mailbox.to(to)) == 1


@pytest.mark.parametrize("provider", ["smtp", "sendgrid", "resend"])
async def test_internal_addresses_are_out_of_an_accounts_reach(world: EmailWorld, provider: str) -> None:
    silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    if provider == "smtp":
        account = next(ACCOUNTS)
        settings = {"from_email": "hello@sender.test", "host": "localhost", "port": port, "security": "none"}
        await world.put(account, "smtp", settings, {})
    else:
        account = await world.account_with(provider, base_url=f"http://127.0.0.1:{port}")
    result = await world.client.execute(world.action(account, address()))
    silent.close()
    assert told(result) == ("CONFIGURATION", "ADDRESS_REFUSED", "NOT_DONE")


@pytest.mark.parametrize("provider", ["smtp", *KEYS])
async def test_the_same_key_twice_and_at_once_is_one_message(
    world: EmailWorld, mailbox: Mailbox, provider: str
) -> None:
    account, to = next(ACCOUNTS) if provider == "smtp" else await world.account_with(provider), address()
    action = world.action(account, to)
    results = await asyncio.gather(*(world.client.batch([action, action]) for _ in range(3)))
    results.append([await world.client.execute(action)])
    assert {one.outcome for one in itertools.chain(*results)} == {action_pb2.OUTCOME_SUCCEEDED}
    assert len(world.served.to(to)) + len(mailbox.to(to)) == 1


@pytest.mark.parametrize(
    ("provider", "status", "body", "expected"),
    [
        ("sendgrid", 400, None, ("VALIDATION", "HTTP_400", "NOT_DONE")),
        ("sendgrid", 401, None, ("AUTHENTICATION", "HTTP_401", "NOT_DONE")),
        ("sendgrid", 403, None, ("AUTHORIZATION", "HTTP_403", "NOT_DONE")),
        ("sendgrid", 404, None, ("CONFIGURATION", "HTTP_404", "NOT_DONE")),
        ("sendgrid", 413, None, ("VALIDATION", "HTTP_413", "NOT_DONE")),
        ("sendgrid", 429, None, ("RATE_LIMIT", "HTTP_429", "NOT_DONE")),
        ("sendgrid", 451, None, ("CONFIGURATION", "HTTP_451", "NOT_DONE")),
        ("sendgrid", 500, None, ("SERVER_ERROR", "HTTP_500", "INDETERMINATE")),
        ("sendgrid", 503, None, ("SERVER_ERROR", "HTTP_503", "NOT_DONE")),
        ("sendgrid", 302, None, ("CONFIGURATION", "HTTP_302", "NOT_DONE")),
        ("resend", 403, "invalid_api_key", ("AUTHENTICATION", "INVALID_API_KEY", "NOT_DONE")),
        ("resend", 403, "validation_error", ("AUTHORIZATION", "VALIDATION_ERROR", "NOT_DONE")),
        ("resend", 422, "missing_required_field", ("VALIDATION", "MISSING_REQUIRED_FIELD", "NOT_DONE")),
        ("resend", 422, "invalid_from_address", ("CONFIGURATION", "INVALID_FROM_ADDRESS", "NOT_DONE")),
        ("resend", 429, "rate_limit_exceeded", ("RATE_LIMIT", "RATE_LIMIT_EXCEEDED", "NOT_DONE")),
        ("resend", 451, "security_error", ("VALIDATION", "SECURITY_ERROR", "NOT_DONE")),
        ("resend", 503, None, ("SERVER_ERROR", "HTTP_503", "NOT_DONE")),
    ],
)
async def test_what_the_provider_says_decides(
    world: EmailWorld, provider: str, status: int, body: str | None, expected: tuple[str, str, str]
) -> None:
    account, to = await world.account_with(provider), address()
    rule: dict[str, Any] = {"match": to, "status": status, "headers": {"Retry-After": "90"}}
    if body:
        rule["body"] = {"statusCode": status, "name": body, "message": "…"}
    await world.served.control("next", rule)
    action = world.action(account, to)
    result = await world.client.execute(action)
    assert told(result) == expected
    assert result.failure.provider == provider
    assert not world.served.to(to)
    if status in (429, 503):
        assert result.retry_after.ToTimedelta().total_seconds() == 90
        assert result.lane.lane == "email"
    if expected[0] == "AUTHENTICATION":  # the choice is marked until it is made anew
        settings = {"from_email": "hello@sender.test", "base_url": world.served.url}
        await world.put(account, provider, settings, {"api_key": KEYS[provider]})
    action.attempt = 2
    assert (await world.client.execute(action)).outcome == action_pb2.OUTCOME_SUCCEEDED
    assert len(world.served.to(to)) == 1


@pytest.mark.parametrize(
    ("provider", "config", "to", "expected"),
    [
        ("sendgrid", {}, "undeliverable", ("CONTACT_DATA", "HTTP_400", "NOT_DONE")),
        ("sendgrid", {"from_email": "a@unverified.test"}, "", ("AUTHORIZATION", "HTTP_403", "NOT_DONE")),
        (
            "resend",
            {"from_email": "a@unverified.test"},
            "",
            ("AUTHORIZATION", "VALIDATION_ERROR", "NOT_DONE"),
        ),
    ],
)
async def test_what_the_provider_itself_refuses(
    world: EmailWorld, provider: str, config: dict[str, str], to: str, expected: tuple[str, str, str]
) -> None:
    account = await world.account_with(provider)
    result = await world.client.execute(world.action(account, address(to), {**MESSAGE, **config}))
    assert told(result) == expected


@pytest.mark.parametrize(
    ("provider", "key", "code"),
    [("sendgrid", "SG.revoked", "HTTP_401"), ("resend", "re_revoked", "VALIDATION_ERROR")],
)
async def test_a_revoked_key(world: EmailWorld, provider: str, key: str, code: str) -> None:
    account = await world.account_with(provider, credentials={"api_key": key})
    result = await world.client.execute(world.action(account, address()))
    assert told(result) == ("AUTHENTICATION", code, "NOT_DONE")
    # The right key is used as soon as it is told.
    settings = {"from_email": "hello@sender.test", "base_url": world.served.url}
    await world.put(account, provider, settings, {"api_key": KEYS[provider]})
    again = await world.client.execute(world.action(account, address()))
    assert again.outcome == action_pb2.OUTCOME_SUCCEEDED


@pytest.mark.parametrize("taken", [True, False])
async def test_sendgrid_that_breaks_off_leaves_it_uncertain(world: EmailWorld, taken: bool) -> None:
    account, to = await world.account_with("sendgrid"), address()
    await world.served.control("next", {"match": to, "reset": True, "taken": taken})
    action = world.action(account, to)
    result = await world.client.execute(action)
    assert told(result) == ("INDETERMINATE", "CONNECTION_LOST", "INDETERMINATE")
    assert (await world.client.reconcile(action, fence=2)).finding == wire.FINDING_UNKNOWN
    assert len(world.served.to(to)) == taken


@pytest.mark.parametrize(
    "rule", [{"reset": True, "taken": True}, {"status": 500, "taken": True}, {"status": 502}, {"reset": True}]
)
async def test_resend_is_asked_again_with_the_key(world: EmailWorld, rule: dict[str, Any]) -> None:
    account, to = await world.account_with("resend"), address()
    await world.served.control("next", {"match": to, **rule})
    result = await world.client.execute(world.action(account, to))
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED, result
    (message,) = world.served.to(to)
    assert message["message_id"] == result.provider_refs["resend_email_id"]


async def test_resend_that_never_answers_leaves_it_uncertain(world: EmailWorld) -> None:
    account, to = await world.account_with("resend"), address()
    await world.served.control("next", {"match": to, "reset": True, "taken": False, "times": 9})
    result = await world.client.execute(world.action(account, to))
    assert told(result) == ("INDETERMINATE", "CONNECTION_LOST", "INDETERMINATE")


async def test_resends_key_is_the_effects_and_of_one_message(world: EmailWorld) -> None:
    account, to = await world.account_with("resend"), address()
    action = world.action(account, to)
    await world.client.execute(action)
    (message,) = world.served.to(to)
    execution = uuid.UUID(bytes=action.effect_key.execution_id)
    assert message["idempotency_key"] == f"{execution}.step.1"
    # A ledger restored from before the answer, say: the provider still knows.
    await world.client.database.execute(
        "UPDATE effect_ledger SET state = 3 WHERE execution_id = $1", execution
    )
    config = {**MESSAGE, "subject": "another"}
    other = world.action(account, to, config, execution_id=execution, attempt=2)
    result = await world.client.execute(other)
    assert told(result) == ("INDETERMINATE", "INVALID_IDEMPOTENT_REQUEST", "INDETERMINATE")
    assert len(world.served.to(to)) == 1


@pytest.mark.parametrize("provider", KEYS)
async def test_a_budget_that_ends_while_the_provider_thinks(world: EmailWorld, provider: str) -> None:
    account, to = await world.account_with(provider), address()
    await world.served.control("next", {"match": to, "delay": 5, "status": 500})
    result = await world.client.execute(world.action(account, to, budget_ms=400))
    assert told(result) == ("TIMEOUT", "TIMEOUT", "INDETERMINATE")


async def test_what_never_left_is_not_uncertain() -> None:
    gone = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = gone.sockets[0].getsockname()[1]
    gone.close()
    await gone.wait_closed()
    gate = SendGate(asyncio.get_running_loop().time() + 60)
    async with ProviderHttp(frozenset({HostPort("127.0.0.1", port)})) as http:
        with pytest.raises(NoAnswerError) as failed:
            await http.post(URL(f"http://127.0.0.1:{port}/"), {}, b"{}", gate)
    assert not failed.value.sent
    assert not gate.begun


@pytest.mark.parametrize("provider", KEYS)
async def test_an_api_that_is_elsewhere(world: EmailWorld, provider: str) -> None:
    account = await world.account_with(provider, base_url=f"{world.served.url}/nowhere")
    result = await world.client.execute(world.action(account, address()))
    assert told(result) == ("CONFIGURATION", "HTTP_404", "NOT_DONE")


@pytest.mark.parametrize(
    ("config", "paths"),
    [
        ({"cc": ["nobody"]}, {"cc.0"}),
        ({"bcc": [f"a{n}@b.test" for n in range(11)]}, {"bcc"}),
        ({"headers": {"Bcc": "x@y.test"}}, {"headers"}),
        ({"headers": {"X-A": "a\r\nBcc: x@y.test"}}, {"headers.X-A"}),
        ({"category": "news", "from_email": "nobody"}, {"category", "from_email"}),
        ({"attachments": []}, {"attachments"}),
        ({"cc": ["{{ contact.fields.boss }}"], "track_clicks": True}, set()),
    ],
)
async def test_faults_of_a_config(world: EmailWorld, config: dict[str, Any], paths: set[str]) -> None:
    request = wire.ValidateRequest(
        action_type="send_email", config=json.dumps({**MESSAGE, **config}).encode()
    )
    faults = (await world.client.stub.Validate(request, timeout=TIMEOUT_S)).faults
    assert {fault.path for fault in faults} == paths
