"""Entry point `python -m services.executors.membership`: ActionExecutor and MembershipService on a server."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

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
from services.runtime.config import HostPort, host_ports, number, setting
from services.runtime.keyring import Keyring


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
    servicer = MembershipServicer(Courses(pool, keyring))
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
