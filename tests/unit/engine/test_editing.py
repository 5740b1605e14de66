"""R-STEP-5, A-27: whatever is edited, ids are unique, positions contiguous, and no link is left dangling."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_engine.definition import editing
from execution_engine.errors import InvalidValue, NotFound, StepLimit
from execution_engine.steps.registry import CONTROL_STEPS


def tag(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "add_tag", "config": {"tag": name}, **more}


def document(*steps: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {"key": "k", "steps": list(steps), "settings": settings}


def ids(edited: editing.Edited) -> list[str]:
    return [step["id"] for step in edited.document["steps"]]


def links(document: dict[str, Any]) -> set[str]:
    """Every step id that something names."""
    found = set()
    for step in document["steps"]:
        found |= {step["next"]} if "next" in step else set()
        if isinstance(step.get("on_error"), dict):
            found.add(step["on_error"]["go_to"])
        control = CONTROL_STEPS.get(step["type"])
        if control is not None:
            found |= set(control.targets(step.get("config", {})).values())
    return found


def test_adding_at_a_position_shifts_the_rest() -> None:
    before = document(tag("a"), tag("b"))
    assert ids(editing.add(before, tag("c"), 2)) == ["a", "c", "b"]
    assert ids(editing.add(before, {"type": "send_email"}, 0)) == ["a", "b", "send_email"]
    again = editing.add(editing.add(before, {"type": "send_email"}, 0).document, {"type": "send_email"}, 1)
    assert again.step_id == "send_email_2"
    assert ids(editing.Edited(before, "")) == ["a", "b"], "the document given is left alone"


def test_a_mask_of_all_sets_the_whole_step() -> None:
    before = document(tag("a", next="b", disabled=True), tag("b"))
    edited = editing.update(before, "a", {"type": "add_tag", "config": {"tag": "x"}}, ["*"])
    assert edited.document["steps"][0] == {"id": "a", "type": "add_tag", "config": {"tag": "x"}}


def test_removing_mends_links() -> None:
    branch = {"id": "i", "type": "if", "config": {"condition": "true", "then": "b", "else": "c"}}
    switch = {
        "id": "s",
        "type": "switch",
        "config": {"cases": [{"condition": "true", "then": "b"}], "else": "b"},
    }
    before = document(
        tag("a", next="b"),
        branch,
        switch,
        tag("b"),
        tag("c", on_error={"go_to": "b"}),
        goal={"event": "x", "go_to": "b"},
    )
    edited = editing.remove(before, "b")
    assert "b" not in links(edited.document)
    assert edited.relinked == {
        "steps[0].next": "c",
        "steps[1].config.then": "c",
        "steps[2].config.cases[0].then": "c",
        "steps[2].config.else": "c",
        "steps[3].on_error.go_to": "c",
        "settings.goal.go_to": "c",
    }


def test_bad_edits_are_refused() -> None:
    before = document(tag("a"))
    refused: tuple[Callable[[], editing.Edited], ...] = (
        lambda: editing.add(before, tag("a"), 0),
        lambda: editing.add(before, tag("9"), 0),
        lambda: editing.add(before, tag("b"), 3),
        lambda: editing.update(before, "a", {}, ["colour"]),
        lambda: editing.reorder(before, ["a", "a"]),
        lambda: editing.remove(before, "a"),
    )
    for bad in refused:
        with pytest.raises(InvalidValue):
            bad()
    with pytest.raises(NotFound):
        editing.update(before, "z", {}, ["config"])
    full = document(*(tag(f"t{n}") for n in range(50)))
    with pytest.raises(StepLimit, match="50"):
        editing.add(full, tag("one"), 0)


@given(st.data())
def test_any_edits_leave_a_sound_document(data: st.DataObject) -> None:
    current = document(tag("a"), tag("b"), tag("c"))
    for _ in range(data.draw(st.integers(1, 12))):
        names = [step["id"] for step in current["steps"]]
        target = st.sampled_from([*names, "end"])
        match data.draw(st.sampled_from(["add", "branch", "update", "remove", "reorder"])):
            case "add":
                step = {"type": "add_tag", "config": {"tag": "x"}, "next": data.draw(target)}
                edited = editing.add(current, step, data.draw(st.integers(0, len(names) + 1)))
            case "branch":
                config = {"condition": "true", "then": data.draw(target), "else": data.draw(target)}
                edited = editing.add(current, {"type": "if", "config": config}, 0)
            case "update":
                changes = {"on_error": {"go_to": data.draw(target)}, "disabled": True}
                edited = editing.update(
                    current, data.draw(st.sampled_from(names)), changes, ["on_error", "disabled", "next"]
                )
            case "remove" if len(names) > 1:
                edited = editing.remove(current, data.draw(st.sampled_from(names)))
            case _:
                edited = editing.reorder(current, data.draw(st.permutations(names)))
        current = edited.document
        names = [step["id"] for step in current["steps"]]
        assert len(set(names)) == len(names)
        assert links(current) <= {*names, "end"}
