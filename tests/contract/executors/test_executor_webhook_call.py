"""webhook_call against a real HTTP receiver on loopback.

R-ERR-1, R-ERR-3.
"""

import json
import uuid
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from standardwebhooks import Webhook
from wayfarer.action.v1 import action_executor_pb2 as wire
from wayfarer.action.v1 import action_pb2
from wayfarer.common.v1 import failure_pb2

from tests.contract.executors.world import SECRET, TIMEOUT_S, Client, Receiver, make_action


async def test_arrives_signed(integrations: Client, receiver: Receiver) -> None:
    path = f"/signed/{uuid.uuid4()}"
    config = {"url": receiver.url(path), "body": {"name": "Ada ö"}, "headers": {"X-Own": "yes"}}
    action = make_action("webhook_call", config)
    result = await integrations.execute(action)
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED, result
    ((headers, body),) = receiver.at(path)
    Webhook(SECRET).verify(body, headers)
    assert json.loads(body) == {"name": "Ada ö"}
    assert headers["X-Own"] == "yes"
    assert headers["Content-Type"] == "application/json"
    assert headers["idempotency-key"] == headers["webhook-id"] == result.provider_refs["webhook_id"]
    assert uuid.UUID(bytes=action.effect_key.execution_id).hex in headers["webhook-id"]
    assert json.loads(result.output) == {"status": 200, "body": {"taken": True, "nul": "ab"}}


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH"])
async def test_methods(integrations: Client, receiver: Receiver, method: str) -> None:
    path = f"/method/{uuid.uuid4()}"
    result = await integrations.execute(
        make_action("webhook_call", {"url": receiver.url(path), "method": method})
    )
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED
    ((headers, body),) = receiver.at(path)
    assert body == b""
    Webhook(SECRET).verify(body, headers, json_parse=False)


@pytest.mark.parametrize(
    ("path", "error_class", "code", "certainty"),
    [
        ("/status/429", "RATE_LIMIT", "HTTP_429", "NOT_DONE"),
        ("/status/503", "SERVER_ERROR", "HTTP_503", "NOT_DONE"),
        ("/status/500", "SERVER_ERROR", "HTTP_500", "INDETERMINATE"),
        ("/status/504", "SERVER_ERROR", "HTTP_504", "INDETERMINATE"),
        ("/status/401", "AUTHENTICATION", "HTTP_401", "NOT_DONE"),
        ("/status/403", "AUTHORIZATION", "HTTP_403", "NOT_DONE"),
        ("/status/404", "NOT_FOUND", "HTTP_404", "NOT_DONE"),
        ("/status/422", "VALIDATION", "HTTP_422", "NOT_DONE"),
        ("/redirect", "VALIDATION", "HTTP_302", "NOT_DONE"),
        ("/reset", "NETWORK", "CONNECTION_LOST", "INDETERMINATE"),
        ("/hang", "TIMEOUT", "TIMEOUT", "INDETERMINATE"),
    ],
)
async def test_what_the_receiver_says_decides(
    integrations: Client, receiver: Receiver, path: str, error_class: str, code: str, certainty: str
) -> None:
    config = {"url": receiver.url(path), "timeout_seconds": 1}
    result = await integrations.execute(make_action("webhook_call", config))
    assert failure_pb2.ErrorClass.Name(result.failure.error_class) == f"ERROR_CLASS_{error_class}"
    assert (result.failure.provider, result.failure.code) == ("webhook", code)
    assert action_pb2.Certainty.Name(result.certainty) == f"CERTAINTY_{certainty}"


async def test_retry_after_in_seconds_and_as_a_date(integrations: Client, receiver: Receiver) -> None:
    result = await integrations.execute(
        make_action("webhook_call", {"url": receiver.url("/status/429?after=120")})
    )
    assert result.retry_after.ToTimedelta() == timedelta(seconds=120)
    assert result.lane.lane == "webhook:127.0.0.1"
    assert result.lane.pause.ToTimedelta() == timedelta(seconds=120)
    when = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True).replace(" ", "%20")
    result = await integrations.execute(
        make_action("webhook_call", {"url": receiver.url(f"/status/503?after={when}")})
    )
    assert timedelta(minutes=4) < result.retry_after.ToTimedelta() <= timedelta(minutes=5)


