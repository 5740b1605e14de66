"""Draws a workflow: boxes, arrows, and labels that do not cover each other, from layers of steps. Pure.

Arrows that lead back run along the right side. flow_layers.py says what stands above what, and how far right.
"""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from services.gateway.console.flow_graph import END, START, Graph, Link, Step
from services.gateway.console.flow_layers import MARGIN, WIDTH, Slot, layered

HEIGHT: Final = 66.0
_CAP_HEIGHT: Final = 34.0
_GAP_Y: Final = 54.0
_LABEL_HEIGHT: Final = 22.0
_LANE: Final = 16.0
"""Between arrows that lead back."""


@dataclass(frozen=True, slots=True)
class Box:
    """A placed step; x and y are its upper left corner."""

    step: Step
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Arrow:
    """A placed link: the `d` of its path, and its label's middle and width. `back`: it leads up again."""

    link: Link
    path: str
    label_x: float
    label_y: float
    back: bool

    @property
    def label_width(self) -> float:
        """Room for the label's text, as far as can be told without its font."""
        return 6.6 * len(self.link.label) + 16


@dataclass(frozen=True, slots=True)
class Drawing:
    """All of it, in units of its own from 0, 0."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def draw(graph: Graph) -> Drawing:
    """The drawing of a graph; the same each time."""
    found = layered(graph)
    tops, height = _tops(found.layers, graph)
    boxes = {
        step.id: _box(step, found.centers[step.id], tops[found.layer_of[step.id]]) for step in graph.steps
    }
    ways = zip(found.forward, found.chains, strict=True)
    arrows = _legible([_down(link, chain, boxes, found.centers, tops) for link, chain in ways])
    right = max(box.x + box.width for box in boxes.values())
    lanes = [right + MARGIN + _LANE * n for n in range(len(found.back))]
    arrows += [_up(link, boxes, lane) for link, lane in zip(found.back, lanes, strict=True)]
    width = max(lanes[-1] + 2 * MARGIN if lanes else right, right) + MARGIN
    return Drawing(width, height, tuple(boxes[step.id] for step in graph.steps), tuple(arrows))


def _tops(layers: Sequence[Sequence[Slot]], graph: Graph) -> tuple[list[float], float]:
    """Where each layer begins; below steps with many labelled ways out there is room to write them apart."""
    steps = {step.id: step for step in graph.steps}
    labels = Counter(link.source for link in graph.links if link.label)
    tops, y = [], MARGIN
    for layer in layers:
        tops.append(y)
        here = [slot for slot in layer if isinstance(slot, str)]
        crowd = max((labels[slot] for slot in here), default=0)
        y += max((_tall(steps[slot]) for slot in here), default=HEIGHT)
        y += _GAP_Y + _LABEL_HEIGHT * min(max(crowd - 2, 0), 4)
    return tops, y - _GAP_Y + MARGIN


def _legible(arrows: Sequence[Arrow]) -> list[Arrow]:
    """The same arrows; a label that would cover another stands below it."""
    told: list[Arrow] = []
    for arrow in sorted(arrows, key=lambda one: (one.label_y, one.label_x)):
        y = arrow.label_y
        while arrow.link.label and any(
            abs(other.label_x - arrow.label_x) < (other.label_width + arrow.label_width) / 2
            and abs(other.label_y - y) < _LABEL_HEIGHT
            for other in told
        ):
            y += _LABEL_HEIGHT / 2
        arrow = replace(arrow, label_y=y)
        if arrow.link.label:
            told.append(arrow)
    found = {arrow.link: arrow for arrow in told}
    return [found.get(arrow.link, arrow) for arrow in arrows]


def _tall(step: Step) -> float:
    return _CAP_HEIGHT if step.id in (START, END) else HEIGHT


def _box(step: Step, center: float, top: float) -> Box:
    width = WIDTH if step.id not in (START, END) else (WIDTH if step.hint else 96.0)
    return Box(step, center - width / 2, top, width, _tall(step))


def _down(
    link: Link,
    chain: Sequence[Slot],
    boxes: Mapping[str, Box],
    centers: Mapping[Slot, float],
    tops: Sequence[float],
) -> Arrow:
    source, target = boxes[link.source], boxes[link.target]
    points = [(centers[link.source], source.y + source.height)]
    for slot in chain[1:-1]:
        assert not isinstance(slot, str)
        points += [(centers[slot], tops[slot[1]]), (centers[slot], tops[slot[1]] + HEIGHT)]
    points.append((centers[link.target], target.y - 5))
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x, y), (to_x, to_y) in itertools.pairwise(points):
        middle = (y + to_y) / 2
        parts.append(
            f"L{to_x:.1f} {to_y:.1f}"
            if x == to_x
            else f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}"
        )
    (x, y), (to_x, to_y) = points[0], points[1]
    return Arrow(link, " ".join(parts), (x + 2 * to_x) / 3, y + min((to_y - y) * 0.55, 30), back=False)


def _up(link: Link, boxes: Mapping[str, Box], lane: float) -> Arrow:
    source, target = boxes[link.source], boxes[link.target]
    y, to_y = source.y + source.height / 2, target.y + target.height / 2
    x, to_x = source.x + source.width, target.x + target.width + 5
    bend = 12.0
    path = (
        f"M{x:.1f} {y:.1f} L{lane - bend:.1f} {y:.1f} Q{lane:.1f} {y:.1f} {lane:.1f} {y - bend:.1f}"
        f" L{lane:.1f} {to_y + bend:.1f} Q{lane:.1f} {to_y:.1f} {lane - bend:.1f} {to_y:.1f}"
        f" L{to_x:.1f} {to_y:.1f}"
    )
    return Arrow(link, path, lane, (y + to_y) / 2, back=True)
