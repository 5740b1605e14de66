"""Internal networks stay out of reach, over redirects and names that turn; and what redirects do else.

R-ACT: webhook_call.
"""

import json
import uuid

import pytest
from wayfarer.action.v1 import action_pb2
from wayfarer.common.v1 import failure_pb2
from wayfarer.integrations.v1 import integrations_admin_service_pb2 as pb

from tests.contract.executors.webhook_site import Hooks, new_account
from tests.contract.executors.world import TIMEOUT_S

SPELLINGS = [
    "127.0.0.1",
    "2130706433",
    "0177.0.0.1",
    "017700000001",
    "0x7f000001",
    "0x7f.1",
    "127.1",
    "localhost",
    "LOCALHOST",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:7f00:0001]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1%25lo]",
    "0",
    "169.254.169.254",
    "10.0.0.1",
]


def chain(hooks: Hooks, hops: int, end: str, status: int = 307) -> str:
    """A URL that redirects so often, and then to `end`."""
    for _ in range(hops):
        path = f"/hop/{uuid.uuid4()}"
        end = hooks.site.answers(path, status, location=end)
    return end


async def refused(hooks: Hooks, url: str, **config: object) -> None:
    result = await hooks.call({"url": url, "follow_redirects": True, **config})
    assert result.failure.code == "ADDRESS_REFUSED", result
    assert result.failure.error_class == failure_pb2.ERROR_CLASS_CONFIGURATION
    assert result.certainty == action_pb2.CERTAINTY_NOT_DONE
    assert not hooks.forbidden.seen


@pytest.mark.parametrize("host", SPELLINGS)
async def test_every_spelling_is_refused(hooks: Hooks, host: str) -> None:
    await refused(hooks, hooks.forbidden.url("/", host))


@pytest.mark.parametrize("host", SPELLINGS)
async def test_every_spelling_is_refused_after_a_redirect(hooks: Hooks, host: str) -> None:
    await refused(hooks, chain(hooks, 1, hooks.forbidden.url("/", host)))


@pytest.mark.parametrize("hops", [1, 2, 3, 4, 5])
async def test_each_hop_is_guarded(hooks: Hooks, hops: int) -> None:
    await refused(hooks, chain(hooks, hops, hooks.forbidden.url("/")))


async def test_only_the_allowed_pair_and_spelling_is_allowed(hooks: Hooks) -> None:
    """The allowed port under another spelling of its host, and its host with another port."""
    seen = len(hooks.site.seen)
    await refused(hooks, hooks.site.url("/", "127.1"))
    await refused(hooks, hooks.site.url("/", "[::ffff:127.0.0.1]"))
    await refused(hooks, hooks.forbidden.url("/"))
    assert len(hooks.site.seen) == seen


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fd00::1"],
)
async def test_a_name_that_leads_inside_is_refused(hooks: Hooks, address: str) -> None:
    name = f"{uuid.uuid4()}.test"
    hooks.names.answers[name] = [[address]]
    await refused(hooks, hooks.forbidden.url("/", name))


async def test_a_name_that_was_public_before_is_judged_anew(hooks: Hooks) -> None:
    """First a public answer, which the guard lets pass; then the same name leads inside."""
    hooks.names.answers["turning.test"] = [["93.184.215.14"], ["127.0.0.1"]]
    first = await hooks.call({"url": hooks.elsewhere.url("/", "turning.test")})
    assert (first.failure.code, first.certainty) == ("CONNECT_FAILED", action_pb2.CERTAINTY_NOT_DONE)
    await refused(hooks, hooks.forbidden.url("/", "turning.test"))
    assert hooks.names.asked.count("turning.test") == 2


async def test_a_name_is_asked_once_per_connection(hooks: Hooks) -> None:
    """What is judged is what is connected to: no second answer comes between."""
    hooks.names.answers["once.test"] = [["93.184.215.14"], ["127.0.0.1"]]
    result = await hooks.call({"url": hooks.forbidden.url("/", "once.test")})
    assert result.failure.code == "CONNECT_FAILED"
    assert hooks.names.asked.count("once.test") == 1
    assert not hooks.forbidden.seen


async def test_a_name_that_turns_between_redirects_is_refused(hooks: Hooks) -> None:
    """An allowed name and port, which sends us to the same name's other port, now leading inside."""
    hooks.names.answers["hooks.test"] = [["127.0.0.1"]]
    path = f"/turn/{uuid.uuid4()}"
    hooks.site.answers(path, 307, location=hooks.forbidden.url("/", "hooks.test"))
    await refused(hooks, hooks.site.url(path, "hooks.test"))
    assert len(hooks.site.at(path)) == 1


async def test_an_internal_address_among_public_ones_is_refused(hooks: Hooks) -> None:
    hooks.names.answers["both.test"] = [["93.184.215.14", "2606:2800:21f::1", "127.0.0.1"]]
    await refused(hooks, hooks.forbidden.url("/", "both.test"))


async def test_redirects_are_not_followed_unless_asked(hooks: Hooks) -> None:
    result = await hooks.call({"url": chain(hooks, 1, hooks.site.url("/never"), status=308)})
    assert (result.failure.code, result.certainty) == ("HTTP_308", action_pb2.CERTAINTY_NOT_DONE)
    assert result.failure.error_class == failure_pb2.ERROR_CLASS_VALIDATION
    assert not hooks.site.at("/never")


