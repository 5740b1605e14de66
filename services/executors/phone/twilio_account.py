"""What an account tells us to use its Twilio with; twilio.py reads it from the ProviderAccount."""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from services.executors.providers.offering import BaseUrl, ProviderCredentials, ProviderSettings

AccountSid = Annotated[str, StringConstraints(pattern=r"^AC[0-9a-f]{32}$")]
ServiceSid = Annotated[str, StringConstraints(pattern=r"^MG[0-9a-f]{32}$")]
SenderText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=r"^(\+[1-9][0-9]{6,14}|[0-9]{3,8}|[A-Za-z0-9 ]{1,11})$"),
]


class TwilioSettings(ProviderSettings):
    """What may be shown."""

    account_sid: AccountSid
    from_number: Annotated[SenderText | None, Field(description="A number, short code or name.")] = None
    messaging_service_sid: ServiceSid | None = None
    base_url: BaseUrl = "https://api.twilio.com"

    @property
    def sender(self) -> tuple[str, str] | None:
        """The form field that names who sends, and its value; None if the account has no sender."""
        if self.messaging_service_sid:
            return "MessagingServiceSid", self.messaging_service_sid
        return ("From", self.from_number) if self.from_number else None


class TwilioCredentials(ProviderCredentials):
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

    def login(self, account_sid: str) -> tuple[str, str]:
        """Give user and password: of the API key if there is one."""
        if self.api_key_sid:
            return self.api_key_sid, self.api_key_secret
        return account_sid, self.auth_token
