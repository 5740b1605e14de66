"""What `make bench-peers` prints: one line per system, beside Wayfarer; `__main__.py` asks."""

from collections.abc import Mapping
from typing import Any, Final

OURS: Final = "wayfarer"
_HEAD: Final = (
    "| | steps/s | by round | p50 / p95 of a step, ms | Wayfarer is | configuration |",
    "|---|---|---|---|---|---|",
)


def table(told: Mapping[str, Any]) -> str:
    """In Markdown; who could not run, with the reason."""
    systems: Mapping[str, Mapping[str, Any]] = told["systems"]
    our_rate = systems.get(OURS, {}).get("steps_per_s")
    lines = [*_HEAD, *(_line(name, found, our_rate) for name, found in systems.items())]
    if told["ratio_to_fastest"]:
        lines += ["", f"{told['ratio_to_fastest']:g} times the fastest peer, on {told['cores']} cores."]
    return "\n".join(lines)


def ratio(systems: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Wayfarer's rate over the fastest peer's; None where one of them is not there."""
    ours = systems.get(OURS, {}).get("steps_per_s")
    others = [found["steps_per_s"] for name, found in systems.items() if name != OURS and "rounds" in found]
    return round(ours / max(others), 1) if ours and others else None


def _line(name: str, found: Mapping[str, Any], our_rate: float | None) -> str:
    if "skipped" in found:
        return f"| {name} | – | – | – | – | not run: {found['skipped']} |"
    by_round = ", ".join(f"{run['steps_per_s']:,.0f}" for run in found["rounds"])
    times = f"{our_rate / found['steps_per_s']:.1f} ×" if our_rate and name != OURS else "–"
    setting = found["rounds"][-1]["configuration"]
    latency = f"{found['p50_ms']:g} / {found['p95_ms']:g}"
    return f"| {name} | {found['steps_per_s']:,.0f} | {by_round} | {latency} | {times} | {setting} |"
