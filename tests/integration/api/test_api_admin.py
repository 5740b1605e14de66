"""AdminService: accounts, settings, limits and keys by role. R-API-1, R-LIMIT-1, R-LIMIT-4, A-45, G18."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from wayfarer.admin.v1 import account_pb2
from wayfarer.admin.v1 import admin_service_pb2 as pb

from tests.integration.api.world import NOWHERE, Client, World, refused, tagging


async def platform(world: World) -> Client:
    client = await world.client()
    await world.owner.execute("UPDATE api_key SET role = 3 WHERE account_id = $1", client.account_id)
    return client


def holding(client: Client, secret: str) -> Client:
    """The same account's caller with another key."""
    return client.with_key(secret)


async def update(
    client: Client, *paths: str, settings: dict[str, Any] | None = None, **fields: Any
) -> account_pb2.Account:
    account = account_pb2.Account(settings=account_pb2.AccountSettings(**settings or {}), **fields)
    request = pb.UpdateAccountRequest(account=account, update_mask=FieldMask(paths=paths))
    answer: pb.UpdateAccountResponse = await client.call(client.admin.UpdateAccount, request)
    return answer.account


async def make_key(client: Client, role: int, actor: str = "ci") -> tuple[str, str]:
    request = pb.CreateApiKeyRequest(actor=actor, role=role)  # type: ignore[arg-type]
    answer = await client.call(client.admin.CreateApiKey, request)
    return answer.key.id, answer.secret


async def test_settings_are_kept_part_by_part(client: Client) -> None:
    hours = account_pb2.BusinessHours(days=["mon", "fri"], to="18:00")
    settings: dict[str, Any] = {
        "time_zone": "Europe/Berlin",
        "business_hours": hours,
        "holidays": ["2026-12-25", "05-01"],
        "rates": {"email": account_pb2.Rate(per_second=10.5, per_day=1000)},
        "notifications": account_pb2.Notifications(email=["ops@example.org"], digest=Duration(seconds=90)),
        "retention": account_pb2.Retention(history_days=30),
    }
    made = await update(
        client, "settings", "name", "active_limit", settings=settings, name="Shop", active_limit=1000
    )
    assert (made.name, made.active_limit) == ("Shop", 1000)
    assert made.settings == account_pb2.AccountSettings(**settings)
    got = (await client.call(client.admin.GetAccount, pb.GetAccountRequest())).account
    assert got == made
    changed = await update(
        client, "settings.time_zone", "settings.holidays", settings={"time_zone": "Asia/Tokyo"}
    )
    assert changed.settings.time_zone == "Asia/Tokyo"
    assert not changed.settings.holidays
    assert changed.settings.rates["email"].per_day == 1000
    assert changed.name == "Shop"


async def test_every_fault_is_told_at_once_and_nothing_is_changed(client: Client) -> None:
    before = (await client.call(client.admin.GetAccount, pb.GetAccountRequest())).account
    settings: dict[str, Any] = {
        "time_zone": "Mars/Base",
        "business_hours": account_pb2.BusinessHours(to="08:00"),
        "holidays": ["25-12"],
        "rates": {"Bad Lane": account_pb2.Rate(), "email": account_pb2.Rate(per_second=-1)},
        "notifications": account_pb2.Notifications(
            email=["nobody"], webhook=["ftp://x"], digest=Duration(seconds=1)
        ),
        "retention": account_pb2.Retention(history_days=5_000, event_days=1),
    }
    refusal = await refused(
        update(client, "settings", "active_limit", "name", settings=settings, active_limit=0)
    )
    assert refusal.reason == "VALUES_INVALID"
    assert set(refusal.rules) == {
        "settings.time_zone",
        "settings.business_hours",
        "settings.holidays",
        "settings.rates[Bad Lane]",
        "settings.rates[email].per_second",
        "settings.notifications.email[0]",
        "settings.notifications.webhook[0]",
        "settings.notifications.digest",
        "settings.retention.history_days",
        "settings.retention.event_days",
        "account.active_limit",
        "account.name",
    }
    assert (await refused(update(client, "settings.colour"))).rules == {"update_mask": "path"}
    assert (await client.call(client.admin.GetAccount, pb.GetAccountRequest())).account == before


async def test_keys_act_by_their_role_and_name(client: Client) -> None:
    """A MEMBER key does everything but this; the log names its actor."""
    _, secret = await make_key(client, account_pb2.ROLE_MEMBER, "robot")
    member = holding(client, secret)
    refusal = await refused(member.call(member.admin.GetAccount, pb.GetAccountRequest()))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_REQUIRED")
    assert refusal.metadata == {"role": "ADMIN"}
    await member.publish(tagging())
    execution_id = (await member.start("tagging", (await member.contact()).id)).execution.id
    await member.cancel(execution_id)
    (entry,) = [e for e in (await member.logs(execution_id)).log_entries if e.event == "cancelled"]
    assert entry.detail["actor"] == "robot"
    refusal = await refused(make_key(client, account_pb2.ROLE_PLATFORM))
    assert refusal.metadata == {"role": "PLATFORM"}


