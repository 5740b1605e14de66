"""How a webhook proves who calls: the kinds of `auth` in its config, and the credentials each makes.

A config never holds a secret, only the name of one of the account's; webhook_call reads it when it sends.
"""

import base64
import hmac
from collections.abc import Callable, Mapping
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints, field_validator

from services.executors.action import ActionConfig
from services.executors.integrations.account_book import Standing
from services.executors.integrations.outgoing import HeaderValue, header_name

SecretName = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$"), Field(description="A secret of the account.")
]
HeaderName = Annotated[str, AfterValidator(header_name)]
CredentialHeaders: TypeAlias = Callable[[bytes], Mapping[str, str]]
"""From a body to the headers that vouch for it."""


class NoAuth(ActionConfig):
    """No credentials; the call is signed all the same."""

    kind: Literal["none"] = "none"


class BasicAuth(ActionConfig):
    """`Authorization: Basic`, the secret is the password."""

    kind: Literal["basic"]
    username: Annotated[HeaderValue, StringConstraints(max_length=256, pattern=r"^[^:\x00-\x1f\x7f]*$")]
    secret: SecretName


class BearerAuth(ActionConfig):
    """`Authorization: Bearer`, the secret is the token."""

    kind: Literal["bearer"]
    secret: SecretName


class ApiKeyAuth(ActionConfig):
    """The secret as a header or a query parameter."""

    kind: Literal["api_key"]
    secret: SecretName
    place: Literal["header", "query"] = "header"
    name: Annotated[str, StringConstraints(min_length=1, max_length=100)] = "X-Api-Key"

    @field_validator("name")
    @classmethod
    def _fits_a_header(cls, name: str) -> str:
        return header_name(name)


class HmacAuth(ActionConfig):
    """A keyed hash of the body in a header, as many services ask for beside Standard Webhooks."""

    kind: Literal["hmac"]
    secret: SecretName
    header: HeaderName = "X-Signature"
    algorithm: Literal["sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: Annotated[HeaderValue, StringConstraints(max_length=20), Field(description='As "sha256=".')] = ""


Auth = Annotated[NoAuth | BasicAuth | BearerAuth | ApiKeyAuth | HmacAuth, Field(discriminator="kind")]


class SecretUnknownError(Exception):
    """The account has no secret of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Credentials(NamedTuple):
    """What a call is given to prove who calls."""

    headers: CredentialHeaders
    query: Mapping[str, str]


def no_headers(body: bytes) -> Mapping[str, str]:
    """Give nothing: a CredentialHeaders without credentials."""
    return {}


NO_CREDENTIALS: Final = Credentials(no_headers, {})


def credentials(auth: Auth, standing: Standing) -> Credentials:
    """Make a call's credentials. Raises SecretUnknownError, KeyringError."""
    if isinstance(auth, NoAuth):
        return NO_CREDENTIALS
    secret = standing.secret(auth.secret)
    if secret is None:
        raise SecretUnknownError(auth.secret)
    match auth:
        case BasicAuth():
            pair = base64.b64encode(f"{auth.username}:{secret}".encode()).decode()
            return _always({"Authorization": f"Basic {pair}"})
        case BearerAuth():
            return _always({"Authorization": f"Bearer {secret}"})
        case ApiKeyAuth(place="query"):
            return Credentials(no_headers, {auth.name: secret})
        case ApiKeyAuth():
            return _always({auth.name: secret})
        case HmacAuth():
            return Credentials(lambda body: {auth.header: _mac(auth, secret, body)}, {})


def _always(headers: Mapping[str, str]) -> Credentials:
    return Credentials(lambda body: headers, {})


def _mac(auth: HmacAuth, secret: str, body: bytes) -> str:
    digest = hmac.digest(secret.encode(), body, auth.algorithm)
    return auth.prefix + (digest.hex() if auth.encoding == "hex" else base64.b64encode(digest).decode())
