"""Which fields the requests of LeadConnector's API 2.0 may and must have; the sandbox refuses all others.

Source: the provider's own OpenAPI description, GoHighLevel/highlevel-api-docs at 0af86a4 (2026-06-19),
apps/contacts.json (CreateContactDto, UpsertContactDto, UpdateContactDto, TagsDTO, NotesDTO, CreateTaskParams,
CreateWorkflowDto) and apps/opportunities.json (CreateDto, UpdateOpportunityDto).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

STATUSES: Final = ("open", "won", "lost", "abandoned", "all")


@dataclass(frozen=True, slots=True)
class Fields:
    """One request body's: what each is of, which must be there."""

    kinds: Mapping[str, type | tuple[type, ...]]
    required: tuple[str, ...] = ()
    nullable: frozenset[str] = frozenset()

    def faults(self, asked: Mapping[str, Any]) -> list[str]:
        """Say what is wrong with a body, as their validator words it."""
        told = [f"property {name} should not exist" for name in asked if name not in self.kinds]
        told += [f"{name} should not be empty" for name in self.required if asked.get(name) in (None, "")]
        for name, value in asked.items():
            kind = self.kinds.get(name)
            if kind is None or (value is None and name in self.nullable):
                continue
            is_boolean = isinstance(value, bool)
            if not isinstance(value, kind) or (is_boolean and kind is not bool):
                told.append(f"{name} must be a {kind.__name__ if isinstance(kind, type) else 'number'}")
        if "status" in self.kinds and asked.get("status", "open") not in STATUSES:
            told.append(f"status must be one of the following values: {', '.join(STATUSES)}")
        return told


_TEXTS: Final = [
    "firstName",
    "lastName",
    "name",
    "email",
    "phone",
    "address1",
    "city",
    "state",
    "postalCode",
    "website",
    "timezone",
    "source",
    "dateOfBirth",
    "country",
    "assignedTo",
]
_NULLABLE: Final = frozenset(
    [
        "firstName",
        "lastName",
        "name",
        "email",
        "phone",
        "address1",
        "city",
        "state",
        "website",
        "timezone",
        "dateOfBirth",
    ]
)
_CONTACT: Final[Mapping[str, type | tuple[type, ...]]] = {
    **dict.fromkeys(_TEXTS, str),
    "dnd": bool,
    "dndSettings": dict,
    "inboundDndSettings": dict,
    "tags": list,
    "customFields": list,
}
_NEW_CONTACT: Final = {**_CONTACT, "locationId": str, "gender": str, "companyName": str}
_OPPORTUNITY: Final[Mapping[str, type | tuple[type, ...]]] = {
    **dict.fromkeys(("pipelineId", "name", "pipelineStageId", "status", "assignedTo"), str),
    "monetaryValue": (int, float),
    "customFields": list,
}

CREATE_CONTACT: Final = Fields(_NEW_CONTACT, ("locationId",), _NULLABLE)
UPSERT_CONTACT: Final = Fields(
    {**_NEW_CONTACT, "createNewIfDuplicateAllowed": bool}, ("locationId",), _NULLABLE
)
UPDATE_CONTACT: Final = Fields(_CONTACT, (), _NULLABLE | {"source", "assignedTo"})
TAGS: Final = Fields({"tags": list}, ("tags",))
NOTE: Final = Fields({"userId": str, "body": str, "title": str, "color": str, "pinned": bool}, ("body",))
TASK: Final = Fields(
    {"title": str, "body": str, "dueDate": str, "completed": bool, "assignedTo": str},
    ("title", "dueDate", "completed"),
)
WORKFLOW: Final = Fields({"eventStartTime": str})
CAMPAIGN: Final = Fields({})
CREATE_OPPORTUNITY: Final = Fields(
    {**_OPPORTUNITY, "locationId": str, "contactId": str},
    ("pipelineId", "locationId", "name", "status", "contactId"),
)
UPDATE_OPPORTUNITY: Final = Fields(_OPPORTUNITY)
