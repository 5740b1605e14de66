"""Does the family's actions for accounts whose crm is at a provider; each action module has a Carrier.

What our own records forbid is refused first, in a rehearsal that is rolled back. Then the errand is written,
noted as sent, done there, and kept here, in the transaction that ends the errand. Whoever comes to an errand
that was sent looks for it there first.
"""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Final, Generic, TypeAlias

import asyncpg
import orjson

from services.executors.action import (
    Apply,
    Call,
    Certainty,
    ConfigT,
    EffectKey,
    ErrorClass,
    Failed,
    JsonObject,
    Result,
    Succeeded,
    succeeded,
)
from services.executors.crm.contacts import contact_of
from services.executors.crm.desk import Desk
from services.executors.crm.ids import ContactKey
from services.executors.crm.provider import (
    CONTACT_GONE,
    Carried,
    CrmProvider,
    Errand,
    Sight,
    Turn,
    Way,
)
from services.executors.crm.refusals import CONTACT_NOT_FOUND
from services.executors.gate import SendGate
from services.executors.providers.provider import ProviderError
from services.runtime.database import DatabaseUnavailableError

_LOST: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    DatabaseUnavailableError,
    OSError,
)
_NO_PROVIDER: Final = "NO_PROVIDER"
_NOT_KEPT: Final[JsonObject] = {"changed": False, "kept_here": False}
_NOTHING_SENT: Final = Failed(
    ErrorClass.SERVER_ERROR, "NOTHING_SENT", "it is not at the provider", Certainty.NOT_DONE
)
_CHANGED: Final = Failed(
    ErrorClass.SERVER_ERROR, "PROVIDER_CHANGED", "the account has its crm here now", Certainty.NOT_DONE
)
_SUPERSEDED: Final = Failed(
    ErrorClass.SERVER_ERROR, "STALE_FENCE", "another attempt at this effect came first", Certainty.NOT_DONE
)
_IN_DOUBT: Final = Failed(
    ErrorClass.INDETERMINATE,
    "OUTCOME_UNKNOWN",
    "an earlier attempt may have done it, and the provider does not tell",
    Certainty.INDETERMINATE,
    final=True,
)

Plan: TypeAlias = Callable[[asyncpg.Connection, Call[ConfigT], Desk], Awaitable[Failed | JsonObject]]


def _as_it_is(config: ConfigT, plan: Mapping[str, Any]) -> ConfigT:
    return config