async def test_large_answer_is_cut(integrations: Client, receiver: Receiver) -> None:
    result = await integrations.execute(make_action("webhook_call", {"url": receiver.url("/large")}))
    assert result.outcome == action_pb2.OUTCOME_SUCCEEDED
    assert 16_000 < len(result.output) <= 16 * 1024
    assert json.loads(result.output)["truncated"] is True


async def test_nobody_listens(integrations: Client, receiver: Receiver) -> None:
    """A public address nothing is routed to from here, or a name that does not resolve: nothing was sent."""
    result = await integrations.execute(
        make_action("webhook_call", {"url": "http://no-such-host.invalid/", "timeout_seconds": 5})
    )
    assert (result.failure.code, result.certainty) == ("CONNECT_FAILED", action_pb2.CERTAINTY_NOT_DONE)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:4444",
        "localhost:{}",
        "2130706433:{}",
        "0177.0.0.1:{}",
        "0x7f.1:{}",
        "127.1:{}",
        "[::1]:{}",
        "[::ffff:127.0.0.1]:{}",
        "[64:ff9b::7f00:1]:{}",
        "[64:ff9b::a9fe:a9fe]:{}",
        "[2002:7f00:1::]:{}",
        "169.254.169.254:{}",
        "10.0.0.1:{}",
        "0.0.0.0:{}",
        "[fd00::1]:{}",
        "168.63.129.16:{}",
    ],
)
async def test_guard_keeps_internal_addresses_out(
    integrations: Client, receiver: Receiver, host: str
) -> None:
    seen = len(receiver.calls)
    config = {"url": f"http://{host.format(receiver.port)}/guard", "timeout_seconds": 2}
    result = await integrations.execute(make_action("webhook_call", config))
    assert (result.failure.code, result.certainty) == ("ADDRESS_REFUSED", action_pb2.CERTAINTY_NOT_DONE), (
        result
    )
    assert len(receiver.calls) == seen


@pytest.mark.parametrize(
    ("config", "paths"),
    [
        ({}, {"url"}),
        ({"url": "ftp://example.com/"}, {"url"}),
        ({"url": "http://user:secret@example.com/"}, {"url"}),
        ({"url": "https://example.com:22/"}, {"url"}),
        ({"url": "/relative", "method": "TRACE"}, {"url", "method"}),
        ({"url": "https://example.com/", "headers": {"Host": "x"}}, {"headers"}),
        ({"url": "https://example.com/", "headers": {"A\r\nB": "x"}}, {"headers"}),
        ({"url": "https://example.com/", "headers": {"A": "x\r\nB: y"}}, {"headers.A"}),
        ({"url": "https://example.com/", "timeout_seconds": 600}, {"timeout_seconds"}),
        ({"url": "https://example.com/", "timeout_seconds": "5"}, {"timeout_seconds"}),
        ({"url": "{{ steps.a.url }}", "method": "{{ x }}", "timeout_seconds": "{{ t }}"}, set()),
        ({"url": "https://example.com/", "headers": "{{ h }}"}, {"headers"}),
    ],
)
async def test_faults_of_a_config(integrations: Client, config: dict[str, object], paths: set[str]) -> None:
    request = wire.ValidateRequest(action_type="webhook_call", config=json.dumps(config).encode())
    faults = (await integrations.stub.Validate(request, timeout=TIMEOUT_S)).faults
    assert {fault.path for fault in faults} == paths


async def test_rendered_numbers_come_as_text(integrations: Client, receiver: Receiver) -> None:
    config = {"url": receiver.url("/text-number"), "timeout_seconds": "5"}
    assert (await integrations.execute(make_action("webhook_call", config))).outcome == 1
