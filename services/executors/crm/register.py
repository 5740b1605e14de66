"""Contacts by address as one batch leaves them, decided purely; create_contact fills and writes it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.executors.action import JsonObject
from services.executors.crm.addresses import Address
from services.executors.crm.ids import ContactKey


@dataclass(slots=True)
class Register:
    """Whose address it is and what is known of them, as the calls decided so far leave it."""

    holders: dict[Address, ContactKey]
    data: dict[ContactKey, JsonObject]
    made: dict[ContactKey, JsonObject] = field(default_factory=dict)
    changed: dict[ContactKey, JsonObject] = field(default_factory=dict)
    given: dict[tuple[ContactKey, str], Address] = field(default_factory=dict)

    def holder(self, address: Address) -> ContactKey | None:
        """Give whose address it is; a contact deleted meanwhile has none."""
        key = self.holders.get(address)
        return key if key in self.data else None

    def give(self, key: ContactKey, addresses: Sequence[Address]) -> bool:
        """Let addresses be the contact's, in place of those of the same kind; whether any is new."""
        new = [one for one in addresses if self.holders.get(one) != key]
        for one in new:
            for old in [old for old, who in self.holders.items() if who == key and old.kind == one.kind]:
                del self.holders[old]
            self.holders[one] = key
            self.given[key, one.kind] = one
        return bool(new)

    def write(self, key: ContactKey, data: JsonObject, *, is_new: bool) -> bool:
        """Set a contact's data; whether that changes it."""
        if self.data.get(key) == data:
            return False
        self.data[key] = data
        (self.made if is_new or key in self.made else self.changed)[key] = data
        return True
