"""What LeadConnector's sandbox keeps, and its rules; leadconnector.py speaks HTTP around it.

Everything answers a body, or raises Refused with the status and the body LeadConnector would answer.
"""

import secrets
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from services.local.sandboxes.leadconnector_fields import Fields

LOCATION: Final = "sandboxLocation00001"
TOKEN: Final = "pit-sandbox-token"
"""What the sandbox takes unless told otherwise; nobody else does."""
PIPELINES: Final = {
    "sandboxPipeline00001": ("Sales", ("stage-new", "stage-offer", "stage-closing")),
    "sandboxPipeline00002": ("Renewals", ("stage-due", "stage-renewed")),
}
USERS: Final = ("sandboxUserAda000001", "sandboxUserBob000001")
CAMPAIGNS: Final = ("sandboxCampaign00001",)
WORKFLOWS: Final = ("sandboxWorkflow00001",)
CUSTOM_FIELDS: Final = ("sandboxFieldPlan0001", "sandboxFieldSeats001")
OPPORTUNITY_FIELDS: Final = ("sandboxFieldEffect01",)

Resource = dict[str, Any]

_ALPHABET: Final = string.ascii_letters + string.digits
_MOST_KEPT: Final = 10_000
_ITEM_TEXTS: Final = 5000


class Refused(Exception):
    """A request that is refused."""

    def __init__(self, status: int, message: str | list[str], **more: Any) -> None:
        super().__init__(status)
        self.status = status
        self.body: Resource = {"statusCode": status, "message": message, **more}


def unprocessable(*faults: str) -> Refused:
    """Make the refusal of a body."""
    return Refused(422, list(faults), error="Unprocessable Entity")


