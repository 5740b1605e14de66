"""Which provider an account chose: put, shown, deleted, refused; credentials are never seen again.

R-ACT: providers per account; R-LOG-2: no credentials anywhere they may be read.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import grpc
import pytest
from wayfarer.action.v1 import action_pb2
from wayfarer.action.v1 import provider_service_pb2 as wire
from wayfarer.action.v1.provider_service_pb2_grpc import ProviderServiceStub

from services.executors.communication.sendgrid import SendGridCredentials
from services.executors.providers.accounts import ChangedMeanwhileError, ProviderAccounts
from services.executors.providers.offering import Chosen, Offered, ProviderSettings
from services.executors.providers.provider import CredentialsRefusedError, ProviderAccount
from services.local.postgres import Postgres
from services.runtime.config import host_port
from services.runtime.grpc_client import open_channel
from services.runtime.keyring import Keyring
from tests.contract.executors.email_world import (
    ACCOUNTS,
    EmailWorld,
    ServedSandbox,
    address,
    fields,
    reason,
)
from tests.contract.executors.world import TIMEOUT_S, Client

SECRET = "SG.never-to-be-seen-again"
SETTINGS = {"from_email": "hello@sender.test"}


@pytest.fixture(scope="module")
async def world(communication: Client, email_sandbox: ServedSandbox) -> AsyncIterator[EmailWorld]:
    async with open_channel(host_port(communication.address)) as channel:
        yield EmailWorld(communication, ProviderServiceStub(channel), email_sandbox)


@pytest.fixture
async def pool(communication: Client, postgres: Postgres) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(postgres.dsn("wayfarer_communication"), min_size=1, max_size=2) as made:
        yield made


async def listed(world: EmailWorld, account: int) -> list[wire.Provider]:
    request = wire.ListProvidersRequest(account_id=account)
    return list((await world.door.ListProviders(request, timeout=TIMEOUT_S)).providers)


async def test_settings_are_shown_and_credentials_only_named(
    world: EmailWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    account = next(ACCOUNTS)
    revision = await world.put(account, "sendgrid", SETTINGS, {"api_key": SECRET})
    (shown,) = await listed(world, account)
    assert (shown.channel, shown.provider, shown.revision) == ("email", "sendgrid", revision)
    assert json.loads(shown.settings)["from_email"] == "hello@sender.test"
    assert list(shown.credential_names) == ["api_key"]
    assert shown.update_time.seconds > 1_700_000_000
    assert SECRET not in str(shown)
    row = await world.client.database.fetchrow(
        "SELECT * FROM provider_account WHERE account_id = $1", account
    )
    assert row is not None
    assert SECRET not in str(dict(row))
    await world.client.execute(world.action(account, address()))
    captured = capfd.readouterr()
    assert SECRET not in captured.out + captured.err


def test_nothing_shows_credentials() -> None:
    account = ProviderAccount(7, "email", "sendgrid", {}, {"api_key": SECRET}, 1)
    assert SECRET not in repr(account)
    credentials = SendGridCredentials(api_key=SECRET)
    assert SECRET not in f"{credentials!r} {credentials!s}"


async def test_credentials_left_out_are_kept_with_their_provider_only(world: EmailWorld) -> None:
    account = await world.account_with("sendgrid")
    settings = {**SETTINGS, "base_url": world.served.url, "from_name": "New"}
    await world.put(account, "sendgrid", settings, None)
    result = await world.client.execute(world.action(account, address()))
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED, result
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await world.put(account, "resend", SETTINGS, None)
    assert fields(error.value) == {"credentials.api_key"}
    assert [one.provider for one in await listed(world, account)] == ["sendgrid"]


@pytest.mark.parametrize(
    ("provider", "settings", "credentials", "paths"),
    [
        ("sendgrid", {}, {}, {"settings.from_email", "credentials.api_key"}),
        (
            "sendgrid",
            {"from_email": "nobody"},
            {"api_key": "a\nb"},
            {"settings.from_email", "credentials.api_key"},
        ),
        ("sendgrid", {**SETTINGS, "base_url": "ftp://x"}, {"api_key": "x"}, {"settings.base_url"}),
        ("sendgrid", {**SETTINGS, "base_url": "http://u:p@x"}, {"api_key": "x"}, {"settings.base_url"}),
        (
            "sendgrid",
            {**SETTINGS, "webhook_public_key": "AAAA"},
            {"api_key": "x"},
            {"settings.webhook_public_key"},
        ),
        ("sendgrid", {**SETTINGS, "api_key": "x"}, {"api_key": "x"}, {"settings.api_key"}),
        ("resend", SETTINGS, {"api_key": "x", "webhook_secret": SECRET}, {"credentials.webhook_secret"}),
        (
            "smtp",
            {**SETTINGS, "host": "a b", "port": 0},
            {"user": "ö"},
            {"settings.host", "settings.port", "credentials.user"},
        ),
        (
            "smtp",
            {**SETTINGS, "host": "a", "security": "ssl"},
            {"pass": "x"},
            {"settings.security", "credentials.pass"},
        ),
    ],
)
async def test_every_fault_of_a_choice_is_named(
    world: EmailWorld, provider: str, settings: dict[str, Any], credentials: dict[str, Any], paths: set[str]
) -> None:
    account = next(ACCOUNTS)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await world.put(account, provider, settings, credentials)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert fields(error.value) == paths
    assert SECRET not in f"{error.value.details()} {error.value.trailing_metadata()}"
    assert not await listed(world, account)


async def test_unknown_providers_and_odd_requests(world: EmailWorld, crm: Client) -> None:
    for channel, provider, code in (("email", "nobody", "NOT_FOUND"), ("sms", "sendgrid", "NOT_FOUND")):
        request = wire.PutProviderRequest(account_id=1, channel=channel, provider=provider)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await world.door.PutProvider(request, timeout=TIMEOUT_S)
        assert error.value.code() == grpc.StatusCode[code]
        assert reason(error.value)[0] == "PROVIDER_UNKNOWN"
    odd = wire.PutProviderRequest(account_id=1, channel="email", provider="smtp", settings=b"[]")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await world.door.PutProvider(odd, timeout=TIMEOUT_S)
    assert fields(error.value) == {"settings"}
    # Every family has the door, also one that offers nothing.
    async with open_channel(host_port(crm.address)) as channel_to_crm:
        empty = await ProviderServiceStub(channel_to_crm).ListProviders(
            wire.ListProvidersRequest(account_id=1), timeout=TIMEOUT_S
        )
        assert not empty.providers


async def test_a_forgotten_choice_is_the_default_again(world: EmailWorld) -> None:
    account = await world.account_with("sendgrid")
    request = wire.DeleteProviderRequest(account_id=account, channel="email")
    for _ in range(2):
        await world.door.DeleteProvider(request, timeout=TIMEOUT_S)
    assert not await listed(world, account)
    result = await world.client.execute(world.action(account, address()))
    assert json.loads(result.output)["provider"] == "smtp"
    # Made anew, it is not mistaken for what it was.
    settings = {**SETTINGS, "base_url": world.served.url}
    await world.put(account, "resend", settings, {"api_key": "re_x"})
    result = await world.client.execute(world.action(account, address()))
    assert json.loads(result.output)["provider"] == "resend"


async def test_changes_at_once_all_have_their_own_revision(world: EmailWorld) -> None:
    account = next(ACCOUNTS)
    revisions = await asyncio.gather(
        *(world.put(account, "sendgrid", SETTINGS, {"api_key": f"SG.{n}"}) for n in range(4))
    )
    assert len(set(revisions)) == 4
    (shown,) = await listed(world, account)
    assert shown.revision == max(revisions)


async def test_a_change_over_another_is_refused(pool: asyncpg.Pool, keyring: Any) -> None:
    accounts = ProviderAccounts(pool, Keyring.load(keyring))
    account = next(ACCOUNTS)
    first = ProviderAccount(account, "email", "sendgrid", {}, {"api_key": "a"}, 0)
    revision = await accounts.put(first)
    for stale in (0, revision - 1, revision + 1):
        with pytest.raises(ChangedMeanwhileError):
            await accounts.put(ProviderAccount(account, "email", "smtp", {}, {}, stale))
    await accounts.delete(account, "email")
    with pytest.raises(ChangedMeanwhileError):
        await accounts.put(ProviderAccount(account, "email", "smtp", {}, {}, revision))


async def test_actions_cost_no_query_each(postgres: Postgres, communication: Client, keyring: Any) -> None:
    queries: list[str] = []

    def note(query: asyncpg.connection.LoggedQuery) -> None:
        queries.append(query.query)

    async def watch(connection: asyncpg.Connection) -> None:
        connection.add_query_logger(note)

    async with asyncpg.create_pool(postgres.dsn("wayfarer_communication"), setup=watch) as watched:
        accounts = ProviderAccounts(watched, Keyring.load(keyring))
        account = next(ACCOUNTS)
        await accounts.put(ProviderAccount(account, "email", "sendgrid", {}, {"api_key": "a"}, 0))
        queries.clear()
        found = await asyncio.gather(*(accounts.get(account, "email") for _ in range(50)))
        found += [await accounts.get(account, "email") for _ in range(50)]
        assert {one.provider for one in found if one is not None} == {"sendgrid"}
        assert await accounts.get(account, "sms") is None
        assert len([query for query in queries if "provider_account" in query]) == 1
        # What this process changes, it knows at once.
        await accounts.delete(account, "email")
        assert await accounts.get(account, "email") is None


async def test_a_mark_that_another_process_cleared_is_not_waited_for(
    pool: asyncpg.Pool, keyring: Any
) -> None:
    """R-ERR-1: what new credentials woke may come to a process that has read the mark just before."""
    keys = Keyring.load(keyring)
    here, there = ProviderAccounts(pool, keys), ProviderAccounts(pool, keys)
    account = ProviderAccount(next(ACCOUNTS), "email", "sendgrid", {}, {"api_key": "old"}, 0)
    revision = await there.put(account)
    await there.mark(replace(account, revision=revision), "401", "revoked")
    offers = {"sendgrid": Offered(ProviderSettings, SendGridCredentials, lambda one: one.credentials)}
    chosen = Chosen(here, "email", offers)
    with pytest.raises(CredentialsRefusedError):
        async with chosen.acting(account.account_id):
            pytest.fail("nothing goes out with refused credentials")
    await there.put(replace(account, revision=revision, credentials={"api_key": "new"}))
    async with chosen.acting(account.account_id) as credentials:
        assert credentials == {"api_key": "new"}
