"""Calls a URL of the account's choice. The registry finds ACTION.

The receiver may see an uncertain call twice, then with the same webhook-id and Idempotency-Key.
"""

import re
from datetime import timedelta
from typing import Annotated, Final, Literal

import orjson
from pydantic import AfterValidator, Field, JsonValue, StringConstraints
from yarl import URL

from services.executors.action import (
    ActionConfig,
    ActionDefinition,
    Call,
    Certainty,
    DeliveryClass,
    ErrorClass,
    Failed,
    JsonObject,
    Result,
    succeeded,
)
from services.executors.integrations import http_faults
from services.executors.integrations.caller import (
    CallFailedError,
    Request,
    Response,
    WebhookCaller,
    webhook_id,
)

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OURS: Final = frozenset(
    """
    host content-length transfer-encoding connection keep-alive te trailer upgrade expect idempotency-key
    webhook-id webhook-timestamp webhook-signature proxy-authorization proxy-connection
    """.split()  # noqa: SIM905 - a list of 15 literals reads worse
)
_KEPT_BYTES: Final = 4096
_MAX_DEPTH: Final = 16
_MAX_HEADERS: Final = 50
_DEFAULT_TIMEOUT_S: Final = 15.0


def _url(text: str) -> str:
    try:
        url = URL(text)
        port = url.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("must be an absolute http or https URL")
    if url.user is not None or url.password is not None:
        raise ValueError("must not hold credentials; use a header")
    if port not in (80, 443) and not (port and port >= 1024):
        raise ValueError("port must be 80, 443 or at least 1024")
    return text


def _headers(headers: dict[str, str]) -> dict[str, str]:
    if len(headers) > _MAX_HEADERS:
        raise ValueError(f"at most {_MAX_HEADERS} headers")
    for name in headers:
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name[:40]!r} is not a header name")
        if name.lower() in _OURS:
            raise ValueError(f"{name} is set by Wayfarer")
    return headers


HeaderValue = Annotated[str, StringConstraints(max_length=8192, pattern=r"^[^\x00-\x08\x0a-\x1f\x7f]*$")]


class Config(ActionConfig):
    """The call."""

    url: Annotated[str, StringConstraints(max_length=4096, strip_whitespace=True), AfterValidator(_url)]
    method: Literal["POST", "PUT", "PATCH", "GET", "DELETE"] = "POST"
    headers: Annotated[dict[str, HeaderValue], AfterValidator(_headers)] = Field(default_factory=dict)
    body: Annotated[JsonValue, Field(description="Sent as JSON; left out: no body.")] = None
    timeout_seconds: Annotated[float, Field(ge=1, le=60)] = _DEFAULT_TIMEOUT_S


async def run(call: Call[Config], caller: WebhookCaller) -> Result:
    """Make the call and sort its answer."""
    config = call.config
    url = URL(config.url)
    body = _body(config)
    headers = dict(config.headers)
    if body and "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = "application/json"
    headers.update(caller.signed(call.key, body))
    try:
        response = await caller.call(
            Request(config.method, url, headers, body, config.timeout_seconds), call.gate
        )
    except CallFailedError as error:
        return _no_answer(error, sent=call.gate.begun)
    if 200 <= response.status < 300:
        return succeeded(_output(response), refs={"webhook_id": webhook_id(call.key)})
    return http_faults.failure(response.status, response.retry_after, url.host or "")


def preview(call: Call[Config]) -> JsonObject:
    """Show the request, without the signature made at sending."""
    config = call.config
    shown: JsonObject = {
        "method": config.method,
        "url": config.url,
        "headers": {**config.headers, "webhook-id": webhook_id(call.key)},
    }
    if "body" in config.model_fields_set:
        shown["body"] = config.body
    return shown


def _body(config: Config) -> bytes:
    return orjson.dumps(config.body) if "body" in config.model_fields_set else b""


def _no_answer(error: CallFailedError, *, sent: bool) -> Failed:
    if error.refused:
        text = "the address is internal and may not be called"
        return _failed(ErrorClass.CONFIGURATION, "ADDRESS_REFUSED", text, Certainty.NOT_DONE)
    if not sent:
        text = "the receiver could not be reached"
        return _failed(ErrorClass.NETWORK, "CONNECT_FAILED", text, Certainty.NOT_DONE)
    if error.timed_out:
        text = "the receiver did not answer in time"
        return _failed(ErrorClass.TIMEOUT, "TIMEOUT", text, Certainty.INDETERMINATE)
    text = "the connection was lost before the answer"
    return _failed(ErrorClass.NETWORK, "CONNECTION_LOST", text, Certainty.INDETERMINATE)


def _failed(error_class: ErrorClass, code: str, text: str, certainty: Certainty) -> Failed:
    return Failed(error_class, code, text, certainty, provider=http_faults.PROVIDER)


def _output(response: Response) -> JsonObject:
    """Keep the status and up to 4 KiB of the body: as JSON if it is some and whole, else as text."""
    output: JsonObject = {"status": response.status}
    if not response.body:
        return output
    if "json" in response.content_type and response.complete and len(response.body) <= _KEPT_BYTES:
        try:
            output["body"] = _storable(orjson.loads(response.body))
            return output
        except ValueError:
            pass
    output["body"] = response.body[:_KEPT_BYTES].decode(errors="replace").replace("\x00", "")
    return output


def _storable(value: JsonValue, depth: int = 0) -> JsonValue:
    """Drop NUL, which no database of ours stores. Raises ValueError for more than 16 levels."""
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deep")
    match value:
        case str():
            return value.replace("\x00", "")
        case dict():
            return {name.replace("\x00", ""): _storable(item, depth + 1) for name, item in value.items()}
        case list():
            return [_storable(item, depth + 1) for item in value]
        case _:
            return value


ACTION: Final = ActionDefinition(
    name="webhook_call",
    summary="Calls a URL with a JSON body, signed.",
    config=Config,
    sample={"url": "https://example.com/hooks/wayfarer", "body": {"event": "welcomed"}},
    delivery=DeliveryClass.UNKEYED_AT_LEAST_ONCE,
    run=run,
    preview=preview,
    sensitive_fields=("url", "headers", "body"),
    timeout=timedelta(seconds=20),
    lanes=("webhook:{url}",),
)
