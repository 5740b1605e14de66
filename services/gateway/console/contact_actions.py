"""What is done with one contact: a consent recorded, an event published for it, the contact deleted."""

from typing import Any, Final

import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct
from starlette.requests import Request
from wayfarer.crm.v1 import consent_service_pb2 as consent_pb
from wayfarer.crm.v1 import contact_service_pb2 as contact_pb
from wayfarer.crm.v1.contact_pb2 import Contact
from wayfarer.event.v1 import event_service_pb2 as event_pb
from wayfarer.execution.v1.execution_service_pb2 import ListExecutionsRequest

from services.gateway.console.api import Api, Trouble
from services.gateway.console.forms import Done, Field, Form, Option, Question, ask
from services.gateway.console.rendering import Page, person
from services.gateway.console.words import CATEGORIES, CHANNELS

_CHANNELS: Final = [Option(str(number), label) for number, label in CHANNELS.items()]
_CATEGORIES: Final = [Option(str(number), label) for number, label in CATEGORIES.items() if number]


async def _read(request: Request, api: Api) -> Contact:
    asked = contact_pb.GetContactRequest(id=request.path_params["contact"])
    return (await api.call(api.stubs.contacts.GetContact, asked)).contact


def _here(contact: Contact) -> str:
    return f"/console/contacts/{contact.id}"


def _question(contact: Contact, **parts: Any) -> Question:
    crumbs = (("Contacts", "/console/contacts"), (person(contact), _here(contact)))
    return Question(back=_here(contact), crumbs=crumbs, **parts)


async def consent(request: Request, api: Api, form: Form) -> Page | Done:
    """Records what the contact said of a channel and category."""
    contact = await _read(request, api)
    form.begin(channel="1", category="1", granted="")
    if form.sent:
        form.one_of("granted", ("yes", "no"), "Say whether it was given or refused.")
        form.need("source", "Say how you know: which form, which words, who wrote it down.")
        form.one_of("channel", [option.value for option in _CHANNELS])
        form.one_of("category", [option.value for option in _CATEGORIES])
    if form.sound:
        channel, category = int(form.get("channel")), int(form.get("category"))
        call = consent_pb.SetConsentRequest(
            contact_id=contact.id,
            channel=channel,  # type: ignore[arg-type]
            category=category,  # type: ignore[arg-type]
            granted=form.get("granted") == "yes",
            source=form.get("source"),
        )
        if await form.attempt(api.call(api.stubs.consents.SetConsent, call), ("source",)) is not None:
            said = "given" if call.granted else "refused"
            about = f"{CHANNELS[channel]}, {CATEGORIES[category]}"
            return Done(_here(contact), f"Recorded: {about} is {said}.")
    given = [
        Option("yes", "Given", "Messages of this kind may go."),
        Option("no", "Refused", "None of this kind is begun from now on."),
    ]
    question = _question(
        contact,
        title=f"Consent of {person(contact)}",
        button="Record",
        lines=["What the contact said, or somebody for it. It is asked before every message."],
        fields=[
            Field("channel", "By which channel", "select", options=_CHANNELS),
            Field("category", "What for", "select", options=_CATEGORIES),
            Field("granted", "Consent", "radio", options=given),
            Field("source", "Evidence", required=True, hint="Which form, which words, who wrote it down."),
        ],
    )
    return ask(form, question)


async def publish_event(request: Request, api: Api, form: Form) -> Page | Done:
    """Publishes an event for the contact, as its sender would."""
    contact = await _read(request, api)
    if form.sent:
        form.need("type", "Say what happened.")
    data = form.json_object("data")
    if form.sound:
        given = Struct()
        ParseDict(data, given)
        event = event_pb.NewEvent(
            id=f"console-{form.get('request_id')}", contact_id=contact.id, type=form.get("type"), data=given
        )
        call = event_pb.PublishEventsRequest(events=[event])
        names = {"events[0].type": "type", "events[0].data": "data"}
        answer = await form.attempt(api.call(api.stubs.events.PublishEvents, call), names)
        if answer is not None:
            (receipt,) = answer.receipts
            if not receipt.HasField("error"):
                told = "Published: what became of it is below."
                return Done(f"/console/events/{receipt.event_id}", told)
            _tell(form, receipt.error)
    question = _question(
        contact,
        title=f"An event of {person(contact)}",
        button="Publish",
        lines=["It counts like any other: it may start workflows, end waits and reach goals."],
        fields=[
            Field(
                "type", "What happened", required=True, placeholder="form_submitted, or custom:order_placed"
            ),
            Field(
                "data", "Data", "code", 'A JSON object, such as {"form": "signup"}; may be left out.', rows=6
            ),
        ],
    )
    return ask(form, question)


def _tell(form: Form, error: event_pb.EventError) -> None:
    """Why the event was not taken in, beside its field if one is at fault."""
    field = error.field.rsplit("events[0].", 1)[-1].split(".")[0].split("[")[0]
    if field in ("type", "data"):
        form.refuse(field, error.message)
    else:
        form.trouble = Trouble(grpc.StatusCode.FAILED_PRECONDITION, error.message, error.reason, ())
    form.renew()


async def delete(request: Request, api: Api, form: Form) -> Page | Done:
    """Deletes the contact with what is kept of it, once its name or an id was typed."""
    contact = await _read(request, api)
    names = {person(contact), contact.id, contact.external_id, contact.email} - {""}
    if form.sent:
        typed = form.need("typed", "Type the contact's name or id.")
        if typed and typed.casefold() not in {name.casefold() for name in names}:
            form.refuse("typed", f"That is not this contact: it is {person(contact)}.")
    if form.sound:
        call = contact_pb.DeleteContactRequest(id=contact.id, request_id=form.get("request_id"))
        answer = await form.attempt(api.call(api.stubs.contacts.DeleteContact, call))
        if answer is not None:
            number = answer.executions_cancelled
            return Done(
                "/console/contacts", f"{person(contact)} is deleted; {number} executions were cancelled."
            )
    runs = await api.call(
        api.stubs.executions.ListExecutions, ListExecutionsRequest(contact_id=contact.id, page_size=100)
    )
    live = sum(not run.HasField("end_time") for run in runs.executions)
    question = _question(
        contact,
        title=f"Delete {person(contact)}",
        button="Delete for good",
        lines=[
            f"{live} executions under way are cancelled. Name, addresses, tags and fields are erased.",
            "What was sent cannot be called back. This cannot be undone.",
        ],
        fields=[Field("typed", f"Type {person(contact)} to confirm", required=True)],
        danger=True,
    )
    return ask(form, question)
