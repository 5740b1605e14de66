"""LeadConnector (HighLevel's API 2.0) as a crm; `offered` is what accounts may choose.

Which request an action is, and how one that may have been made is looked for, is in leadconnector_contacts.py
(contacts, tags, owner), leadconnector_items.py (notes, tasks, campaigns) and leadconnector_deals.py
(opportunities); what refusals mean in leadconnector_faults.py.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

from services.executors.crm import leadconnector_contacts as contacts
from services.executors.crm import leadconnector_deals as deals
from services.executors.crm import leadconnector_items as items
from services.executors.crm.leadconnector_api import (
    LeadConnectorApi,
    LeadConnectorCredentials,
    LeadConnectorSettings,
)
from services.executors.crm.leadconnector_faults import PROVIDER
from services.executors.crm.provider import Carried, Errand, Person, Sight, Way
from services.executors.gate import SendGate
from services.executors.providers.http_exchange import ProviderHttp
from services.executors.providers.offering import Offered
from services.executors.providers.provider import Answered, Callback, CallbackRefusedError, ProviderAccount


class _Means(NamedTuple):
    """How one action type is done, and looked for."""

    carry: Callable[[LeadConnectorApi, Errand, str, Way], Awaitable[Carried]]
    look: Callable[[LeadConnectorApi, Errand, str], Awaitable[Carried | Sight]]


_MEANS: Final[Mapping[str, _Means]] = {
    "create_contact": _Means(contacts.create, contacts.created),
    "update_contact": _Means(contacts.update, contacts.updated),
    "assign_to_user": _Means(contacts.assign, contacts.assigned),
    "add_tag": _Means(contacts.add_tags, contacts.has_tags),
    "remove_tag": _Means(contacts.remove_tags, contacts.has_no_tags),
    "add_note": _Means(items.add_note, items.note_added),
    "create_task": _Means(items.create_task, items.task_created),
    "add_to_campaign": _Means(items.add_to_campaign, items.who_is_in_is_not_told),
    "remove_from_campaign": _Means(items.remove_from_campaign, items.leaving_twice_is_leaving),
    "create_opportunity": _Means(deals.create, deals.created),
    "move_pipeline_stage": _Means(deals.move, deals.moved),
}


class LeadConnector:
    """One account's location at LeadConnector."""

    def __init__(
        self, settings: LeadConnectorSettings, credentials: LeadConnectorCredentials, http: ProviderHttp
    ) -> None:
        self._api = LeadConnectorApi(settings, credentials, http)

    @property
    def site(self) -> str:
        """Where its ids of contacts are valid."""
        return f"{PROVIDER}:{self._api.settings.location_id}"

    async def know(self, person: Person, gate: SendGate) -> str:
        """Give their id of a contact, who is made there if need be."""
        return await contacts.know(self._api, person, gate)

    async def carry(self, errand: Errand, their_id: str, way: Way) -> Carried:
        """Do it."""
        return await _MEANS[errand.action_type].carry(self._api, errand, their_id, way)

    async def look(self, errand: Errand, their_id: str) -> Carried | Sight:
        """Look whether it has been done."""
        return await _MEANS[errand.action_type].look(self._api, errand, their_id)

    def callback(self, request: Callback) -> Answered:
        """Refuse: nothing is asked of LeadConnector that it would call back for."""
        raise CallbackRefusedError("NOT_EXPECTED")


def offered(http: ProviderHttp) -> Offered[LeadConnector]:
    """What accounts may choose."""

    def make(account: ProviderAccount) -> LeadConnector:
        settings = LeadConnectorSettings.model_validate(dict(account.settings))
        credentials = LeadConnectorCredentials.model_validate(dict(account.credentials))
        return LeadConnector(settings, credentials, http)

    return Offered(LeadConnectorSettings, LeadConnectorCredentials, make)
