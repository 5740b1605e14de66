"""Reads what an account's standing with a provider holds; its settings' and credentials' models extend it."""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from services.executors.action import Certainty, ErrorClass, Failed
from services.executors.providers.provider import ProviderAccount, ProviderError


class AccountPart(BaseModel):
    """The base of settings and of credentials: frozen, and nothing that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @classmethod
    def of(cls, account: ProviderAccount, given: Mapping[str, object]) -> Self:
        """Read a part of an account. Raises ProviderError, the failure of all its attempts."""
        try:
            return cls.model_validate(dict(given))
        except ValidationError as error:
            detail = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in detail["loc"]) or cls.__name__
        text = f"the account's {account.provider} is not set up: {where}: {detail['msg']}"
        raise ProviderError(
            Failed(
                ErrorClass.CONFIGURATION,
                "PROVIDER_NOT_SET_UP",
                text,
                Certainty.NOT_DONE,
                provider=account.provider,
            )
        )
