"""`make bench-plots`: draws what `make bench-scale` measured (build/scale.json) as SVG beside docs/performance.md."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

_MEASURED = Path("build/scale.json")
_TO = Path("docs/pictures")
_INK, _ACCENT = "#444444", "#2a8c7c"
_SHOWN = {"postgres": "PostgreSQL", "worker-0": "worker", "bare-0": "executor", "crm": "crm executor"}


def _figure(title: str, unit: str) -> tuple[Any, Any]:
    mpl.rcParams.update({"svg.hashsalt": "wayfarer", "font.size": 10, "axes.edgecolor": _INK})
    figure, axes = plt.subplots(figsize=(7.2, 3.2), layout="constrained")
    axes.set_title(title, loc="left", fontsize=11, color=_INK)
    axes.set_ylabel(unit, color=_INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _save(figure: Any, name: str) -> None:
    _TO.mkdir(exist_ok=True)
    figure.savefig(_TO / f"{name}.svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)


def rates(found: dict[str, Any]) -> None:
    """Actions per second of each job."""
    jobs = {name: found[name] for name in ("bare", "tags", "mixed") if name in found}
    figure, axes = _figure("Durable actions per second, 2 cores", "actions/s")
    axes.bar(list(jobs), [job["actions_per_s"] for job in jobs.values()], width=0.5, color=_ACCENT)
    for place, job in enumerate(jobs.values()):
        axes.annotate(f"{job['actions_per_s']:,}", (place, job["actions_per_s"]), ha="center", va="bottom")
    _save(figure, "rates")


def cpu(found: dict[str, Any]) -> None:
    """Where the CPU of an action goes, by job."""
    jobs = [name for name in ("bare", "tags", "mixed") if name in found]
    figure, axes = _figure("CPU of the whole machine per action", "µs")
    bottoms = [0.0] * len(jobs)
    parts = [found[name]["runs"][-1]["cpu_us_per_action"] for name in jobs]
    for process in sorted(
        {p for part in parts for p in part}, key=lambda p: -sum(x.get(p, 0) for x in parts)
    ):
        heights = [part.get(process, 0.0) for part in parts]
        if max(heights) >= 1:
            axes.bar(jobs, heights, bottom=bottoms, width=0.5, label=_SHOWN.get(process, process))
            bottoms = [bottom + height for bottom, height in zip(bottoms, heights, strict=True)]
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    _save(figure, "cpu")


def course(found: dict[str, Any], name: str) -> None:
    """The rate of one run, second by second."""
    part = found[name]
    series = (part["runs"][-1] if "runs" in part else part)["series"]
    moving = [sample for sample in series if sample[1] > 0]
    points = [
        (after[0], (after[1] - before[1]) / (after[0] - before[0]))
        for before, after in zip(moving[:-10:10], moving[10::10], strict=False)
    ]
    figure, axes = _figure(f"One run of “{name}”", "actions/s")
    axes.plot([at for at, _ in points], [rate for _, rate in points], color=_ACCENT)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds", color=_INK)
    _save(figure, f"course-{name}")


def health(found: dict[str, Any]) -> None:
    """How the hot table and the processes' memory went along with a long run."""
    samples = found["long"]["health"]
    at = [sample["at"] for sample in samples]
    figure, (table, memory) = plt.subplots(2, figsize=(7.2, 4.8), layout="constrained", sharex=True)
    table.set_title("The table of executions, and memory, in one run of “long”", loc="left", fontsize=11)
    for name, shown in (("heap_mib", "rows"), ("indexes_mib", "indexes")):
        table.plot(at, [sample[name] for sample in samples], label=shown)
    cleaned = [b["at"] for a, b in pairwise(samples) if b["autovacuums"] > a["autovacuums"]]
    for place, moment in enumerate(cleaned):
        table.axvline(moment, color="#bbbbbb", linewidth=0.8, label="autovacuum" if not place else None)
    for name in ("worker-0", "api", "crm"):
        sizes = [sample["resident_mib"].get(name) for sample in samples]
        memory.plot(at, sizes, label=_SHOWN.get(name, name))
    memory.set_xlabel("seconds")
    for axes in (table, memory):
        axes.set_ylabel("MiB")
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    _save(figure, "health-long")


def main() -> None:
    """Draws what there is."""
    found = json.loads(_MEASURED.read_text())
    rates(found)
    cpu(found)
    for name in ("bare", "long"):
        if name in found:
            course(found, name)
    if "health" in found.get("long", {}):
        health(found)


if __name__ == "__main__":
    main()
