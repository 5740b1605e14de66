"""What receivers answer: sizes, slow bodies, mapped variables, 410, failures with class, certainty and pause.

R-ACT: webhook_call. R-ERR-1, R-ERR-3.
"""

import asyncio
import gzip
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import grpc
import pytest
from aiohttp import web
from wayfarer.action.v1 import action_pb2
from wayfarer.common.v1 import failure_pb2
from wayfarer.integrations.v1 import integrations_admin_service_pb2 as pb

from services.executors.integrations.json_path import json_path, value_at
from tests.contract.executors.webhook_site import Hooks, Raw, new_account
from tests.contract.executors.world import TIMEOUT_S

JSON = "application/json; charset=utf-8"
LIMIT = 16 * 1024


async def output(hooks: Hooks, body: bytes, content_type: str = JSON, **config: Any) -> dict[str, Any]:
    url = hooks.site.answers(f"/answers/{uuid.uuid4()}", body=body, content_type=content_type)
    result = await hooks.call({"url": url, **config})
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED, result
    assert len(result.output) <= LIMIT
    kept: dict[str, Any] = json.loads(result.output)
    return kept


@asynccontextmanager
async def speaking(hooks: Hooks, raw: Raw) -> AsyncIterator[str]:
    """Let the raw port speak like this; gives its URL."""
    hooks.site.raw = raw
    yield f"http://127.0.0.1:{hooks.site.raw_port}/"
    hooks.site.raw = None


@pytest.mark.parametrize("size", [0, 1, 10_000, 16_000])
async def test_json_that_fits_stays_json(hooks: Hooks, size: int) -> None:
    assert await output(hooks, json.dumps({"a": "x" * size}).encode()) == {
        "status": 200,
        "body": {"a": "x" * size},
    }


@pytest.mark.parametrize("size", [LIMIT, 60_000, 1024 * 1024, 1024 * 1024 + 1, 3 * 1024 * 1024])
@pytest.mark.parametrize("letter", ["x", "ö", "\x01"])
async def test_what_does_not_fit_is_cut(hooks: Hooks, size: int, letter: str) -> None:
    """Also where a letter takes more bytes in JSON than it came in."""
    kept = await output(hooks, (letter * (size // len(letter.encode()))).encode(), "text/plain")
    assert kept["truncated"] is True
    assert set(kept["body"].rstrip("\ufffd")) == {letter}
    assert LIMIT - 100 < len(json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode()) <= LIMIT


async def test_no_more_than_a_mebibyte_is_read(hooks: Hooks) -> None:
    """An answer that never ends does not keep the call: the receiver sees us hang up."""
    cut_off = asyncio.Event()

    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"y" * 65536)
        except ConnectionError:
            cut_off.set()
            raise

    path = f"/flood/{uuid.uuid4()}"
    hooks.site.handlers[path] = flood
    result = await hooks.call({"url": hooks.site.url(path), "timeout_seconds": 30})
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED
    await asyncio.wait_for(cut_off.wait(), TIMEOUT_S)


async def test_a_packed_answer_is_bounded_unpacked(hooks: Hooks) -> None:
    """40 MiB in 40 KiB; the variable behind it is not reached."""
    packed = gzip.compress(b'{"a":"' + b"0" * (40 * 1024 * 1024) + b'","b":1}')
    url = hooks.site.answers(f"/gzip/{uuid.uuid4()}", body=packed, content_type=JSON, content_encoding="gzip")
    result = await hooks.call({"url": url, "response_map": {"b": "b"}})
    kept = json.loads(result.output)
    assert (kept["status"], kept["b"], kept["truncated"]) == (200, None, True)


async def test_slow_body_ends_with_the_calls_time(hooks: Hooks) -> None:
    """Drop by drop, each well within any time limit of its own: the status counts, and what came."""
    over = asyncio.Event()

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while not over.is_set():
            await response.write(b"z")
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), 0.1)
        return response

    path = f"/drip/{uuid.uuid4()}"
    hooks.site.handlers[path] = drip
    began = asyncio.get_running_loop().time()
    result = await hooks.call({"url": hooks.site.url(path), "timeout_seconds": 1})
    over.set()
    assert asyncio.get_running_loop().time() - began < 5
    kept = json.loads(result.output)
    assert (kept["status"], kept["truncated"], set(kept["body"])) == (200, True, {"z"})


