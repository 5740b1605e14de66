"""Posts notifications to an account's Slack, by an incoming webhook or with a bot's token; Chosen makes it.

Slack knows no keys: a message whose answer is lost is uncertain. It answers HTTP 200 to what it refuses, too.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import orjson
from pydantic import AfterValidator, StringConstraints, model_validator
from yarl import URL

from services.executors.gate import SendGate
from services.executors.internal import notify_faults
from services.executors.internal.notification import Notification, Receipt
from services.executors.internal.receiver_url import receiver_url
from services.executors.providers.http_exchange import Answer, NoAnswerError, ProviderHttp, pause_asked
from services.executors.providers.offering import BaseUrl, Offered, ProviderCredentials, ProviderSettings
from services.executors.providers.provider import (
    Answered,
    Callback,
    CallbackRefusedError,
    ProviderAccount,
    ProviderError,
)

CHANNEL: Final = "slack"

_JSON: Final = {"Content-Type": "application/json; charset=utf-8"}
_MARKS: Final = {"info": "", "warning": ":warning: ", "critical": ":rotating_light: "}
_ERROR: Final = re.compile(r"[a-z_]{1,64}")


class SlackSettings(ProviderSettings):
    """What may be shown."""

    channel: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9#@_.-]{0,80}$")] = ""
    """Its id or name; an incoming webhook has one of its own."""
    base_url: BaseUrl = "https://slack.com"


class SlackCredentials(ProviderCredentials):
    """What messages are posted with; who knows the webhook's URL may post to it."""

    webhook_url: Annotated[str, StringConstraints(max_length=500), AfterValidator(receiver_url)] = ""
    bot_token: Annotated[str, StringConstraints(max_length=500, pattern=r"^[\x21-\x7e]*$")] = ""

    @model_validator(mode="after")
    def _one_way(self) -> "SlackCredentials":
        if bool(self.webhook_url) == bool(self.bot_token):
            raise ValueError("needs one of webhook_url and bot_token")
        return self


class Slack:
    """One account's Slack."""

    def __init__(self, account: ProviderAccount, http: ProviderHttp) -> None:
        """Raises ValidationError for a choice that cannot work."""
        self._settings = SlackSettings.model_validate(dict(account.settings))
        self._credentials = SlackCredentials.model_validate(dict(account.credentials))
        self._http = http

    async def send(self, notification: Notification, gate: SendGate) -> Receipt:
        """Post one message. Raises ProviderError, AttemptStoppedError."""
        message: dict[str, Any] = {"text": text_of(notification)}
        if self._credentials.webhook_url:
            answer = await self._post(URL(self._credentials.webhook_url), {}, message, gate)
            return self._webhook_receipt(answer)
        message |= {"channel": self._settings.channel, "unfurl_links": False}
        login = {"Authorization": f"Bearer {self._credentials.bot_token}"}
        api = URL(f"{self._settings.base_url}/api/chat.postMessage")
        answer = await self._post(api, login, message, gate)
        return self._api_receipt(answer)

    def callback(self, request: Callback) -> Answered:
        """Refuse: it calls nobody back."""
        raise CallbackRefusedError("NO_CALLBACKS")

    async def _post(self, url: URL, login: dict[str, str], message: dict[str, Any], gate: SendGate) -> Answer:
        try:
            return await self._http.post(url, _JSON | login, orjson.dumps(message), gate)
        except NoAnswerError as error:
            raise _refused((error.code,)) from None

    def _webhook_receipt(self, answer: Answer) -> Receipt:
        if answer.status == 200 and answer.body.strip() == b"ok":
            return Receipt({"channel": CHANNEL})
        raise _refused_with(answer, answer.body.decode(errors="replace").strip())

    def _api_receipt(self, answer: Answer) -> Receipt:
        said = answer.json()
        if not isinstance(said, dict):
            raise _refused_with(answer, "")
        if answer.status == 200 and said.get("ok") is True:
            return Receipt({"channel": CHANNEL, "ts": str(said.get("ts", ""))[:64]})
        raise _refused_with(answer, str(said.get("error", "")), told=said.get("ok") is False)


def text_of(notification: Notification) -> str:
    """Give the message as Slack writes it; escaped, so that nothing in it mentions anybody or links."""
    title, body = (
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        for text in (notification.title, notification.body)
    )
    return f"{_MARKS[notification.severity]}*{title}*\n{body}"


def offered(http: ProviderHttp) -> Offered[Slack]:
    """What accounts may choose."""
    return Offered(SlackSettings, SlackCredentials, lambda account: Slack(account, http))


def _refused_with(answer: Answer, error: str, *, told: bool = False) -> ProviderError:
    """Give the failure of an answer; `told` if Slack itself said that it refuses."""
    code = error.upper() if _ERROR.fullmatch(error) else ""
    own = (code,) if code and (told or notify_faults.known(code)) else ()
    if answer.status == 200:
        codes = (*own, notify_faults.REFUSED) if told or own else ("UNREADABLE",)
    else:
        codes = (*own, *notify_faults.http_codes(answer.status))
    return _refused(codes, answer)


def _refused(codes: tuple[str, ...], answer: Answer | None = None) -> ProviderError:
    pause = pause_asked(answer.status, answer.headers, datetime.now(UTC)) if answer is not None else None
    return ProviderError(notify_faults.failure(notify_faults.SLACK, codes, pause))
