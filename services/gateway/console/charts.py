"""Small charts as SVG paths: numbers in, coordinates out; the overview and the workflows draw them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, or a part of one; in the chart's own units. `value` is what it stands for."""

    x: float
    y: float
    width: float
    height: float
    value: int


@dataclass(frozen=True, slots=True)
class Spark:
    """A line over the chart's width, and the area below it, as values of `d`."""

    line: str
    area: str
    top: int


def spark(values: Sequence[int], width: float = 120, height: float = 32) -> Spark:
    """A line through the values; the highest touches the top, 0 lies at the bottom."""
    top = max(values, default=0)
    step = width / max(len(values) - 1, 1)
    inner = height - 2
    points = [(n * step, 1 + inner * (1 - value / (top or 1))) for n, value in enumerate(values)]
    line = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in points) if points else ""
    area = f"{line} L{width:.1f} {height:.1f} L0 {height:.1f} Z" if points else ""
    return Spark(line, area, top)


def bars(values: Sequence[int], top: int, width: float, height: float, gap: float = 1.5) -> list[Bar]:
    """A bar for each value, left to right; one of `top` fills the height, and none but 0 vanishes."""
    each = width / max(len(values), 1)
    made = []
    for n, value in enumerate(values):
        tall = max(height * value / max(top, 1), 1.5) if value > 0 else 0.0
        made.append(
            Bar(round(n * each, 2), round(height - tall, 2), round(each - gap, 2), round(tall, 2), value)
        )
    return made


def nice_top(highest: int) -> int:
    """The least of 1, 2, 5, 10, 20, 50 … that is not below; 0 gives 1."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power >= highest:
                return factor * power
        power *= 10