async def test_slow_headers_end_with_the_calls_time(hooks: Hooks) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        gone = asyncio.ensure_future(reader.read())
        while not gone.done():
            writer.write(b"z")
            await asyncio.wait([gone], timeout=0.1)

    async with speaking(hooks, drip) as url:
        result = await hooks.call({"url": url, "timeout_seconds": 1})
    assert (result.failure.code, result.certainty) == ("TIMEOUT", action_pb2.CERTAINTY_INDETERMINATE)
    assert result.failure.error_class == failure_pb2.ERROR_CLASS_TIMEOUT


async def test_redirects_share_the_calls_time(hooks: Hooks) -> None:
    over = asyncio.Event()

    async def hold(request: web.Request) -> web.StreamResponse:
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), 0.6)
        return web.Response(status=307, headers={"Location": request.path + "/n"})

    path = f"/held/{uuid.uuid4()}"
    for depth in range(5):
        hooks.site.handlers[path + "/n" * depth] = hold
    config = {"url": hooks.site.url(path), "timeout_seconds": 1, "follow_redirects": True}
    result = await hooks.call(config)
    over.set()
    assert result.failure.code == "TIMEOUT"
    assert not hooks.site.at(path + "/n/n")


async def test_response_map(hooks: Hooks) -> None:
    body = {"data": {"items": [{"id": 7, "n\x00": "a\x00b"}, {"id": 8}]}, "a b": True, "none": None}
    kept = await output(
        hooks,
        json.dumps(body).encode(),
        response_map={
            "first": "data.items[0].id",
            "last": "$.data.items[-1].id",
            "spaced": '["a b"]',
            "whole": "data.items[0]",
            "none": "none",
            "nowhere": "data.items[5].id",
            "no_list": "data[0]",
        },
    )
    assert kept.pop("body") == {
        "data": {"items": [{"id": 7, "n": "ab"}, {"id": 8}]},
        "a b": True,
        "none": None,
    }
    assert kept == {
        "status": 200,
        "first": 7,
        "last": 8,
        "spaced": True,
        "whole": {"id": 7, "n": "ab"},
        "none": None,
        "nowhere": None,
        "no_list": None,
    }


async def test_variables_reach_into_answers_that_are_too_large_to_keep(hooks: Hooks) -> None:
    body = json.dumps({"fill": "x" * 500_000, "id": "last"}).encode()
    kept = await output(hooks, body, response_map={"id": "id", "fill": "fill"})
    assert (kept["id"], kept["fill"], kept["left_out"]) == ("last", None, ["fill"])
    assert kept["truncated"] is True


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"{not json", JSON), (b"plain", "text/plain"), (b"[" * 2000 + b"]" * 2000, JSON), (b"", JSON)],
)
async def test_answers_that_cannot_be_mapped(hooks: Hooks, body: bytes, content_type: str) -> None:
    kept = await output(hooks, body, content_type, response_map={"id": "id"})
    assert kept["id"] is None
    assert kept.get("body", "") == body.decode()


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("a", ("a",)),
        ("$", ()),
        ("", ()),
        ("$.a.b-c", ("a", "b-c")),
        ("$[0][1]", (0, 1)),
        ('[0].a["x.\\"y"].ö', (0, "a", 'x."y', "ö")),
    ],
)
def test_paths(path: str, steps: tuple[str | int, ...]) -> None:
    assert json_path(path) == steps