async def test_five_redirects_and_not_six(hooks: Hooks) -> None:
    end = f"/end/{uuid.uuid4()}"
    url = chain(hooks, 5, hooks.site.url(end))
    assert (await hooks.call({"url": url, "follow_redirects": True})).outcome == 1
    result = await hooks.call({"url": chain(hooks, 1, url), "follow_redirects": True})
    assert result.failure.code == "TOO_MANY_REDIRECTS"
    assert result.failure.error_class == failure_pb2.ERROR_CLASS_VALIDATION
    assert len(hooks.site.at(end)) == 1


@pytest.mark.parametrize(
    ("method", "status", "then"),
    [
        ("POST", 301, "GET"),
        ("POST", 302, "GET"),
        ("POST", 303, "GET"),
        ("POST", 307, "POST"),
        ("POST", 308, "POST"),
        ("PUT", 301, "PUT"),
        ("PATCH", 302, "PATCH"),
        ("DELETE", 303, "GET"),
        ("GET", 302, "GET"),
    ],
)
async def test_method_and_body_after_a_redirect(hooks: Hooks, method: str, status: int, then: str) -> None:
    end = f"/then/{uuid.uuid4()}"
    url = chain(hooks, 1, end, status)  # a relative Location
    config = {"url": url, "method": method, "body": {"a": 1}, "follow_redirects": True}
    result = await hooks.call(config)
    assert json.loads(result.output)["body"] == {"taken": True}
    (seen,) = hooks.site.at(end)
    kept = then == method
    assert (seen.method, seen.body) == (then, b'{"a":1}' if kept else b"")
    assert ("Content-Type" in seen.headers) == kept


@pytest.mark.parametrize("away", [False, True])
async def test_credentials_stay_with_the_origin(hooks: Hooks, away: bool) -> None:
    """Nor are they given back when the way leads home again."""
    account = new_account()
    request = pb.PutSecretRequest(account_id=account, name="token", value="s3cret")
    await hooks.admin.PutSecret(request, timeout=TIMEOUT_S)
    end = f"/end/{uuid.uuid4()}"
    there = hooks.site.url(end)
    if away:
        there = hooks.elsewhere.answers(end, 307, location=there)
    config = {
        "url": chain(hooks, 1, there),
        "follow_redirects": True,
        "auth": {"kind": "bearer", "secret": "token"},
        "headers": {"X-Mine": "m", "Accept": "text/plain", "Content-Type": "application/x"},
        "body": 1,
    }
    assert (await hooks.call(config, account=account)).outcome == action_pb2.OUTCOME_SUCCEEDED
    for seen in hooks.site.at(end) + hooks.elsewhere.at(end):
        assert ("Authorization" in seen.headers) == ("X-Mine" in seen.headers) == (not away)
        assert (seen.headers["Accept"], seen.headers["Content-Type"]) == ("text/plain", "application/x")
        assert "webhook-signature" in seen.headers
    assert len(hooks.elsewhere.at(end)) == away


async def test_the_signature_is_of_what_each_hop_gets(hooks: Hooks) -> None:
    account, end = new_account(), f"/end/{uuid.uuid4()}"
    request = pb.PutSecretRequest(account_id=account, name="token", value="s3cret")
    await hooks.admin.PutSecret(request, timeout=TIMEOUT_S)
    url = chain(hooks, 1, end, 303)
    auth = {"kind": "hmac", "secret": "token"}
    config = {"url": url, "body": {"a": 1}, "auth": auth, "follow_redirects": True}
    assert (await hooks.call(config, account=account)).outcome == action_pb2.OUTCOME_SUCCEEDED
    (first,), (last,) = hooks.site.at(url.removeprefix(hooks.site.url(""))), hooks.site.at(end)
    assert first.headers["webhook-id"] == last.headers["webhook-id"]
    for name in ("webhook-signature", "X-Signature"):
        assert first.headers[name] != last.headers[name]


@pytest.mark.parametrize(
    "location", ["ftp://example.com/", "http://u:p@example.com/", "http://example.com:22/", "http://[::1"]
)
async def test_where_a_redirect_may_not_lead(hooks: Hooks, location: str) -> None:
    result = await hooks.call({"url": chain(hooks, 1, location), "follow_redirects": True})
    assert (result.failure.code, result.certainty) == ("REDIRECT_REFUSED", action_pb2.CERTAINTY_NOT_DONE)
    assert result.failure.error_class == failure_pb2.ERROR_CLASS_CONFIGURATION


@pytest.mark.parametrize(("status", "certainty"), [(303, "INDETERMINATE"), (307, "NOT_DONE")])
@pytest.mark.parametrize("end", ["closed", "forbidden", "missing"])
async def test_a_post_that_was_sent_on_to_fetch_may_be_done(
    hooks: Hooks, status: int, certainty: str, end: str
) -> None:
    """A receiver that says "see other" has taken the request; one that says "send it there" has not."""
    ends = {
        "closed": f"http://127.0.0.1:{hooks.closed_port}/",
        "forbidden": hooks.forbidden.url("/"),
        "missing": hooks.site.answers("/missing", 404),
    }
    result = await hooks.call({"url": chain(hooks, 1, ends[end], status), "follow_redirects": True})
    codes = {"closed": "CONNECT_FAILED", "forbidden": "ADDRESS_REFUSED", "missing": "HTTP_404"}
    assert result.failure.code == codes[end]
    assert action_pb2.Certainty.Name(result.certainty) == f"CERTAINTY_{certainty}"