@dataclass(slots=True)
class Records:
    """One location's."""

    location_id: str
    contacts: dict[str, Resource] = field(default_factory=dict)
    opportunities: dict[str, Resource] = field(default_factory=dict)
    items: dict[str, list[Resource]] = field(default_factory=dict)
    """Notes and tasks, by `notes:{contact}` and `tasks:{contact}`."""
    entries: list[Resource] = field(default_factory=list)
    """Every entering and leaving of campaigns and workflows: kind, id, contactId, method."""

    def forget(self) -> None:
        """Drop everything."""
        for kept in (self.contacts, self.opportunities, self.items):
            kept.clear()
        self.entries.clear()

    def shown(self) -> Resource:
        """Give all there is, for people and tests."""
        return {
            "contacts": [
                one | {name: self.items.get(f"{name}:{one['id']}", []) for name in ("notes", "tasks")}
                for one in self.contacts.values()
            ],
            "opportunities": list(self.opportunities.values()),
            "entries": self.entries,
        }

    # Contacts

    def of_here(self, location_id: object) -> None:
        """Check whose a request is."""
        if location_id != self.location_id:
            raise Refused(403, "The token does not have access to this location.", error="Forbidden")

    def contact(self, contact_id: str) -> Resource:
        """Give a contact."""
        found = self.contacts.get(contact_id)
        if found is None:
            raise Refused(400, f"Contact with id {contact_id} not found")
        return found

    def duplicate(self, email: str, number: str) -> Resource | None:
        """Give the contact of an address, or else of a number."""
        by_email = self._of("email", email.lower())
        return by_email or self._of("phone", number)

    def create(self, asked: Resource) -> Resource:
        """Make a contact; this location allows no duplicates."""
        self._check_contact(asked)
        if not asked.get("email") and not asked.get("phone"):
            raise unprocessable("At least one of email, phone is required")
        for name in ("email", "phone"):
            twin = self._of(name, _plain(name, asked.get(name)))
            if twin is not None:
                meta = {"contactId": twin["id"], "matchingField": name, "contactName": twin.get("firstName")}
                raise Refused(400, "This location does not allow duplicated contacts.", meta=meta)
        made: Resource = {"id": new_id(), "locationId": self.location_id, "dateAdded": _now(), "tags": []}
        made["customFields"] = []
        _keep(self.contacts, made)
        self._write(made, asked)
        return made

    def upsert(self, asked: Resource) -> tuple[Resource, bool]:
        """Update the contact of that address, else of that number, or make one; whether it was made."""
        self._check_contact(asked)
        found = self.duplicate(str(asked.get("email") or ""), str(asked.get("phone") or ""))
        if found is None:
            return self.create(asked), True
        # What belongs to somebody else is left out, and not a word is said of it.
        given = {
            name: value
            for name, value in asked.items()
            if name not in ("email", "phone") or self._of(name, _plain(name, value)) in (None, found)
        }
        self._write(found, given)
        return found, False

    def update(self, contact_id: str, asked: Resource) -> Resource:
        """Change a contact."""
        contact = self.contact(contact_id)
        self._check_contact(asked)
        for name in ("email", "phone"):
            twin = self._of(name, _plain(name, asked.get(name)))
            if twin is not None and twin is not contact:
                raise Refused(400, "This location does not allow duplicated contacts.")
        self._write(contact, asked)
        return contact

    def add_tags(self, contact_id: str, tags: list[Any]) -> Resource:
        """Add tags, in small letters; say all there are, and those that are new."""
        contact = self.contact(contact_id)
        new = [tag for tag in _tags(tags) if tag not in contact["tags"]]
        contact["tags"] = contact["tags"] + new
        return {"tags": contact["tags"], "tagsAdded": new}

    def remove_tags(self, contact_id: str, tags: list[Any]) -> Resource:
        """Remove tags."""
        contact = self.contact(contact_id)
        gone = [tag for tag in _tags(tags) if tag in contact["tags"]]
        contact["tags"] = [tag for tag in contact["tags"] if tag not in gone]
        return {"tags": contact["tags"], "tagsRemoved": gone}

    def _of(self, name: str, value: str) -> Resource | None:
        if not value:
            return None
        return next((one for one in self.contacts.values() if one.get(name) == value), None)

    def _check_contact(self, asked: Resource) -> None:
        _known_user(asked.get("assignedTo"))
        unknown = [one for one in asked.get("customFields") or () if one.get("id") not in CUSTOM_FIELDS]
        if unknown:
            raise unprocessable("customFields: id is invalid")
        email = asked.get("email")
        if email and "@" not in email:
            raise unprocessable("email must be an email")

    def _write(self, contact: Resource, asked: Resource) -> None:
        for name, value in asked.items():
            if name == "customFields":
                values = {one["id"]: one["value"] for one in contact["customFields"]}
                values |= {one["id"]: one.get("field_value") for one in value}
                contact["customFields"] = [
                    {"id": one, "value": told} for one, told in values.items() if told not in ("", None)
                ]
            elif name == "tags":
                contact["tags"] = _tags(value)
            elif name != "locationId":
                contact[name] = _plain(name, value) if name in ("email", "phone") else value
        contact["dateUpdated"] = _now()

    # Notes, tasks, campaigns, workflows

    def add_item(self, name: str, contact_id: str, asked: Resource) -> Resource:
        """Write a note or a task; name is notes or tasks."""
        self.contact(contact_id)
        _known_user(asked.get("assignedTo") or asked.get("userId"))
        if name == "notes" and len(asked["body"]) > _ITEM_TEXTS + 40:
            raise unprocessable("body must be shorter than or equal to 5040 characters")
        if "dueDate" in asked:
            try:
                datetime.fromisoformat(asked["dueDate"])
            except ValueError:
                raise unprocessable("dueDate must be a valid ISO 8601 date string") from None
        made = {"id": new_id(), "contactId": contact_id, "dateAdded": _now(), **asked}
        self.items.setdefault(f"{name}:{contact_id}", []).insert(0, made)
        return made

    def items_of(self, name: str, contact_id: str) -> list[Resource]:
        """Give a contact's notes or tasks, newest first."""
        self.contact(contact_id)
        return self.items.get(f"{name}:{contact_id}", [])

    def enter(self, method: str, kind: str, contact_id: str, one: str) -> None:
        """Let a contact into a campaign or workflow, or out: asked for again, it is done again."""
        self.contact(contact_id)
        if one != "removeAll" and one not in (CAMPAIGNS if kind == "campaigns" else WORKFLOWS):
            raise Refused(404, f"{kind} not found")
        self.entries.append({"method": method, "kind": kind, "id": one, "contactId": contact_id})

    # Opportunities

    def open(self, asked: Resource) -> Resource:
        """Open an opportunity: as often as it is asked for."""
        self.contact(asked["contactId"])
        self._check_place(asked)
        own = asked.get("customFields") or []
        if any(one.get("id") not in OPPORTUNITY_FIELDS for one in own):
            raise unprocessable("customFields: id is invalid")
        made = {
            "id": new_id(),
            "monetaryValue": 0,
            "source": "",
            "createdAt": _now(),
            **asked,
            "customFields": [{"id": one["id"], "fieldValue": one.get("field_value")} for one in own],
            "pipelineStageId": asked.get("pipelineStageId") or PIPELINES[asked["pipelineId"]][1][0],
        }
        _keep(self.opportunities, made)
        return made

    def opportunity(self, opportunity_id: str) -> Resource:
        """Give an opportunity."""
        found = self.opportunities.get(opportunity_id)
        if found is None:
            raise Refused(404, f"Opportunity with id {opportunity_id} not found")
        return found

    def change(self, opportunity_id: str, asked: Resource) -> Resource:
        """Change an opportunity."""
        found = self.opportunity(opportunity_id)
        self._check_place({**found, **asked})
        if asked.get("pipelineStageId") not in (None, found["pipelineStageId"]):
            found["lastStageChangeAt"] = _now()
        found.update(asked, updatedAt=_now())
        return found

    def search(self, query: Mapping[str, str]) -> list[Resource]:
        """Give the opportunities a search asks for, newest first."""
        named = {
            "pipelineId": "pipeline_id",
            "contactId": "contact_id",
            "pipelineStageId": "pipeline_stage_id",
        }
        status = query.get("status", "all")
        found = [
            one
            for one in self.opportunities.values()
            if all(query.get(theirs) in (None, one.get(name)) for name, theirs in named.items())
            and status in ("all", one["status"])
        ]
        return found[::-1][: min(int(query.get("limit", "20")), 100)]

    def _check_place(self, asked: Resource) -> None:
        _known_user(asked.get("assignedTo"))
        pipeline = PIPELINES.get(asked["pipelineId"])
        if pipeline is None:
            raise Refused(400, "The pipeline id is invalid.")
        if asked.get("pipelineStageId") not in (None, *pipeline[1]):
            raise Refused(400, "The pipeline stage id is invalid.")


def pipelines(location_id: str) -> list[Resource]:
    """Give the location's pipelines."""
    return [
        {
            "id": key,
            "name": name,
            "locationId": location_id,
            "showInFunnel": True,
            "stages": [{"id": stage, "name": stage, "position": at} for at, stage in enumerate(stages)],
        }
        for key, (name, stages) in PIPELINES.items()
    ]


def checked(fields: Fields, asked: Resource) -> Resource:
    """Give a body that has the fields it may and must have."""
    faults = fields.faults(asked)
    if faults:
        raise unprocessable(*faults)
    return asked


def new_id() -> str:
    """Give an id as theirs are: 20 letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(20))


def _known_user(user_id: object) -> None:
    if user_id is not None and user_id not in USERS:
        raise unprocessable("The user id is invalid.")


def _tags(tags: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(str(tag).strip().lower() for tag in tags))


def _plain(name: str, value: object) -> str:
    return str(value or "").strip().lower() if name == "email" else str(value or "").strip()


def _keep(kind: dict[str, Resource], one: Resource) -> None:
    kind[one["id"]] = one
    if len(kind) > _MOST_KEPT:
        kind.pop(next(iter(kind)))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
