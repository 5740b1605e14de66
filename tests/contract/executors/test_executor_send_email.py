"""send_email against a real SMTP server on loopback.

R-ERR-1.
"""

import asyncio
import email
import email.policy
import uuid

import pytest
from wayfarer.action.v1 import action_executor_pb2 as wire
from wayfarer.action.v1 import action_pb2
from wayfarer.common.v1 import failure_pb2

from services.executors.communication.__main__ import FAMILY, Settings
from services.executors.mail.addresses import Sender
from services.executors.results import LedgerState
from services.local.postgres import Postgres
from services.runtime.config import HostPort
from tests.contract.executors.world import TIMEOUT_S, Client, Mailbox, make_action, open_client

MESSAGE = {
    "subject": "Grüße an Ada",
    "text": "Hallo,\n.\nschön",
    "html": "<p>Hallo</p>",
    "from_name": "Éva, Inc.",
}


def address() -> str:
    return f"{uuid.uuid4().hex}@example.test"


async def test_arrives_as_composed(communication: Client, mailbox: Mailbox) -> None:
    to = address()
    config = {**MESSAGE, "reply_to": "help@example.test"}
    action = make_action("send_email", config, contact={"email": to})
    result = await communication.execute(action)
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED, result
    (raw,) = mailbox.to(to)
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert message["Subject"] == "Grüße an Ada"
    assert message["To"] == to
    assert message["Reply-To"] == "help@example.test"
    assert message["From"].addresses[0].display_name == "Éva, Inc."
    assert message["From"].addresses[0].addr_spec == "no-reply@example.test"
    key = uuid.UUID(bytes=action.effect_key.execution_id)
    assert message["Message-ID"].strip() == f"<{key}.step.1@wayfarer.example.test>"
    assert result.provider_refs["message_id"] == message["Message-ID"].strip()
    body = message.get_body(("plain",))
    assert body is not None
    assert body.get_content().split() == ["Hallo,", ".", "schön"]
    assert "attachment" not in raw.decode()


async def test_given_address_wins_over_the_contacts(communication: Client, mailbox: Mailbox) -> None:
    to = address()
    config = {**MESSAGE, "to": to}
    await communication.execute(make_action("send_email", config, contact={"email": address()}))
    assert len(mailbox.to(to)) == 1


@pytest.mark.parametrize(
    ("contact", "code"),
    [({}, "NO_ADDRESS"), ({"email": ""}, "NO_ADDRESS"), ({"email": None}, "NO_ADDRESS")]
    + [({"email": bad}, "INVALID_ADDRESS") for bad in ("nobody", "a@b@c", "x@y.test\r\nRCPT TO:<z@y.test>")],
)
async def test_contact_without_a_usable_address(
    communication: Client, contact: dict[str, object], code: str
) -> None:
    result = await communication.execute(make_action("send_email", MESSAGE, contact=contact))
    assert (result.failure.error_class, result.failure.code) == (failure_pb2.ERROR_CLASS_CONTACT_DATA, code)
    assert result.certainty == action_pb2.CERTAINTY_NOT_DONE