async def test_rotation_lets_the_old_key_work_for_the_overlap(world: World, client: Client) -> None:
    key_id, secret = await make_key(client, account_pb2.ROLE_ADMIN)
    request = pb.RotateApiKeyRequest(key_id=key_id, overlap=Duration(seconds=3600))
    answer = await client.call(client.admin.RotateApiKey, request)
    assert (answer.key.actor, answer.key.role) == ("ci", account_pb2.ROLE_ADMIN)
    for one in (secret, answer.secret):
        await holding(client, one).call(client.admin.GetAccount, pb.GetAccountRequest())
    await world.let_pass(timedelta(hours=2))
    # A key is known for at most five seconds without being looked up: one never used shows it at once.
    fresh = pb.RotateApiKeyRequest(key_id=answer.key.id)
    await client.call(client.admin.RotateApiKey, fresh)
    listed = (await client.call(client.admin.ListApiKeys, pb.ListApiKeysRequest())).keys
    assert len(listed) == 4
    assert sum(key.HasField("expire_time") for key in listed) == 2
    refusal = await refused(client.call(client.admin.RotateApiKey, request))
    assert refusal.reason == "KEY_NOT_FOUND"


async def test_a_revoked_key_is_refused(client: Client) -> None:
    key_id, secret = await make_key(client, account_pb2.ROLE_MEMBER)
    answer = await client.call(client.admin.RevokeApiKey, pb.RevokeApiKeyRequest(key_id=key_id))
    assert answer.key.HasField("revoke_time")
    refusal = await refused(holding(client, secret).listed())
    assert refusal.code == grpc.StatusCode.UNAUTHENTICATED
    assert (
        await refused(client.call(client.admin.RevokeApiKey, pb.RevokeApiKeyRequest(key_id=key_id)))
    ).reason == "KEY_NOT_FOUND"


async def test_the_last_admin_key_stays(client: Client) -> None:
    (key,) = (await client.call(client.admin.ListApiKeys, pb.ListApiKeysRequest())).keys
    request = pb.RevokeApiKeyRequest(key_id=key.id)
    assert (await refused(client.call(client.admin.RevokeApiKey, request))).reason == "LAST_ADMIN_KEY"
    await make_key(client, account_pb2.ROLE_ADMIN)
    await client.call(client.admin.RevokeApiKey, request)


async def test_the_platform_makes_and_manages_accounts(world: World) -> None:
    owner = await platform(world)
    request = pb.CreateAccountRequest(name=f"New {uuid4()}", actor="first admin")
    made = await owner.call(owner.admin.CreateAccount, request)
    assert made.key.role == account_pb2.ROLE_ADMIN
    theirs = holding(owner, made.secret)
    got = (await theirs.call(theirs.admin.GetAccount, pb.GetAccountRequest())).account
    assert got.id == made.account.id
    change = pb.UpdateAccountRequest(
        account_id=got.id,
        account=account_pb2.Account(active_limit=7),
        update_mask=FieldMask(paths=["active_limit"]),
    )
    await owner.call(owner.admin.UpdateAccount, change)
    assert (await theirs.call(theirs.admin.GetAccount, pb.GetAccountRequest())).account.active_limit == 7
    listed = await owner.call(owner.admin.ListAccounts, pb.ListAccountsRequest(page_size=1))
    assert [account.id for account in listed.accounts] == [got.id]
    more = pb.ListAccountsRequest(page_size=1, page_token=listed.next_page_token)
    assert (await owner.call(owner.admin.ListAccounts, more)).accounts[0].id < got.id
    for method, request_ in (
        (theirs.admin.ListAccounts, pb.ListAccountsRequest()),
        (theirs.admin.CreateAccount, pb.CreateAccountRequest(name="x", actor="y")),
    ):
        assert (await refused(theirs.call(method, request_))).reason == "ROLE_REQUIRED"


@pytest.mark.parametrize(
    "rpc", ["GetAccount", "UpdateAccount", "CreateApiKey", "ListApiKeys", "RotateApiKey", "RevokeApiKey"]
)
async def test_another_account_is_not_found(client: Client, other: Client, rpc: str) -> None:
    """A-45: with the other's number, or with one of its keys' ids."""
    more: dict[str, dict[str, Any]] = {
        "UpdateAccount": {"account": account_pb2.Account(name="x"), "update_mask": FieldMask(paths=["name"])},
        "CreateApiKey": {"actor": "x"},
        "RotateApiKey": {"key_id": NOWHERE},
        "RevokeApiKey": {"key_id": NOWHERE},
    }
    extra = more.get(rpc, {})
    request = getattr(pb, f"{rpc}Request")(account_id=other.account_id, **extra)
    assert (await refused(client.call(getattr(client.admin, rpc), request))).reason == "ACCOUNT_NOT_FOUND"
    if "key_id" in extra:
        (key,) = (await other.call(other.admin.ListApiKeys, pb.ListApiKeysRequest())).keys
        request = getattr(pb, f"{rpc}Request")(key_id=key.id)
        assert (await refused(client.call(getattr(client.admin, rpc), request))).reason == "KEY_NOT_FOUND"
