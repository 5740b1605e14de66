"""What an account tells us to use its Twilio with; twilio.py reads it from the ProviderAccount."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from services.executors.action import Certainty, ErrorClass, Failed
from services.executors.providers.provider import ProviderAccount, ProviderError

AccountSid = Annotated[str, StringConstraints(pattern=r"^AC[0-9a-f]{32}$")]
ServiceSid = Annotated[str, StringConstraints(pattern=r"^MG[0-9a-f]{32}$")]
SenderText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=r"^(\+[1-9][0-9]{6,14}|[0-9]{3,8}|[A-Za-z0-9 ]{1,11})$"),
]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TwilioSettings(_Part):
    """What may be shown."""

    account_sid: AccountSid
    from_number: Annotated[SenderText | None, Field(description="A number, short code or name.")] = None
    messaging_service_sid: ServiceSid | None = None
    base_url: Annotated[str, StringConstraints(pattern=r"^https?://")] = "https://api.twilio.com"

    @classmethod
    def of(cls, account: ProviderAccount) -> Self:
        """Read an account's. Raises ProviderError."""
        try:
            return cls.model_validate(dict(account.settings))
        except ValidationError as error:
            raise invalid(account, error) from None


class TwilioCredentials(_Part):
    """The auth token, an API key, or both; callbacks are signed with the token."""

    auth_token: str = ""
    api_key_sid: Annotated[str, StringConstraints(pattern=r"^(SK[0-9a-f]{32})?$")] = ""
    api_key_secret: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.api_key_sid) != bool(self.api_key_secret):
            raise ValueError("an API key has a sid and a secret")
        if not self.auth_token and not self.api_key_sid:
            raise ValueError("needs the auth token, or an API key")
        return self

    @classmethod
    def of(cls, account: ProviderAccount) -> Self:
        """Read an account's. Raises ProviderError."""
        try:
            return cls.model_validate(dict(account.credentials))
        except ValidationError as error:
            raise invalid(account, error) from None

    def login(self, account_sid: str) -> tuple[str, str]:
        """Give user and password: of the API key if there is one."""
        if self.api_key_sid:
            return self.api_key_sid, self.api_key_secret
        return account_sid, self.auth_token


def invalid(account: ProviderAccount, error: ValidationError) -> ProviderError:
    """Give the failure of every attempt of an account whose choice of provider cannot work."""
    detail = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in detail["loc"]) or "credentials"
    text = f"the account's {account.provider} is not set up: {where}: {detail['msg']}"
    return ProviderError(
        Failed(
            ErrorClass.CONFIGURATION,
            "PROVIDER_NOT_SET_UP",
            text,
            Certainty.NOT_DONE,
            provider=account.provider,
        )
    )
