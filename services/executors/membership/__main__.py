"""Entry point `python -m services.executors.membership`: ActionExecutor and MembershipService on a server."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

import asyncpg
from wayfarer.membership.v1.membership_service_pb2_grpc import add_MembershipServiceServicer_to_server

from services.executors import membership
from services.executors.family import Family, FamilySettings, Parts, main
from services.executors.membership import thinkific
from services.executors.membership.builtin import BuiltIn
from services.executors.membership.courses import Courses
from services.executors.membership.membership_servicer import SERVICE, MembershipServicer
from services.executors.membership.provider import CHANNEL, CourseProvider
from services.executors.providers.accounts import ProviderAccounts
from services.executors.providers.http_exchange import ProviderHttp
from services.executors.providers.offering import Chosen, Offers
from services.runtime.config import HostPort, host_ports, integer, number, setting
from services.runtime.keyring import Keyring
from services.runtime.lifecycle import periodic, supervise

_FORGET_EVERY_S: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(FamilySettings):
    """What the membership family needs to know."""

    provider_allow: tuple[HostPort, ...] = setting(
        "WAYFARER_PROVIDER_ALLOW",
        host_ports,
        default=(),
        help="host:port pairs that accounts' providers may be at although internal.",
    )
    provider_answer_s: float = setting(
        "WAYFARER_PROVIDER_ANSWER_S",
        number(1, 60),
        default=6.0,
        help="How long each answer of a provider is waited for, in seconds; a grant takes up to four.",
    )
    course_access_days: int = setting(
        "WAYFARER_COURSE_ACCESS_DAYS",
        integer(400, 36_500),
        default=730,
        help="How long access that has ended is kept, with its progress; longer than effects are.",
    )


async def open_parts(
    settings: Settings, stack: AsyncExitStack, pool: asyncpg.Pool, keyring: Keyring
) -> Parts:
    """Equip the membership family."""
    allow = frozenset(settings.provider_allow)
    http = await stack.enter_async_context(ProviderHttp(allow, answer_s=settings.provider_answer_s))
    accounts = ProviderAccounts(pool, keyring)
    offers: Offers[CourseProvider] = {"thinkific": thinkific.offered(http)}
    chosen: Chosen[CourseProvider] = Chosen(accounts, CHANNEL, offers, BuiltIn(pool))
    stack.callback(chosen.close)
    courses = Courses(pool, keyring)
    forget = partial(courses.forget, settings.course_access_days)
    supervise(stack, periodic(_FORGET_EVERY_S, forget, asyncio.Event(), name="access"), "access")
    servicer = MembershipServicer(courses)
    return Parts(
        chosen,
        (SERVICE,),
        (partial(add_MembershipServiceServicer_to_server, servicer),),
        providers={CHANNEL: offers},
        accounts=accounts,
    )


FAMILY = Family("membership", membership, Settings, open_parts)

if __name__ == "__main__":
    main(FAMILY)
