"""What a webhook_call's config makes of a request, field by field, as the receiver sees it.

R-ACT: webhook_call. R-ERR-1.
"""

import json
import uuid
from typing import Any
from urllib.parse import parse_qsl

import pytest
from wayfarer.action.v1 import action_executor_pb2 as wire
from wayfarer.action.v1 import action_pb2
from wayfarer.common.v1 import failure_pb2

from tests.contract.executors.webhook_site import Hooks, Seen
from tests.contract.executors.world import TIMEOUT_S, make_action

URL = "https://example.com/"


async def sent(hooks: Hooks, config: dict[str, Any]) -> Seen:
    """What arrived of a call that succeeded."""
    path = f"/config/{uuid.uuid4()}"
    result = await hooks.call({"url": hooks.site.url(path) + config.pop("after", ""), **config})
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED, result
    (seen,) = hooks.site.at(path)
    return seen


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_method(hooks: Hooks, method: str) -> None:
    seen = await sent(hooks, {"method": method})
    assert (seen.method, seen.body, "Content-Type" in seen.headers) == (method, b"", False)


async def test_query_adds_to_the_urls_own(hooks: Hooks) -> None:
    query = {"b": "ü &", "n": 2, "yes": True, "many": ["x", 1.5]}
    seen = await sent(hooks, {"after": "?a=1&b=0", "query": query})
    assert parse_qsl(seen.query) == [
        *(("a", "1"), ("b", "0"), ("b", "ü &"), ("n", "2"), ("yes", "true"), ("many", "x"), ("many", "1.5"))
    ]


@pytest.mark.parametrize(
    ("config", "content_type", "body"),
    [
        ({"body": {"a": [1, None]}}, "application/json", b'{"a":[1,null]}'),
        ({"body": None}, "application/json", b"null"),
        ({"body": "text"}, "application/json", b'"text"'),
        (
            {"body_format": "form", "body": {"a": "b c&", "n": 1, "yes": True, "l": ["x", "y"], "no": None}},
            "application/x-www-form-urlencoded",
            b"a=b+c%26&n=1&yes=true&l=x&l=y&no=",
        ),
        ({"body_format": "raw", "body": "<ö/>"}, "text/plain; charset=utf-8", "<ö/>".encode()),
        (
            {"body_format": "raw", "body": "<a/>", "headers": {"content-type": "text/xml"}},
            "text/xml",
            b"<a/>",
        ),
    ],
)
async def test_body_and_its_format(
    hooks: Hooks, config: dict[str, Any], content_type: str, body: bytes
) -> None:
    seen = await sent(hooks, dict(config))
    assert (seen.headers.getall("Content-Type"), seen.body) == ([content_type], body)


async def test_headers(hooks: Hooks) -> None:
    seen = await sent(hooks, {"headers": {"X-Own": "ä", "User-Agent": "mine"}})
    assert (seen.headers["X-Own"], seen.headers.getall("User-Agent")) == ("ä", ["mine"])


@pytest.mark.parametrize(
    ("codes", "status", "fine"),
    [
        (["2xx"], 299, True),
        ([201], 201, True),
        ([201], 200, False),
        (["2xx", 404], 404, True),
        (["2xx", 302], 302, True),
        (["404"], 404, True),
    ],
)
async def test_success_codes(hooks: Hooks, codes: list[Any], status: int, fine: bool) -> None:
    url = hooks.site.answers(f"/codes/{uuid.uuid4()}", status, b"answer")
    result = await hooks.call({"url": url, "success_codes": codes})
    if fine:
        assert json.loads(result.output) == {"status": status, "body": "answer"}
    else:
        assert result.failure.code == f"HTTP_{status}"
        assert result.failure.error_class == failure_pb2.ERROR_CLASS_VALIDATION
        assert result.certainty == action_pb2.CERTAINTY_INDETERMINATE


async def test_rendered_values_come_as_text(hooks: Hooks) -> None:
    url = hooks.site.answers(f"/text/{uuid.uuid4()}", 302, location="/text/there")
    config = {"url": url, "timeout_seconds": "5", "follow_redirects": "true", "success_codes": ["200"]}
    assert (await hooks.call(config)).outcome == action_pb2.OUTCOME_SUCCEEDED


@pytest.mark.parametrize(
    ("config", "paths"),
    [
        ({"auth": {"kind": "bearer"}}, {"auth.bearer.secret"}),
        ({"auth": {"kind": "bearer", "secret": "Not A Name"}}, {"auth.bearer.secret"}),
        ({"auth": {"kind": "bearer", "token": "inline", "secret": "s"}}, {"auth.bearer.token"}),
        ({"auth": {"kind": "basic", "username": "a:b", "secret": "s"}}, {"auth.basic.username"}),
        ({"auth": {"kind": "api_key", "secret": "s", "name": "Host"}}, {"auth.api_key.name"}),
        ({"auth": {"kind": "hmac", "secret": "s", "header": "webhook-id"}}, {"auth.hmac.header"}),
        ({"auth": {"kind": "hmac", "secret": "s", "algorithm": "md5"}}, {"auth.hmac.algorithm"}),
        ({"auth": {"kind": "oauth1"}}, {"auth"}),
        ({"headers": {"authorization": "Bearer inline"}}, {"headers"}),
        ({"headers": {"Cookie": "inline"}}, {"headers"}),
        ({"body_format": "raw", "body": {"a": 1}}, {"body"}),
        ({"body_format": "form", "body": {"a": {"b": 1}}}, {"body"}),
        ({"body_format": "form", "body": "{{ a }}"}, set()),
        ({"body_format": "xml"}, {"body_format"}),
        ({"query": {"a": {"b": 1}}}, {"query"}),
        ({"success_codes": []}, {"success_codes"}),
        (
            {"success_codes": [99]},
            {"success_codes.0.constrained-int", "success_codes.0.literal['2xx']"},
        ),
        ({"response_map": {"status": "a"}}, {"response_map"}),
        ({"response_map": {"a b": "a"}}, {"response_map.a b.[key]"}),
        ({"response_map": {"a": "a..b"}}, {"response_map.a"}),
        ({"response_map": {"a": "a[x]"}}, {"response_map.a"}),
        ({"response_map": {"a": "$.a[0].b", "b": '["x y"]', "c": "$"}}, set()),
        ({"timeout_seconds": 0.5}, {"timeout_seconds"}),
        ({"timeout_seconds": 61}, {"timeout_seconds"}),
    ],
)
async def test_faults(hooks: Hooks, config: dict[str, Any], paths: set[str]) -> None:
    raw = json.dumps({"url": URL, **config}).encode()
    request = wire.ValidateRequest(action_type="webhook_call", config=raw)
    faults = (await hooks.client.stub.Validate(request, timeout=TIMEOUT_S)).faults
    assert {fault.path for fault in faults} == paths


async def test_preview_shows_the_request_and_no_secret(hooks: Hooks) -> None:
    config = {"url": URL, "query": {"a": 1}, "auth": {"kind": "bearer", "secret": "crm_token"}, "body": 1}
    request = wire.PreviewRequest(action=make_action("webhook_call", config))
    shown = json.loads((await hooks.client.stub.Preview(request, timeout=TIMEOUT_S)).preview)
    assert (shown["url"], shown["body"]) == ("https://example.com/?a=1", 1)
    assert shown["auth"] == {"kind": "bearer", "secret": "crm_token"}
