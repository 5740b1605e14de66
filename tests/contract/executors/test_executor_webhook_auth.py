"""Secrets of an account, what they prove to receivers, and their rotation; nothing of ours checks a signature here.

R-ACT: webhook_call. R-LOG-2: secrets are sealed and never given back.
"""

import asyncio
import base64
import hashlib
import hmac
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import grpc
import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from wayfarer.action.v1 import action_pb2
from wayfarer.common.v1 import failure_pb2
from wayfarer.integrations.v1 import integrations_admin_service_pb2 as pb

from services.executors.integrations.account_book import AccountBook, SealedSecret
from services.executors.integrations.standings import KEPT_S, Standings
from services.local.postgres import Postgres
from services.runtime.database import open_pool
from services.runtime.keyring import Keyring
from tests.contract.executors.webhook_site import Hooks, Seen, new_account
from tests.contract.executors.world import SECRET, TIMEOUT_S

FIRST = "whsec_" + base64.b64encode(b"first-secret-of-32-bytes-length!").decode()
SECOND = "whsec_" + base64.b64encode(b"second-secret-of-32-bytes-lengt!").decode()


async def put(hooks: Hooks, account: int, name: str, value: str) -> None:
    request = pb.PutSecretRequest(account_id=account, name=name, value=value)
    await hooks.admin.PutSecret(request, timeout=TIMEOUT_S)


async def sent(hooks: Hooks, account: int, config: dict[str, Any]) -> Seen:
    path = f"/auth/{uuid.uuid4()}"
    result = await hooks.call({"url": hooks.site.url(path), **config}, account=account)
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED, result
    (seen,) = hooks.site.at(path)
    return seen


def by_hand(secret: str, seen: Seen) -> str:
    """The signature as the Standard Webhooks text says, without their library."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = f"{seen.headers['webhook-id']}.{seen.headers['webhook-timestamp']}.".encode() + seen.body
    return "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        (
            {"kind": "basic", "username": "ada"},
            "Authorization",
            "Basic " + base64.b64encode("ada:s3crét".encode()).decode(),
        ),
        ({"kind": "bearer"}, "Authorization", "Bearer s3crét"),
        ({"kind": "api_key"}, "X-Api-Key", "s3crét"),
        ({"kind": "api_key", "name": "X-Own"}, "X-Own", "s3crét"),
    ],
)
async def test_credentials_in_a_header(hooks: Hooks, auth: dict[str, str], header: str, value: str) -> None:
    account = new_account()
    await put(hooks, account, "token", "s3crét")
    config = {"auth": {**auth, "secret": "token"}, "headers": {"x-own": "overruled"}}
    seen = await sent(hooks, account, config)
    assert seen.headers.getall(header) == [value]


async def test_api_key_in_the_query(hooks: Hooks) -> None:
    account = new_account()
    await put(hooks, account, "token", "a&b")
    auth = {"kind": "api_key", "place": "query", "name": "key", "secret": "token"}
    assert (await sent(hooks, account, {"auth": auth, "query": {"q": 1}})).query == "q=1&key=a%26b"


@pytest.mark.parametrize(("algorithm", "encoding"), [("sha256", "hex"), ("sha512", "base64")])
async def test_hmac_of_the_body(hooks: Hooks, algorithm: str, encoding: str) -> None:
    account = new_account()
    await put(hooks, account, "token", "key")
    auth = {
        "kind": "hmac",
        "secret": "token",
        "header": "X-Hub-Signature",
        "algorithm": algorithm,
        "encoding": encoding,
        "prefix": "sig=",
    }
    seen = await sent(hooks, account, {"auth": auth, "body": {"a": 1}})
    digest = hmac.new(b"key", b'{"a":1}', algorithm).digest()
    text = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
    assert seen.headers["X-Hub-Signature"] == f"sig={text}"


async def test_no_auth_sends_no_credentials(hooks: Hooks) -> None:
    seen = await sent(hooks, new_account(), {"auth": {"kind": "none"}})
    assert not {"authorization", "x-api-key", "x-signature"} & {name.lower() for name in seen.headers}


async def test_unknown_secret_sends_nothing(hooks: Hooks) -> None:
    """Another account's secret of that name is unknown too."""
    await put(hooks, new_account(), "token", "x")
    url = hooks.site.url(f"/auth/{uuid.uuid4()}")
    seen = len(hooks.site.seen)
    result = await hooks.call({"url": url, "auth": {"kind": "bearer", "secret": "token"}})
    assert (result.failure.code, result.certainty) == ("SECRET_UNKNOWN", action_pb2.CERTAINTY_NOT_DONE)
    assert result.failure.error_class == failure_pb2.ERROR_CLASS_CONFIGURATION
    assert len(hooks.site.seen) == seen


async def test_process_secret_signs_for_accounts_without_their_own(hooks: Hooks) -> None:
    seen = await sent(hooks, new_account(), {"body": {"a": "ö"}})
    assert seen.headers["webhook-signature"] == by_hand(SECRET, seen)


