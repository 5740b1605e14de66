"""What is done with one event: its refused starts are tried again; one that was set aside is taken in."""

from typing import Final

from starlette.requests import Request
from wayfarer.event.v1 import event_service_pb2 as pb
from wayfarer.event.v1.event_pb2 import ConsequenceKind

from services.gateway.console.api import Api
from services.gateway.console.forms import Done, Form, Question, ask
from services.gateway.console.rendering import Page, person

_BLOCKED: Final = ConsequenceKind.CONSEQUENCE_KIND_BLOCKED


async def replay(request: Request, api: Api, form: Form) -> Page | Done:
    """Tries again the starts that the event was refused."""
    asked = pb.GetEventRequest(id=request.path_params["event"])
    event = (await api.call(api.stubs.events.GetEvent, asked)).event
    here = f"/console/events/{event.id}"
    if form.sound:
        call = pb.ReplayEventRequest(id=event.id, request_id=form.get("request_id"))
        answer = await form.attempt(api.call(api.stubs.events.ReplayEvent, call))
        if answer is not None:
            left = sum(one.kind == _BLOCKED for one in answer.event.consequences)
            told = f"{left} refused again: the receipt says why." if left else "What began is in the receipt."
            return Done(here, f"Replayed. {told}")
    people, workflows = await api.contacts([event.contact_id]), await api.workflows()
    refused = [one.workflow_id for one in event.consequences if one.kind == _BLOCKED]
    names = ", ".join(sorted({workflows[one].name for one in refused if one in workflows}))
    question = Question(
        title=f"Replay this event of {person(people.get(event.contact_id), event.contact_id)}",
        button="Replay",
        back=here,
        crumbs=(("Events", "/console/events"), (event.type, here)),
        lines=[
            f"The starts it was refused are tried again: {names or 'none'}. Today's rules decide.",
            "The event keeps its id and counts once. What it did already is not done again.",
        ],
    )
    return ask(form, question)


async def take_in(request: Request, api: Api, form: Form) -> Page | Done:
    """Takes in an event that was set aside."""
    place = request.path_params["place"]
    if form.sound:
        call = pb.ReplaySetAsideEventRequest(inbox_id=place, request_id=form.get("request_id"))
        answer = await form.attempt(api.call(api.stubs.events.ReplaySetAsideEvent, call))
        if answer is not None:
            return Done(f"/console/events/{answer.event.id}", "Taken in: what became of it is below.")
    question = Question(
        title=f"Take in event number {place}",
        button="Take in",
        back="/console/set-aside",
        crumbs=(("Refused", "/console/refusals"), ("Events set aside", "/console/set-aside")),
        lines=[
            "It starts, resumes and ends what it would have when it came, as things stand now.",
            "It keeps its id and counts once. If it still cannot be taken in, it stays set aside.",
        ],
    )
    return ask(form, question)
