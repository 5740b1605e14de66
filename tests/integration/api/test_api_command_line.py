"""The command line's families for an account's affairs: accounts, keys, notifications, providers. R-API-1."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.integration.api.world import Client, World
from tests.support.stacks import Done, command, wayfarer
from tests.support.terminal import terminal

Run = Callable[..., Awaitable[Done]]


def access(world: World, key: str) -> dict[str, str]:
    return {
        "WAYFARER_ADDRESS": world.stack.address,
        "WAYFARER_API_KEY": key,
        "COLUMNS": "200",
        "NO_COLOR": "1",
    }


@pytest.fixture
def cli(world: World, client: Client) -> Run:
    """`wayfarer`, with an ADMIN key of an account of its own unless another key is given."""

    async def run(*words: str, key: str = client.key) -> Done:
        return await command(wayfarer(), *words, environment=access(world, key))

    return run


async def test_settings_are_set_and_unset_part_by_part(cli: Run) -> None:
    """R-API-1: what is not named stays; a fault names its field and changes nothing."""
    assert (await cli("accounts", "set", "time_zone", "Europe/Berlin")).code == 0
    rates = '{"email": {"per_second": 5}}'
    shown = (await cli("accounts", "set", "rates", rates, "--json")).json()
    assert shown["settings"]["rates"]["email"]["per_second"] == 5
    assert shown["settings"]["time_zone"] == "Europe/Berlin"
    table = (await cli("accounts", "update", "--name", "Tents [and] more", "--active-limit", "7")).out
    for told in ("Tents [and] more", "active limit", " 7", "Europe/Berlin", '{"email": {"per_second": 5}}'):
        assert told in table
    assert "rates" not in (await cli("accounts", "unset", "rates")).out
    refused = await cli("accounts", "set", "time_zone", "Mars/Olympus")
    assert (refused.code, "settings.time_zone" in refused.err) == (1, True)
    assert (await cli("accounts", "show", "--json")).json()["settings"]["time_zone"] == "Europe/Berlin"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("accounts", "set", "rates", "{"), "is no rates"),
        (("accounts", "set", "rates", '{"email": {"per_hour": 1}}'), "per_hour"),
        (("accounts", "set", "color", "red"), "time_zone"),
        (("accounts", "update"), "--active-limit"),
        (("notifications", "set"), "--digest"),
        (("notifications", "add", "pigeon", "coop"), "webhook"),
        (("keys", "create", "x", "--role", "king"), "MEMBER"),
        (("providers", "set", "email", "smtp", "--settings", "[]"), "--settings"),
        (("providers", "set", "email", "smtp", "--credentials-from", "/nowhere/at/all"), "/nowhere/at/all"),
    ],
)
async def test_wrong_usage_says_what_is_right(cli: Run, words: tuple[str, ...], told: str) -> None:
    done = await cli(*words)
    assert (done.code, done.out) == (2, "")
    assert told in done.err


async def test_keys_are_made_rotated_and_revoked(cli: Run) -> None:
    """R-API-1: the secret alone is on standard output; each works until it is ended."""
    made = await cli("keys", "create", "importer", "--role", "admin")
    secret = made.out.strip()
    assert (made.out, "ADMIN importer" in made.err) == (f"{secret}\n", True)
    listed = (await cli("keys", "list", "--json", key=secret)).json()["keys"]
    assert (listed[0]["actor"], listed[0]["role"]) == ("importer", "ADMIN")
    rotated = (await cli("keys", "rotate", listed[0]["id"], "--overlap", "1h", "--json")).json()
    assert (await cli("keys", "list", key=secret)).code == 0
    table = (await cli("keys", "list", key=rotated["secret"])).out
    assert (table.count("importer"), rotated["key"]["id"] in table) == (2, True)
    assert (await cli("keys", "revoke", rotated["key"]["id"])).out == f"{rotated['key']['id']}: revoked\n"
    unknown = await cli("keys", "revoke", "01890a5d-ac96-774b-bcce-b302099a8057")
    assert (unknown.code, "NOT_FOUND" in unknown.err) == (1, True)


async def test_who_is_told_is_changed_one_by_one(cli: Run) -> None:
    """R-API-1: the others stay, with the digest."""
    assert (await cli("notifications", "show")).out == "nobody is told\n"
    await cli("notifications", "set", "--digest", "5m")
    await cli("notifications", "add", "email", "ops@example.com")
    await cli("notifications", "add", "email", "ops@example.com")
    table = (await cli("notifications", "add", "slack", "https://hooks.example.com/x")).out
    for told in ("within 5 min", "ops@example.com", "slack"):
        assert told in table
    kept = (await cli("notifications", "remove", "email", "ops@example.com", "--json")).json()
    assert (kept["email"], kept["slack"], kept["digest"]) == ([], ["https://hooks.example.com/x"], "300s")
    off = await cli("notifications", "set", "--off")
    assert off.out.startswith("nobody is told: it is off\n")
    assert (await cli("notifications", "set", "--on", "--json")).json()["off"] is False
    gone = await cli("notifications", "remove", "email", "ops@example.com")
    assert (gone.code, gone.out) == (1, "")
    refused = await cli("notifications", "add", "webhook", "not a url")
    assert (refused.code, "VALUES_INVALID" in refused.err) == (1, True)


async def test_providers_are_chosen_without_their_secrets_being_shown(cli: Run, tmp_path: Path) -> None:
    """R-API-1: credentials come from a file, not from the command line."""
    file = tmp_path / "key.json"
    file.write_text('{"api_key": "SG.never-to-be-seen"}')
    settings = json.dumps({"from_email": "hello@example.com"})
    words = ("providers", "set", "email", "sendgrid", "--settings", settings, "--credentials-from", str(file))
    assert (await cli(*words)).out == "email: sendgrid\n"
    table = (await cli("providers", "list")).out
    for told in ("email", "sendgrid", "ready", "api_key", "hello@example.com"):
        assert told in table
    (listed,) = (await cli("providers", "list", "--json")).json()["providers"]
    assert (listed["state"], listed["credential_names"]) == ("READY", ["api_key"])
    assert "never-to-be-seen" not in table
    assert (await cli("providers", "remove", "email")).out == "email: nothing chosen\n"
    assert "no choices" in (await cli("providers", "list")).out
    file.write_text('{"api_key": 7}')
    assert (await cli(*words)).code == 2


async def test_the_platform_makes_accounts_and_acts_for_them(world: World, client: Client, cli: Run) -> None:
    """R-API-1: with a PLATFORM key only."""
    await world.owner.execute("UPDATE api_key SET role = 3 WHERE account_id = $1", client.account_id)
    admin = (await cli("keys", "create", "not the platform", "--role", "admin")).out.strip()
    refused = await cli("accounts", "list", key=admin)
    assert (refused.code, "ROLE_REQUIRED" in refused.err) == (1, True)
    made = (await cli("accounts", "create", "Northwind", "--actor", "founder", "--json")).json()
    number = str(made["account"]["id"])
    assert "Northwind" in (await cli("accounts", "list", "--limit", "3")).out
    await cli("accounts", "update", "--account", number, "--name", "Southwind")
    shown = await cli("accounts", "show", "--json", key=made["secret"])
    assert (shown.json()["id"], shown.json()["name"]) == (made["account"]["id"], "Southwind")


async def test_the_shell_completes_parts_kinds_roles_keys_and_targets(world: World, client: Client) -> None:
    """What a shell asks for, word by word."""

    async def offered(*words: str) -> list[str]:
        environment = {
            **access(world, client.key),
            "_WAYFARER_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(("wayfarer", *words)),
            "COMP_CWORD": str(len(words)),
        }
        async with terminal(wayfarer(), environment=environment) as shell:
            await shell.ended()
            await shell.shows("\n")
            return shell.text.split()

    told = await command(
        wayfarer(), "notifications", "add", "email", "ops@example.com", environment=access(world, client.key)
    )
    assert told.code == 0
    assert await offered("accounts", "set", "tim") == ["time_zone"]
    assert await offered("notifications", "add", "sl") == ["slack"]
    assert await offered("notifications", "remove", "email", "ops") == ["ops@example.com"]
    assert await offered("keys", "create", "x", "--role", "mem") == ["member"]
    (key,) = await offered("keys", "revoke", "0")
    assert len(key) == 36
