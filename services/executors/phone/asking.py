"""Asks a message provider one thing and sorts its answer by the fault table; twilio.py and meta.py use it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from services.executors.action import Certainty, ErrorClass, Failed, Skipped
from services.executors.gate import SendGate
from services.executors.phone import phone_faults
from services.executors.phone.phone_faults import Fault
from services.executors.providers.http_exchange import HttpRequest, NoAnswerError, ProviderHttp, pause_asked
from services.executors.providers.provider import ProviderError

AnswerT = TypeVar("AnswerT", bound=BaseModel)
Refs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Asking:
    """One account's way to ask a provider."""

    http: ProviderHttp
    provider: str
    channel: str
    lane: str
    own_codes: Callable[[bytes], tuple[str, ...]]
    """Reads the provider's own codes from a refusal, the most telling first."""

    async def do(
        self, request: HttpRequest, gate: SendGate, shape: type[AnswerT], refs: Refs = ()
    ) -> AnswerT | Skipped:
        """Have an effect done. Raises ProviderError, with `refs` if uncertain, and AttemptStoppedError."""
        verdict = await self._ask(request, gate, shape, refs)
        if isinstance(verdict, Failed):
            raise ProviderError(verdict)
        return verdict

    async def read(self, request: HttpRequest, shape: type[AnswerT]) -> AnswerT:
        """Ask what has no effect. Raises ProviderError."""
        verdict = await self._ask(request, None, shape, ())
        if isinstance(verdict, Skipped):
            verdict = self._unreadable(())
        if isinstance(verdict, Failed):
            raise ProviderError(verdict)
        return verdict

    async def _ask(
        self, request: HttpRequest, gate: SendGate | None, shape: type[AnswerT], refs: Refs
    ) -> AnswerT | Failed | Skipped:
        try:
            reply = await self.http.exchange(request, gate)
        except NoAnswerError as error:
            return phone_faults.verdict(Fault(self.provider, self.channel, (error.code,), refs=refs))
        if 200 <= reply.status < 300:
            try:
                return shape.model_validate_json(reply.body)
            except ValidationError:
                return self._unreadable(refs)
        codes = (*self.own_codes(reply.body), *phone_faults.http_codes(reply.status))
        pause = pause_asked(reply.status, reply.headers, datetime.now(UTC))
        fault = Fault(self.provider, self.channel, codes, pause, self.lane, refs)
        return phone_faults.verdict(fault)

    def _unreadable(self, refs: Refs) -> Failed:
        text = "the answer could not be read"
        certainty = Certainty.INDETERMINATE
        return Failed(
            ErrorClass.SERVER_ERROR, "UNREADABLE", text, certainty, provider=self.provider, refs=refs
        )
