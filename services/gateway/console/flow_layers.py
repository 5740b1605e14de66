"""Puts a workflow's steps into layers, in an order with few crossings; flow_layout.py asks. Pure.

In four passes: arrows that lead back are set aside; each box gets the layer below its lowest predecessor;
boxes of a layer are ordered by where their neighbours are; and each box moves as near to its neighbours as
the others let it. An arrow over several layers passes through gaps that are kept for it.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.gateway.console.flow_graph import END, START, Graph, Link

WIDTH: Final = 208.0
MARGIN: Final = 20.0
_GAP_X: Final = 36.0
_THIN: Final = 28.0
"""The width of the gap that an arrow takes on its way through a layer."""
_SWEEPS: Final = 8

Slot = str | tuple[int, int]
"""A box by its id, or an arrow's gap: its number and layer."""


@dataclass(frozen=True, slots=True)
class Layered:
    """Steps in layers. `chains` are the ways of the `forward` links, slot by slot; `centers` are x."""

    forward: Sequence[Link]
    back: Sequence[Link]
    layer_of: Mapping[str, int]
    layers: Sequence[Sequence[Slot]]
    chains: Sequence[Sequence[Slot]]
    centers: Mapping[Slot, float]


def layered(graph: Graph) -> Layered:
    """The layers of a graph; the same each time."""
    forward, back = _directions(graph)
    layer_of = _layers(graph, forward)
    layers, chains = _slots(graph, layer_of, forward)
    _order(layers, chains)
    return Layered(forward, back, layer_of, layers, chains, _centers(layers, chains))


def _directions(graph: Graph) -> tuple[list[Link], list[Link]]:
    """Links that lead on, and those that lead back to a step on the way here."""
    out: dict[str, list[Link]] = defaultdict(list)
    for link in graph.links:
        out[link.source].append(link)
    state: dict[str, int] = {}
    back: set[Link] = set()
    for root in [START, *(step.id for step in graph.steps)]:
        if root in state:
            continue
        state[root] = 1
        trail = [(root, iter(out[root]))]
        while trail:
            here, links = trail[-1]
            for link in links:
                if state.get(link.target) == 1:
                    back.add(link)
                elif link.target not in state:
                    state[link.target] = 1
                    trail.append((link.target, iter(out[link.target])))
                    break
            else:
                state[here] = 2
                trail.pop()
    return [one for one in graph.links if one not in back], [one for one in graph.links if one in back]