@pytest.mark.parametrize(
    "path", [".a", "a.", "a..b", "a[", "a[x]", "a[*]", "a b", "$a", "..a", "a[0]b", '["a]', "a." * 20 + "a"]
)
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(ValueError, match="is not a path"):
        json_path(path)


def test_positions_do_not_wrap_around() -> None:
    assert [value_at([1, 2], (place,)) for place in (0, 1, 2, -1, -2, -3)] == [1, 2, None, 2, 1, None]


async def test_gone_disables_the_endpoint_until_enabled(hooks: Hooks) -> None:
    """For that account, for any query, and for no other path; it survives in the database, unreadable there."""
    account, path = new_account(), f"/gone/{uuid.uuid4()}"
    url = hooks.site.answers(path, 410)
    first = await hooks.call({"url": url + "?a=1"}, account=account)
    assert (first.failure.code, first.certainty) == ("HTTP_410", action_pb2.CERTAINTY_NOT_DONE)
    for again in (url, url + "?b=2"):
        result = await hooks.call({"url": again, "method": "GET"}, account=account)
        assert (result.failure.code, result.certainty) == (
            "ENDPOINT_DISABLED",
            action_pb2.CERTAINTY_NOT_DONE,
        )
        assert result.failure.error_class == failure_pb2.ERROR_CLASS_CONFIGURATION
    assert len(hooks.site.at(path)) == 1
    assert (await hooks.call({"url": url + "/other"}, account=account)).outcome == 1
    assert (await hooks.call({"url": url})).failure.code == "HTTP_410"

    row = await hooks.client.database.fetchrow(
        "SELECT * FROM disabled_endpoint WHERE account_id = $1", account
    )
    assert row is not None
    assert path.encode() not in row["url_sealed"] + row["url_hash"]
    listed = await hooks.admin.ListDisabledEndpoints(
        pb.ListDisabledEndpointsRequest(account_id=account), timeout=TIMEOUT_S
    )
    assert [one.url for one in listed.endpoints] == [url]
    assert abs(listed.endpoints[0].since.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(minutes=1)

    hooks.site.answers(path, 200)
    enable = pb.EnableEndpointRequest(account_id=account, url=url + "?c=3")
    for _ in range(2):
        await hooks.admin.EnableEndpoint(enable, timeout=TIMEOUT_S)
    assert (await hooks.call({"url": url}, account=account)).outcome == action_pb2.OUTCOME_SUCCEEDED


async def test_gone_may_be_what_a_step_hopes_for(hooks: Hooks) -> None:
    account = new_account()
    config = {"url": hooks.site.answers(f"/gone/{uuid.uuid4()}", 410), "success_codes": [410]}
    for _ in range(2):
        result = await hooks.call(config, account=account)
        assert result.outcome == action_pb2.OUTCOME_SUCCEEDED


async def test_disabled_endpoints_of_an_account_are_bounded(hooks: Hooks) -> None:
    """The one noted longest ago is forgotten."""
    account = new_account()
    await hooks.client.database.execute(
        "INSERT INTO disabled_endpoint (account_id, url_hash, url_sealed, since)"
        " SELECT $1, sha256(n::text::bytea), '\\x00', now() - n * interval '1 minute'"
        " FROM generate_series(1, 500) n",
        account,
    )
    await hooks.call({"url": hooks.site.answers(f"/gone/{uuid.uuid4()}", 410)}, account=account)
    rows = await hooks.client.database.fetchrow(
        "SELECT count(*), bool_or(url_hash = sha256('500'::bytea)) FROM disabled_endpoint"
        " WHERE account_id = $1",
        account,
    )
    assert tuple(rows or ()) == (500, False)


async def test_what_is_no_url_cannot_be_enabled(hooks: Hooks) -> None:
    request = pb.EnableEndpointRequest(account_id=1, url="/relative")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await hooks.admin.EnableEndpoint(request, timeout=TIMEOUT_S)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("status", "error_class", "certainty"),
    [
        (429, "RATE_LIMIT", "NOT_DONE"),
        (503, "SERVER_ERROR", "NOT_DONE"),
        (500, "SERVER_ERROR", "INDETERMINATE"),
        (502, "SERVER_ERROR", "INDETERMINATE"),
        (504, "SERVER_ERROR", "INDETERMINATE"),
    ],
)
@pytest.mark.parametrize("form", ["seconds", "date", "none"])
async def test_busy_receivers(hooks: Hooks, status: int, error_class: str, certainty: str, form: str) -> None:
    """Both forms of Retry-After count where the receiver says it did nothing."""
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    path, asked = f"/busy/{uuid.uuid4()}", {"seconds": "90", "date": when}
    if form in asked:
        hooks.site.answers(path, status, retry_after=asked[form])
    else:
        hooks.site.answers(path, status)
    result = await hooks.call({"url": hooks.site.url(path)})
    assert result.failure.code == f"HTTP_{status}"
    assert failure_pb2.ErrorClass.Name(result.failure.error_class) == f"ERROR_CLASS_{error_class}"
    assert action_pb2.Certainty.Name(result.certainty) == f"CERTAINTY_{certainty}"
    paused = form != "none" and status in (429, 503)
    assert (result.HasField("retry_after"), result.HasField("lane")) == (paused, paused)
    if paused:
        assert timedelta(seconds=80) < result.retry_after.ToTimedelta() <= timedelta(seconds=90)
        assert result.lane.lane == "webhook:127.0.0.1"