@dataclass(frozen=True, slots=True)
class Carrier(Generic[ConfigT]):
    """The way of one action type to a provider and back."""

    action_type: str
    config: type[ConfigT]
    mirror: Apply[ConfigT, Desk] | None = None
    """What keeps it here too, as it does for other accounts; None if it is at the provider only."""
    plan: Plan[ConfigT] | None = None
    """Decides what is not to be decided again; else the mirror is rehearsed."""
    planned: Callable[[ConfigT, Mapping[str, Any]], ConfigT] = _as_it_is
    """The config the mirror goes by, once that was decided."""
    of_other: bool = False
    """Whether it is about another contact than the step's."""

    async def run(self, call: Call[ConfigT], desk: Desk) -> Result:
        """Make an attempt."""
        try:
            async with desk.elsewhere.acting(call.key.account_id) as provider:
                errand = await self._taken(call, desk)
                if isinstance(errand, Failed):
                    return errand
                return errand.result or await self._go(errand, provider, call.gate, desk)
        except ProviderError as error:
            return _CHANGED if error.failed.code == _NO_PROVIDER else error.failed
        except _LOST as error:
            code = getattr(error, "sqlstate", None) or "CRM_UNAVAILABLE"
            certainty = Certainty.INDETERMINATE if call.gate.begun else Certainty.NOT_DONE
            return Failed(ErrorClass.DATABASE, code, "the crm's database failed", certainty)

    async def find(self, key: EffectKey, refs: Mapping[str, str], desk: Desk) -> Result | None:
        """Find out what became of an attempt whose end nobody knows."""
        errand = await desk.errands.get(key, self.action_type)
        if errand is None:
            return _NOTHING_SENT
        if errand.result is not None:
            return errand.result
        if errand.sent is None:
            return _NOTHING_SENT
        async with desk.elsewhere.acting(key.account_id) as provider:
            match await self._look(errand, provider, desk):
                case Carried() as carried:
                    return await self._ended(errand, carried, provider, desk)
                case Sight.NOT_THERE:
                    # Of an attempt that began meanwhile this look tells nothing.
                    unsent = await desk.errands.sent(errand, None)
                    return _NOTHING_SENT if unsent is not None else None
                case _:
                    return None

    async def _taken(self, call: Call[ConfigT], desk: Desk) -> Errand | Failed:
        """Give the errand to this attempt, unless it is done; the first one opens it."""
        errand = await desk.errands.get(call.key, self.action_type)
        if errand is None:
            return await self._opened(call, desk)
        if errand.result is not None:
            return errand
        return await desk.errands.taken(errand, Turn(call.fence, call.attempt)) or _SUPERSEDED

    async def _opened(self, call: Call[ConfigT], desk: Desk) -> Errand | Failed:
        async with desk.pool.acquire() as connection, connection.transaction():
            owners = await desk.contacts.held(connection, [call])
            if not self.of_other and contact_of(call) not in owners:
                return CONTACT_NOT_FOUND
            plan = await self._plan(connection, call, desk)
            if isinstance(plan, Failed):
                return plan
            config = call.config.model_dump(mode="json", exclude_unset=True)
            plan = {"owner": owners.get(contact_of(call)), **plan}
            turn = Turn(call.fence, call.attempt)
            errand = Errand(call.key, self.action_type, call.contact_id, config, plan, turn)
            await desk.errands.open(connection, errand)
        return errand

    async def _plan(
        self, connection: asyncpg.Connection, call: Call[ConfigT], desk: Desk
    ) -> Failed | JsonObject:
        if self.plan is not None:
            return await self.plan(connection, call, desk)
        if self.mirror is None:
            return {}
        rehearsal = connection.transaction()
        await rehearsal.start()
        try:
            (result,) = await self.mirror(connection, [call], desk)
        finally:
            await rehearsal.rollback()
        return result if isinstance(result, Failed) else {}

    async def _go(self, errand: Errand, provider: CrmProvider, gate: SendGate, desk: Desk) -> Result:
        """Look if it may have been done, else do it; once more if the contact is not whom we took it for."""
        if errand.sent is not None:
            match await self._look(errand, provider, desk):
                case Carried() as carried:
                    return await self._ended(errand, carried, provider, desk)
                case Sight.CANNOT_TELL:
                    return _IN_DOUBT
                case _:
                    unsent = await desk.errands.sent(errand, None)
                    if unsent is None:
                        return _SUPERSEDED
                    errand = unsent
        their_id = await self._their_id(errand, provider, gate, desk)
        try:
            carried = await _carried(errand, their_id, provider, gate, desk)
        except ProviderError as error:
            if error.failed.code != CONTACT_GONE or not their_id:
                raise
            await desk.errands.forget_their_id(_contact(errand), provider.site, their_id)
            their_id = await self._their_id(errand, provider, gate, desk)
            carried = await _carried(errand, their_id, provider, gate, desk)
        try:
            return await self._ended(errand, carried, provider, desk)
        except _LOST:
            if self.mirror is not None:
                raise
            return succeeded(carried.output, refs=carried.refs)  # there is nothing to keep here

    async def _look(self, errand: Errand, provider: CrmProvider, desk: Desk) -> Carried | Sight:
        their_id = ""
        if not self.of_other:
            their_id = await desk.errands.their_id(_contact(errand), provider.site)
            if not their_id:  # the account went to another site meanwhile
                return Sight.CANNOT_TELL
        return await provider.look(errand, their_id)

    async def _their_id(self, errand: Errand, provider: CrmProvider, gate: SendGate, desk: Desk) -> str:
        if self.of_other:
            return ""
        contact = _contact(errand)
        known = await desk.errands.their_id(contact, provider.site)
        if known:
            return known
        their_id = await provider.know(await desk.errands.person(contact), gate)
        await desk.errands.put_their_id(contact, provider.site, their_id)
        return their_id

    async def _ended(self, errand: Errand, carried: Carried, provider: CrmProvider, desk: Desk) -> Succeeded:
        """Keep here what was done there, once however often this is called."""
        made: ContactKey | None = None
        async with desk.pool.acquire() as connection, connection.transaction():
            now = await desk.errands.locked(connection, errand.effect, self.action_type)
            if now is not None and now.result is not None:
                return now.result
            result = succeeded(carried.output, refs=carried.refs)
            if self.mirror is not None:
                call = self._call(errand)
                (kept,) = await self.mirror(connection, [call], desk)
                if isinstance(kept, Succeeded):
                    result = replace(kept, refs=result.refs, constant=False)
                    made = self._made(errand, carried, kept)
                else:  # deleted here meanwhile, or another took the address
                    result = succeeded(_NOT_KEPT, refs=carried.refs)
            if now is not None:  # else the contact was deleted meanwhile
                await desk.errands.end(connection, errand, result)
        if made is not None:
            await desk.errands.put_their_id(made, provider.site, carried.their_id)
        return result

    def _made(self, errand: Errand, carried: Carried, kept: Succeeded) -> ContactKey | None:
        """Give the other contact it was about, if it is one."""
        if not self.of_other or not carried.their_id:
            return None
        return errand.effect.account_id, uuid.UUID(orjson.loads(kept.output)["contact_id"])

    def _call(self, errand: Errand) -> Call[ConfigT]:
        config = self.planned(self.config.model_validate(errand.config), errand.plan)
        return Call(errand.effect, errand.contact_id, config, {}, 1, 0, 0.0, "", SendGate(0.0))


async def _carried(
    errand: Errand, their_id: str, provider: CrmProvider, gate: SendGate, desk: Desk
) -> Carried:
    """Do it there; what was noted is taken back if it provably was not, unless a later attempt has it."""
    leg = _Leg(gate)

    async def note(details: JsonObject) -> None:
        leg.since_note = False
        if await desk.errands.sent(errand, details) is None:
            raise ProviderError(_SUPERSEDED)

    try:
        return await provider.carry(errand, their_id, Way(leg, note))
    except ProviderError as error:
        if error.failed.certainty is Certainty.NOT_DONE:
            await desk.errands.sent(errand, None)
        raise
    except BaseException:
        if not leg.since_note:
            await desk.errands.sent(errand, None)
        raise


class _Leg(SendGate):
    """An attempt's gate, which may have been passed for what goes before: a contact made, a campaign left."""

    __slots__ = ("_whole", "since_note")

    def __init__(self, whole: SendGate) -> None:
        super().__init__(inf)
        self._whole = whole
        self.since_note = False
        """Whether anything left after what was noted was written."""

    def begin(self) -> None:
        """Pass both. Raises AttemptStoppedError."""
        self._whole.begin()
        super().begin()
        self.since_note = True


def _contact(errand: Errand) -> ContactKey:
    return errand.effect.account_id, errand.contact_id
