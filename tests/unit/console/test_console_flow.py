"""How a workflow is drawn: what leads where, and that boxes, arrows and labels find places."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.console.flow_graph import END, START, Link, graph_of
from services.gateway.console.flow_layout import Drawing, draw

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "examples").glob("*.yaml"))


def document(*steps: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {"key": "drawn", "settings": settings, "steps": list(steps)}


def step(id: str, type: str = "add_tag", **more: Any) -> dict[str, Any]:
    return {"id": id, "type": type, "config": more.pop("config", {}), **more}


def links(*steps: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(link.source, link.target, link.label) for link in graph_of(document(*steps)).links}


def test_steps_follow_each_other_unless_one_says_next() -> None:
    found = links(step("a"), step("b", next="d"), step("c"), step("d"))
    assert found == {(START, "a", ""), ("a", "b", ""), ("b", "d", ""), ("c", "d", ""), ("d", END, "")}


def test_branches_carry_their_labels() -> None:
    found = links(
        step("if", "if", config={"condition": "x", "then": "split", "else": "end"}),
        step(
            "split",
            "split",
            config={"branches": [{"percent": 30, "then": "wait"}, {"percent": 70, "then": "end"}]},
        ),
        step("wait", "wait_for_event", config={"event": "e", "on_event": "switch", "on_timeout": "end"}),
        step("switch", "switch", config={"cases": [{"condition": "y > 1", "then": "if"}], "else": "end"}),
    )
    assert {
        ("if", "split", "yes"),
        ("if", END, "no"),
        ("split", "wait", "30 %"),
        ("split", END, "70 %"),
    } <= found
    assert {("wait", "switch", "event"), ("wait", END, "timeout")} <= found
    assert {("switch", "if", "y > 1"), ("switch", END, "else")} <= found


def test_a_fallback_on_error_is_an_arrow_of_its_own() -> None:
    graph = graph_of(
        document(step("call", on_error={"go_to": "mail"}), step("tag", next="end"), step("mail"))
    )
    assert Link("call", "mail", "on error", error=True) in graph.links


def test_what_an_end_does_not_reach_has_no_end() -> None:
    graph = graph_of(document(step("a"), step("stop", "end")))
    assert END not in {one.id for one in graph.steps}


def test_a_hint_says_what_the_config_says() -> None:
    graph = graph_of(
        document(
            step("pause", "wait_time", config={"amount": 1, "unit": "days"}),
            step("mail", "send_email", config={"subject": "Hello {{ contact.first_name | default: 'you' }}"}),
            triggers=[{"event": "form_submitted"}],
        )
    )
    assert {one.id: one.hint for one in graph.steps} == {
        START: "form_submitted", "pause": "1 day", "mail": "Hello ‹first_name›", END: "",
    }  # fmt: skip


def boxes_apart(drawing: Drawing) -> bool:
    """Whether no box covers another."""
    return not any(
        one is not two
        and one.x < two.x + two.width
        and two.x < one.x + one.width
        and one.y < two.y + two.height
        and two.y < one.y + one.height
        for one in drawing.boxes
        for two in drawing.boxes
    )


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_drawn_within_its_frame(path: Path) -> None:
    graph = graph_of(yaml.safe_load(path.read_text(encoding="utf-8")))
    drawing = draw(graph)
    assert [box.step for box in drawing.boxes] == list(graph.steps)
    assert {arrow.link for arrow in drawing.arrows} == set(graph.links)
    assert boxes_apart(drawing)
    for box in drawing.boxes:
        assert box.x >= 0
        assert box.x + box.width <= drawing.width
        assert box.y + box.height <= drawing.height


def test_a_line_of_steps_is_straight() -> None:
    drawing = draw(graph_of(document(step("a"), step("b"), step("c"))))
    assert len({box.x + box.width / 2 for box in drawing.boxes}) == 1
    tops = [box.y for box in drawing.boxes]
    assert tops == sorted(tops)


def test_two_ways_do_not_cross() -> None:
    """if → (a, b), and both onto their own next: the ways stay on their sides."""
    drawing = draw(
        graph_of(
            document(
                step("if", "if", config={"condition": "x", "then": "a", "else": "b"}),
                step("a", next="a2"),
                step("b", next="b2"),
                step("b2", next="end"),
                step("a2"),
            )
        )
    )
    x = {box.step.id: box.x for box in drawing.boxes}
    assert (x["a"] < x["b"]) == (x["a2"] < x["b2"])


def test_a_loop_leads_back_beside_the_rest() -> None:
    drawing = draw(
        graph_of(document(step("a"), step("b"), step("again", "go_to", config={"step": "a", "limit": 3})))
    )
    back = [arrow for arrow in drawing.arrows if arrow.back]
    assert [(arrow.link.source, arrow.link.target) for arrow in back] == [("again", "a")]
    assert back[0].label_x > max(box.x + box.width for box in drawing.boxes)
    assert back[0].label_x < drawing.width


def test_labels_of_many_ways_are_legible() -> None:
    cases = [{"condition": f"trigger.amount > {n}000.0", "then": f"s{n}"} for n in range(4)]
    steps = [step(f"s{n}", next="end") for n in range(4)]
    drawing = draw(
        graph_of(document(step("switch", "switch", config={"cases": cases, "else": "end"}), *steps))
    )
    told = [arrow for arrow in drawing.arrows if arrow.link.label]
    for one in told:
        for two in told:
            if one is not two:
                beside = abs(one.label_x - two.label_x) >= (one.label_width + two.label_width) / 2
                assert beside or abs(one.label_y - two.label_y) >= 20, (one.link, two.link)


@given(st.data())
def test_any_graph_finds_places(data: st.DataObject) -> None:
    """Loops, dead ends, unreachable steps: no box covers another, and it always comes out the same."""
    count = data.draw(st.integers(1, 14))
    names = [f"s{n}" for n in range(count)]
    target = st.sampled_from([*names, "end", "nowhere"])
    steps = []
    for name in names:
        kind = data.draw(st.sampled_from(["add_tag", "if", "go_to", "end"]))
        config = {
            "if": {"then": data.draw(target), "else": data.draw(target)},
            "go_to": {"step": data.draw(target)},
        }
        more = {"next": data.draw(target)} if data.draw(st.booleans()) else {}
        steps.append(step(name, kind, config=config.get(kind, {}), **more))
    graph = graph_of(document(*steps))
    drawing = draw(graph)
    assert boxes_apart(drawing)
    assert drawing == draw(graph)