async def test_reset_after_the_bytes_were_written(hooks: Hooks) -> None:
    arrived = []

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.append(await reader.readuntil(b'{"a":1}'))
        writer.transport.abort()

    async with speaking(hooks, reset) as url:
        result = await hooks.call({"url": url, "body": {"a": 1}})
    assert (result.failure.code, result.certainty) == (
        "CONNECTION_LOST",
        action_pb2.CERTAINTY_INDETERMINATE,
    )
    assert result.failure.error_class == failure_pb2.ERROR_CLASS_NETWORK
    assert not result.HasField("retry_after")
    assert len(arrived) == 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "POST"])
@pytest.mark.parametrize("is_kept", [False, True], ids=["new", "kept"])
async def test_a_connection_that_breaks_brings_no_second_request(
    hooks: Hooks, method: str, is_kept: bool
) -> None:
    """G5: one request per attempt, whatever the method; whether the next one makes it twice is the engine's word."""
    arrived: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if is_kept and not arrived:
            arrived.append(await reader.readuntil(b'{"a":1}'))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        arrived.append(await reader.readuntil(b'{"a":1}'))

    call = {"method": method, "body": {"a": 1}}
    async with speaking(hooks, take) as url:
        if is_kept:
            assert (await hooks.call({**call, "url": url})).outcome == action_pb2.OUTCOME_SUCCEEDED
        result = await hooks.call({**call, "url": url})
    assert (result.failure.code, result.certainty) == (
        "CONNECTION_LOST",
        action_pb2.CERTAINTY_INDETERMINATE,
    )
    assert len(arrived) == 1 + is_kept


async def test_rubbish_instead_of_http(hooks: Hooks) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-nothing\r\n\r\n")
        await writer.drain()

    async with speaking(hooks, babble) as url:
        result = await hooks.call({"url": url})
    assert (result.failure.code, result.certainty) == (
        "CONNECTION_LOST",
        action_pb2.CERTAINTY_INDETERMINATE,
    )


async def test_nobody_listens(hooks: Hooks) -> None:
    result = await hooks.call({"url": f"http://127.0.0.1:{hooks.closed_port}/"})
    assert (result.failure.code, result.certainty) == ("CONNECT_FAILED", action_pb2.CERTAINTY_NOT_DONE)
    assert result.failure.error_class == failure_pb2.ERROR_CLASS_NETWORK