def _layers(graph: Graph, forward: Sequence[Link]) -> dict[str, int]:
    """The layer of each step: one below the lowest that leads to it."""
    waiting: dict[str, int] = {step.id: 0 for step in graph.steps}
    out: dict[str, list[str]] = defaultdict(list)
    for link in forward:
        waiting[link.target] += 1
        out[link.source].append(link.target)
    layer = dict.fromkeys(waiting, 0)
    # What nothing leads to stands beside the first step, not beside the start.
    layer |= {step.id: 1 for step in graph.steps if not waiting[step.id] and step.id != START}
    ready = [step.id for step in graph.steps if not waiting[step.id]]
    while ready:
        here = ready.pop()
        for target in out[here]:
            layer[target] = max(layer[target], layer[here] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    if END in layer:
        layer[END] = max(layer.values())
    return layer


def _slots(
    graph: Graph, layer_of: Mapping[str, int], forward: Sequence[Link]
) -> tuple[list[list[Slot]], list[list[Slot]]]:
    """What stands in each layer, and the way of each link from layer to layer."""
    layers: list[list[Slot]] = [[] for _ in range(max(layer_of.values()) + 1)]
    for step in graph.steps:
        layers[layer_of[step.id]].append(step.id)
    chains: list[list[Slot]] = []
    for number, link in enumerate(forward):
        chain: list[Slot] = [link.source]
        for layer in range(layer_of[link.source] + 1, layer_of[link.target]):
            gap = (number, layer)
            layers[layer].append(gap)
            chain.append(gap)
        chains.append([*chain, link.target])
    return layers, chains


def _neighbours(chains: Iterable[Sequence[Slot]]) -> tuple[dict[Slot, list[Slot]], dict[Slot, list[Slot]]]:
    above: dict[Slot, list[Slot]] = defaultdict(list)
    below: dict[Slot, list[Slot]] = defaultdict(list)
    for chain in chains:
        for upper, lower in itertools.pairwise(chain):
            above[lower].append(upper)
            below[upper].append(lower)
    return above, below


def _order(layers: list[list[Slot]], chains: Sequence[Sequence[Slot]]) -> None:
    """Sorts each layer by the mean place of its neighbours, down and up in turn, and keeps the best."""
    above, below = _neighbours(chains)
    best, fewest = [list(layer) for layer in layers], _crossings(layers, below)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for number in range(1, len(layers)) if down else range(len(layers) - 2, -1, -1):
            beside = layers[number - 1] if down else layers[number + 1]
            place = {slot: n for n, slot in enumerate(beside)}
            own = {slot: n for n, slot in enumerate(layers[number])}

            near = above if down else below
            means = {slot: _mean([place[other] for other in near.get(slot, ())], own[slot]) for slot in own}
            layers[number].sort(key=means.__getitem__)
        if (crossed := _crossings(layers, below)) < fewest:
            best, fewest = [list(layer) for layer in layers], crossed
    layers[:] = best


def _mean(places: Sequence[int], otherwise: int) -> float:
    return sum(places) / len(places) if places else float(otherwise)


def _crossings(layers: Sequence[Sequence[Slot]], below: Mapping[Slot, list[Slot]]) -> int:
    crossed = 0
    for upper, lower in itertools.pairwise(layers):
        place = {slot: n for n, slot in enumerate(lower)}
        ends = [(n, place[target]) for n, slot in enumerate(upper) for target in below.get(slot, ())]
        crossed += sum(
            1
            for i, (a, x) in enumerate(ends)
            for b, y in ends[i + 1 :]
            if (a < b and x > y) or (a > b and x < y)
        )
    return crossed


def _wide(slot: Slot) -> float:
    return WIDTH if isinstance(slot, str) else _THIN


def _centers(layers: Sequence[Sequence[Slot]], chains: Sequence[Sequence[Slot]]) -> dict[Slot, float]:
    """The middle of each slot: as near to its neighbours' as its layer's order and the gaps allow."""
    above, below = _neighbours(chains)
    centers: dict[Slot, float] = {}
    for layer in layers:
        x = 0.0
        for slot in layer:
            centers[slot] = x + _wide(slot) / 2
            x += _wide(slot) + _GAP_X
        middle = (x - _GAP_X) / 2
        for slot in layer:
            centers[slot] -= middle
    for sweep in range(_SWEEPS * 2):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            wanted = []
            for slot in layer:
                near = (above if down else below).get(slot) or (below if down else above).get(slot) or [slot]
                wanted.append(sum(centers[other] for other in near) / len(near))
            for slot, center in zip(layer, _apart(layer, wanted), strict=True):
                centers[slot] = center
    left = min(center - _wide(slot) / 2 for slot, center in centers.items()) - MARGIN
    return {slot: round(center - left, 1) for slot, center in centers.items()}


def _apart(layer: Sequence[Slot], wanted: Sequence[float]) -> list[float]:
    """Places near the wanted ones, in order, with room between: those that press each other share a mean."""
    offsets = [0.0]
    for left, right in itertools.pairwise(layer):
        offsets.append(offsets[-1] + _wide(left) / 2 + _GAP_X + _wide(right) / 2)
    blocks: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=True):
        mean, size = want - offset, 1
        while blocks and blocks[-1][0] > mean:
            other, more = blocks.pop()
            mean, size = (other * more + mean * size) / (more + size), size + more
        blocks.append((mean, size))
    means = [mean for mean, size in blocks for _ in range(size)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
