"""Calls a URL of the account's choice. The registry finds ACTION.

The receiver may see an uncertain call twice, then with the same webhook-id and Idempotency-Key. One that
answers 410 Gone is not called again until somebody enables it.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Final, Literal

import asyncpg
import structlog
from pydantic import AfterValidator, Field, JsonValue, StringConstraints, ValidationInfo, field_validator
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
from services.executors.integrations import answer, http_faults
from services.executors.integrations.caller import CallFailedError, Response
from services.executors.integrations.delivery import Delivery, TooManyRedirectsError
from services.executors.integrations.json_path import json_path
from services.executors.integrations.outgoing import (
    CONTENT_TYPES,
    BodyFormat,
    Headers,
    Query,
    check_body,
    encoded,
    with_query,
)
from services.executors.integrations.redirects import MAX_REDIRECTS, Hop, RedirectRefusedError
from services.executors.integrations.signing import Signing
from services.executors.integrations.target import target
from services.executors.integrations.tools import Tools
from services.executors.integrations.webhook_auth import Auth, NoAuth, SecretUnknownError, credentials
from services.executors.webhook_signing import webhook_id
from services.runtime.keyring import KeyringError

log = structlog.get_logger(__name__)

_DEFAULT_TIMEOUT_S: Final = 15.0
_MAX_VARIABLES: Final = 32
_MAX_CODES: Final = 20
_UNREADABLE: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)  # OSError: TimeoutError too


def _path(text: str) -> str:
    json_path(text)
    return text


def _variables(paths: dict[str, str]) -> dict[str, str]:
    if len(paths) > _MAX_VARIABLES:
        raise ValueError(f"at most {_MAX_VARIABLES} variables")
    taken = sorted(answer.RESERVED & paths.keys())
    if taken:
        raise ValueError(f"{taken[0]} is a field of the result itself")
    return paths


def _codes(codes: tuple[int | str, ...]) -> tuple[int | str, ...]:
    # Not Field's min_length: that counts a faulty item as missing, and would name a second fault.
    if not 1 <= len(codes) <= _MAX_CODES:
        raise ValueError(f"must be 1 to {_MAX_CODES} statuses")
    return codes


VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
Path = Annotated[str, StringConstraints(max_length=500), AfterValidator(_path)]
SuccessCode = Annotated[int, Field(ge=200, le=599)] | Literal["2xx"]


class Config(ActionConfig):
    """The call."""

    url: Annotated[str, StringConstraints(max_length=4096, strip_whitespace=True), AfterValidator(target)]
    method: Literal["POST", "PUT", "PATCH", "GET", "DELETE"] = "POST"
    query: Annotated[Query, Field(description="Added to the URL's own parameters.")] = Field(
        default_factory=dict
    )
    headers: Annotated[Headers, Field(description="No credentials; see auth.")] = Field(default_factory=dict)
    auth: Annotated[Auth, Field(description="How to prove who calls.")] = NoAuth()
    body_format: Annotated[BodyFormat, Field(description="How body is sent.")] = "json"
    body: Annotated[
        JsonValue, Field(description="Any JSON; for form an object, for raw a text. Left out: no body.")
    ] = None
    timeout_seconds: Annotated[
        float, Field(ge=1, le=60, description="For the whole call, but never beyond the step's own timeout.")
    ] = _DEFAULT_TIMEOUT_S
    success_codes: Annotated[
        tuple[SuccessCode, ...], AfterValidator(_codes), Field(description='Statuses, or "2xx".')
    ] = ("2xx",)
    follow_redirects: Annotated[bool, Field(description=f"At most {MAX_REDIRECTS}.")] = False
    response_map: Annotated[
        dict[VariableName, Path],
        AfterValidator(_variables),
        Field(description="Result field → where its value is in a JSON answer, as data.items[0].id."),
    ] = Field(default_factory=dict)

    @field_validator("body")
    @classmethod
    def _fits_its_format(cls, body: JsonValue, info: ValidationInfo) -> JsonValue:
        return check_body(body, info.data.get("body_format", "json"))

    def succeeds(self, status: int) -> bool:
        """Whether a status is what the step hopes for."""
        return status in self.success_codes or ("2xx" in self.success_codes and 200 <= status < 300)


async def run(call: Call[Config], tools: Tools) -> Result:
    """Make the call and sort its answer."""
    config, url = call.config, URL(call.config.url)
    try:
        standing = await tools.standings.of(call.key.account_id)
        if standing.is_gone(url):
            return _misconfigured("ENDPOINT_DISABLED", "the endpoint answered 410 Gone and is disabled")
        proof = credentials(config.auth, standing)
        signing = Signing(call.key, standing, tools.signing_secret)
    except _UNREADABLE:
        text = "the account's secrets could not be read; nothing was sent"
        return _failed(ErrorClass.DATABASE, "STANDING_UNREADABLE", text, Certainty.NOT_DONE)
    except SecretUnknownError as unknown:
        return _misconfigured("SECRET_UNKNOWN", f"the account has no secret {unknown.name}")
    except KeyringError:
        return _misconfigured("SECRET_UNREADABLE", "a secret of the account does not open with this keyring")
    delivery = Delivery(tools.caller, signing, call.gate)
    body, whole_url = _body(config), with_query(url, {**config.query, **proof.query})
    hop = Hop(config.method, whole_url, body, _content_type(config, body), config.headers, proof.headers)
    result = await _delivered(call, delivery, hop, tools)
    if delivery.may_be_done and isinstance(result, Failed):
        return replace(result, certainty=Certainty.INDETERMINATE)
    return result


async def _delivered(call: Call[Config], delivery: Delivery, hop: Hop, tools: Tools) -> Result:
    config = call.config
    try:
        response = await delivery.make(
            hop, redirects=config.follow_redirects, timeout_s=config.timeout_seconds
        )
    except CallFailedError as error:
        return _no_answer(error)
    except RedirectRefusedError as error:
        return _misconfigured("REDIRECT_REFUSED", str(error))
    except TooManyRedirectsError:
        text = f"the receiver redirects more than {MAX_REDIRECTS} times"
        return _failed(ErrorClass.VALIDATION, "TOO_MANY_REDIRECTS", text, Certainty.NOT_DONE)
    if config.succeeds(response.status):
        return _success(call, response)
    if response.status == 410:
        await _disable(call, tools)
    return http_faults.failure(response.status, response.retry_after, hop.url.host or "")


def preview(call: Call[Config]) -> JsonObject:
    """Show the request, without credentials and the signature made at sending."""
    config = call.config
    shown: JsonObject = {
        "method": config.method,
        "url": str(with_query(URL(config.url), config.query)),
        "headers": {**config.headers, "webhook-id": webhook_id(call.key)},
        "auth": config.auth.model_dump(),
    }
    if "body" in config.model_fields_set:
        shown["body"] = config.body
    return shown


def _body(config: Config) -> bytes:
    return encoded(config.body, config.body_format) if "body" in config.model_fields_set else b""


def _content_type(config: Config, body: bytes) -> str:
    own = next((text for name, text in config.headers.items() if name.lower() == "content-type"), "")
    return own or (CONTENT_TYPES[config.body_format] if body else "")


def _success(call: Call[Config], response: Response) -> Result:
    variables = {name: json_path(path) for name, path in call.config.response_map.items()}
    return succeeded(answer.output(response, variables), refs={"webhook_id": webhook_id(call.key)})


async def _disable(call: Call[Config], tools: Tools) -> None:
    try:
        await tools.book.disable(call.key.account_id, URL(call.config.url))
    except _UNREADABLE as error:
        # The next call will be told the same again.
        log.warning("endpoint_not_disabled", account_id=call.key.account_id, error=type(error).__name__)
    tools.standings.forget(call.key.account_id)


def _no_answer(error: CallFailedError) -> Failed:
    if error.refused:
        return _misconfigured("ADDRESS_REFUSED", "the address is internal and may not be called")
    if not error.sent:
        text = "the receiver could not be reached"
        return _failed(ErrorClass.NETWORK, "CONNECT_FAILED", text, Certainty.NOT_DONE)
    if error.timed_out:
        text = "the receiver did not answer in time"
        return _failed(ErrorClass.TIMEOUT, "TIMEOUT", text, Certainty.INDETERMINATE)
    text = "the connection was lost before the answer"
    return _failed(ErrorClass.NETWORK, "CONNECTION_LOST", text, Certainty.INDETERMINATE)


def _misconfigured(code: str, text: str) -> Failed:
    return _failed(ErrorClass.CONFIGURATION, code, text, Certainty.NOT_DONE)


def _failed(error_class: ErrorClass, code: str, text: str, certainty: Certainty) -> Failed:
    return Failed(error_class, code, text, certainty, provider=http_faults.PROVIDER)


ACTION: Final = ActionDefinition(
    name="webhook_call",
    summary="Calls a URL, signed.",
    config=Config,
    sample={"url": "https://example.com/hooks/wayfarer", "body": {"event": "welcomed"}},
    delivery=DeliveryClass.UNKEYED_AT_LEAST_ONCE,
    run=run,
    preview=preview,
    sensitive_fields=("url", "query", "headers", "auth", "body"),
    timeout=timedelta(seconds=20),
    lanes=("webhook:{url}",),
)