async def test_own_secret_signs_and_rotates(hooks: Hooks) -> None:
    """For a day after a new value, receivers with the old one and with the new one both believe it."""
    account = new_account()
    await put(hooks, account, "webhook_signing", FIRST)
    seen = await sent(hooks, account, {"body": {"n": 1}})
    assert seen.headers["webhook-signature"] == by_hand(FIRST, seen)

    await put(hooks, account, "webhook_signing", SECOND)
    await put(hooks, account, "webhook_signing", SECOND)  # repeated: the old one stays the old one
    seen = await sent(hooks, account, {"body": {"n": 2}})
    assert seen.headers["webhook-signature"] == f"{by_hand(SECOND, seen)} {by_hand(FIRST, seen)}"
    for secret in (FIRST, SECOND):
        Webhook(secret).verify(seen.body, dict(seen.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(seen.body, dict(seen.headers))

    await hooks.client.database.execute(
        "UPDATE account_secret SET rotated_at = rotated_at - interval '24 hours' WHERE account_id = $1",
        account,
    )
    await hooks.admin.DeleteSecret(  # of no consequence, but the process then reads anew
        pb.DeleteSecretRequest(account_id=account, name="other"), timeout=TIMEOUT_S
    )
    seen = await sent(hooks, account, {"body": {"n": 3}})
    assert seen.headers["webhook-signature"] == by_hand(SECOND, seen)


def test_rotation_ends_after_24_hours() -> None:
    then = datetime(2026, 11, 1, tzinfo=UTC)
    secret = SealedSecret(b"new", b"old", then)
    assert secret.still_signing(then + timedelta(hours=24, seconds=-1)) == [b"new", b"old"]
    assert secret.still_signing(then + timedelta(hours=24)) == [b"new"]


async def test_secrets_are_listed_without_values_and_deleted(hooks: Hooks) -> None:
    account = new_account()
    await put(hooks, account, "b_token", "value-of-b")
    await put(hooks, account, "a_token", "value-of-a")
    await put(hooks, account, "a_token", "newer-value")
    listed = await hooks.admin.ListSecrets(pb.ListSecretsRequest(account_id=account), timeout=TIMEOUT_S)
    assert [(one.name, one.HasField("rotate_time")) for one in listed.secrets] == [
        ("a_token", True),
        ("b_token", False),
    ]
    assert b"value" not in listed.SerializeToString()
    rows = await hooks.client.database.fetch("SELECT * FROM account_secret WHERE account_id = $1", account)
    assert len(rows) == 2
    assert all(b"value" not in (row["secret_sealed"] + (row["previous_sealed"] or b"")) for row in rows)

    gone = pb.DeleteSecretRequest(account_id=account, name="a_token")
    for _ in range(2):
        await hooks.admin.DeleteSecret(gone, timeout=TIMEOUT_S)
    config = {"url": hooks.site.url("/"), "auth": {"kind": "bearer", "secret": "a_token"}}
    assert (await hooks.call(config, account=account)).failure.code == "SECRET_UNKNOWN"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Upper", "hush"),
        ("token", ""),
        ("token", "hush\nhush"),
        ("token", " hush"),
        ("token", "hush" * 1025),
        ("webhook_signing", "hush"),
    ],
)
async def test_what_is_no_secret_is_refused(hooks: Hooks, name: str, value: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await put(hooks, new_account(), name, value)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "hush" not in str(refused.value)


async def test_secrets_of_an_account_are_bounded(hooks: Hooks) -> None:
    account = new_account()
    for number in range(64):
        await put(hooks, account, f"s{number}", "x")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await put(hooks, account, "one_more", "x")
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    await put(hooks, account, "s0", "y")


async def test_secret_sealed_with_a_lost_key_fails_alone(hooks: Hooks) -> None:
    account = new_account()
    await hooks.client.database.execute(
        "INSERT INTO account_secret (account_id, name, secret_sealed) VALUES ($1, 'token', $2)",
        account,
        Keyring(9, {9: b"x" * 32}).seal("integrations.secret", account, b"value"),
    )
    config = {"url": hooks.site.url("/"), "auth": {"kind": "bearer", "secret": "token"}}
    result = await hooks.call(config, account=account)
    assert (result.failure.code, result.certainty) == ("SECRET_UNREADABLE", action_pb2.CERTAINTY_NOT_DONE)


async def test_secrets_that_cannot_be_read_send_nothing_and_are_tried_again(
    hooks: Hooks, postgres: Postgres
) -> None:
    """A failed read is not kept: the next call of the same account reads anew."""
    owner, account = await asyncpg.connect(postgres.dsn("wayfarer_integrations")), new_account()
    path = f"/auth/{uuid.uuid4()}"
    try:
        await owner.execute("REVOKE SELECT ON account_secret FROM wayfarer_integrations")
        result = await hooks.call({"url": hooks.site.url(path)}, account=account)
    finally:
        await owner.execute("GRANT SELECT ON account_secret TO wayfarer_integrations")
        await owner.close()
    assert (result.failure.code, result.certainty) == ("STANDING_UNREADABLE", action_pb2.CERTAINTY_NOT_DONE)
    assert result.failure.error_class == failure_pb2.ERROR_CLASS_DATABASE
    assert not hooks.site.at(path)
    result = await hooks.call({"url": hooks.site.url(path)}, account=account)
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED


async def test_one_read_serves_two_seconds_of_calls(hooks: Hooks) -> None:
    """Also for an account that keeps nothing; what another process changes is seen after two seconds."""
    now, account = 100.0, new_account()
    async with open_pool(hooks.client.environment["url"], name="test") as pool:
        book = AccountBook(pool, Keyring(1, {1: b"x" * 32}))
        standings = Standings(book, clock=lambda: now)
        empty, *others = await asyncio.gather(*(standings.of(account) for _ in range(20)))
        assert all(one is empty for one in others)
        assert (empty.sealed, empty.gone) == ({}, frozenset())
        await book.put_secret(account, "token", "x")
        now += KEPT_S - 0.1
        assert await standings.of(account) is empty
        now += 0.2
        assert (await standings.of(account)).secret("token") == "x"
        standings.forget(account)
        await pool.close()
        with pytest.raises(Exception, match="closed"):
            await standings.of(account)