@pytest.mark.parametrize(
    ("reply", "error_class", "code", "certainty"),
    [
        ("rcpt:451 greylisted", "SERVER_ERROR", "451", "NOT_DONE"),
        ("rcpt:550 no such user", "CONTACT_DATA", "550", "NOT_DONE"),
        ("data:452 full", "SERVER_ERROR", "452", "NOT_DONE"),
        ("data:421 going", "SERVER_ERROR", "421", "NOT_DONE"),
        ("data:554 spam", "VALIDATION", "554", "NOT_DONE"),
        ("data:550 5.7.1 listed", "VALIDATION", "550", "NOT_DONE"),
        ("data:552 5.2.2 full", "CONTACT_DATA", "552", "NOT_DONE"),
        ("data:552 5.3.4 too big", "VALIDATION", "552", "NOT_DONE"),
        ("rcpt:530 log in first", "AUTHENTICATION", "530", "NOT_DONE"),
        ("drop", "INDETERMINATE", "CONTENT_FAILED", "INDETERMINATE"),
    ],
)
async def test_what_the_server_says_decides(
    communication: Client, mailbox: Mailbox, reply: str, error_class: str, code: str, certainty: str
) -> None:
    to = address()
    mailbox.replies[to] = reply
    action = make_action("send_email", MESSAGE, contact={"email": to})
    neighbour = make_action("send_email", MESSAGE, contact={"email": address()})
    result, fine = await communication.batch([action, neighbour])
    assert fine.outcome == action_pb2.OUTCOME_SUCCEEDED
    assert failure_pb2.ErrorClass.Name(result.failure.error_class) == f"ERROR_CLASS_{error_class}"
    assert (result.failure.provider, result.failure.code) == ("smtp", code)
    assert action_pb2.Certainty.Name(result.certainty) == f"CERTAINTY_{certainty}"
    row = await communication.row(action)
    assert row is not None
    assert row["state"] == (LedgerState.NOT_DONE if certainty == "NOT_DONE" else LedgerState.UNKNOWN)
    del mailbox.replies[to]
    action.attempt = 2
    assert (await communication.execute(action)).outcome == action_pb2.OUTCOME_SUCCEEDED


async def test_connections_are_kept(communication: Client, mailbox: Mailbox) -> None:
    await communication.execute(make_action("send_email", MESSAGE, contact={"email": address()}))
    before = next(mailbox.connections)
    for _ in range(5):
        await communication.execute(make_action("send_email", MESSAGE, contact={"email": address()}))
    assert next(mailbox.connections) == before + 1


async def test_many_at_once_share_few_connections(communication: Client, mailbox: Mailbox) -> None:
    """Servers limit connections; every message goes all the same, also after some that fail."""
    before = next(mailbox.connections)
    recipients = [address() for _ in range(100)]
    mailbox.replies |= dict.fromkeys(recipients[:20], "drop")
    actions = [make_action("send_email", MESSAGE, contact={"email": to}) for to in recipients]
    results = await communication.batch(actions)
    assert [one.outcome for one in results[20:]] == [action_pb2.OUTCOME_SUCCEEDED] * 80
    assert {one.certainty for one in results[:20]} == {action_pb2.CERTAINTY_INDETERMINATE}
    assert [len(mailbox.to(to)) for to in recipients[20:]] == [1] * 80
    assert next(mailbox.connections) - before <= 1 + 32 + 20


async def test_server_that_is_not_there(postgres: Postgres, communication: Client, keyring: object) -> None:
    silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    silent.close()
    await silent.wait_closed()
    settings = Settings(
        database_url=postgres.dsn("wayfarer_communication"),
        keyring=keyring,  # type: ignore[arg-type]
        listen=HostPort("127.0.0.1", 0),
        profile="local",
        smtp_host="127.0.0.1",
        smtp_port=port,
        mail_from=Sender("", "no-reply@example.test"),
    )
    async with open_client(FAMILY, settings) as client:
        result = await client.execute(make_action("send_email", MESSAGE, contact={"email": address()}))
    assert result.failure.error_class == failure_pb2.ERROR_CLASS_NETWORK
    assert result.certainty == action_pb2.CERTAINTY_NOT_DONE


@pytest.mark.parametrize(
    ("config", "paths"),
    [
        ({"text": "x"}, {"subject"}),
        ({"subject": "x"}, {""}),
        ({"subject": "a\r\nBcc: b@c.test", "text": "x"}, {"subject"}),
        ({"subject": "x", "text": "x", "from_name": "a\nb", "to": "nobody"}, {"from_name", "to"}),
        ({"subject": "{{ contact.first_name }}", "text": "x", "to": "{{ contact.fields.mail }}"}, set()),
        ({"subject": 5, "text": ["x"]}, {"subject", "text"}),
    ],
)
async def test_faults_of_a_config(communication: Client, config: dict[str, object], paths: set[str]) -> None:
    import json

    request = wire.ValidateRequest(action_type="send_email", config=json.dumps(config).encode())
    faults = (await communication.stub.Validate(request, timeout=TIMEOUT_S)).faults
    assert {fault.path for fault in faults} == paths
