"""The page of `docs.benchmarks.live`, from what it measured."""

import os
import statistics
from collections.abc import Callable, Sequence
from typing import Any

Figures = dict[str, Any]


def page(found: Figures) -> str:
    parts = [_head(found)]
    for name, write in _WRITERS.items():
        if name in found:
            parts.append(write(found[name]))
    return "\n\n".join(parts) + "\n"


def _head(found: Figures) -> str:
    when = max(section["at"] for section in found.values())
    loads = ", ".join(f"{name} {section['load']:.1f}" for name, section in found.items())
    return f"""# Live sessions

Written by `python -m docs.benchmarks.live` on {when}: {os.cpu_count()} cores, which the service shares with
its customers and with the stub of a provider (first token after 150 ms, one every 20 ms, first sound
after 100 ms). Model `viseme`, 512x640, 25 fps, H.264 passed through, Opus. Everything is measured where it
arrives: by a client that speaks REST, WebSocket and WebRTC. Load average at the end of each section:
{loads}. The cores of the machine are all busy from a load of {os.cpu_count()} on."""


def _latency(f: Figures) -> str:
    above = statistics.median(f["first_audible_ms"]) - f["floor_ms"]
    return f"""## One session

Medians of {len(f["first_audible_ms"])}, with the 95th percentile.

| Figure | Here | Goal |
|---|---|---|
| `POST sessions`, ms | {_two(f["session_create_ms"])} | 40 |
| first decoded picture after the offer, ms | {_two(f["first_frame_ms"])} | 100 |
| written question to first audible sound, ms | {_two(f["first_audible_ms"])} | |
| the same, above the stub's own {f["floor_ms"]:.0f} ms for the first piece, ms | {above:.0f} | 110 |
| interrupt to silence, ms | {_two(f["interrupt_ms"])} | 40, 120 |
| packets of the old reply after that | {f["late_packets"]} | 0 |"""


def _idle(f: Figures) -> str:
    return "## Idle sessions\n\n" + _loads(f) + _memory(f)


def _speaking(f: Figures) -> str:
    alone = statistics.median(f["rows"][0]["ratios"])
    table = _loads(f, lambda row: _ratio(row, alone))
    return f"""## Sessions that all speak at once

Sound in time is the share of packets with speech in a span, of that share in a lone session, {alone:.3f}:
the rest are the pauses of the text itself. Speech that comes late leaves more silence.

{table}{_memory(f)}"""


def _loads(f: Figures, more: Callable[[Figures], str] | None = None) -> str:
    head = "| Sessions | web core, each | MB, each | fps, median | fps, least | freezes | longest gap, ms |"
    rule = "|---|---|---|---|---|---|---|"
    if more:
        head, rule = head + " sound in time, median | least |", rule + "---|---|"
    rows = [
        f"| {row['sessions']} | {100 * row['web_core']:.2f}% | {row['web_mb']:.1f} | "
        f"{statistics.median(row['fps']):.2f} | {min(row['fps']):.2f} | {row['freezes']} | "
        f"{row['longest_ms']:.0f} |" + (more(row) if more else "")
        for row in f["rows"]
    ]
    return "\n".join([head, rule, *rows])


def _ratio(row: Figures, alone: float) -> str:
    ratios = [ratio / alone for ratio in row["ratios"]]
    return f" {statistics.median(ratios):.3f} | {min(ratios):.3f} |" if ratios else " - | - |"


def _memory(f: Figures) -> str:
    clients = 100 * max(row["client_core"] for row in f["rows"])
    return f"""

Goals: 1.5% of a core and 5 MB for each; 25 fps, no freeze; sound in time 0.99. The web processes held
{f["base_mb"]:.0f} MB before and {f["after_mb"]:.0f} MB after. The customers took at most
{clients:.0f}% of a core."""


def _interrupts(f: Figures) -> str:
    return f"""## Interruption while eight speak

| Figure | Here | Goal |
|---|---|---|
| interrupt to silence, ms, median and 95th percentile | {_two(f["interrupt_ms"])} | 40, 120 |
| packets of the old reply after that | {f["late_packets"]} | 0 |"""


def _clips(f: Figures) -> str:
    alone, beside = (statistics.median(f[name]["first_audible_ms"]) for name in ("alone", "beside"))
    made = f["beside"]["clips"]
    rows = (
        _beside("no clips", f["alone"]) + "\n" + _beside(f"four clips at a time ({made} made)", f["beside"])
    )
    return f"""## Ten idle and two speaking sessions beside clips

| | question to first sound, ms | fps, least | freezes | longest gap, ms |
|---|---|---|---|---|
{rows}

The first sound comes {100 * (beside / alone - 1):+.0f}% later; the goal is +25% at most, and 25 fps."""


def _beside(label: str, f: Figures) -> str:
    fps, gap = min(v["fps"] for v in f["video"]), max(v["longest_ms"] for v in f["video"])
    freezes = sum(v["freezes"] for v in f["video"])
    return f"| {label} | {_two(f['first_audible_ms'])} | {fps:.2f} | {freezes} | {gap:.0f} |"


def _offset(f: Figures) -> str:
    return f"""## Lips and voice

How much the voice lags behind the lips, by a test card (negative: it leads); the goal is 40 ms.

| When | ms |
|---|---|
| after 20 s | {_ms(f["first_ms"])} |
| after {f["seconds"]:.0f} s | {_ms(f["then_ms"])} |
| after the web processes stood still for 2 s | {_ms(f["stalled_ms"])} |"""


def _two(values: Sequence[float]) -> str:
    """Median and 95th percentile."""
    ordered = sorted(values)
    return (
        f"{statistics.median(ordered):.0f} ({ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]:.0f})"
    )


def _ms(value: float | None) -> str:
    return "not readable" if value is None else f"{value:.0f}"


_WRITERS: dict[str, Callable[[Figures], str]] = {
    "latency": _latency,
    "idle": _idle,
    "speaking": _speaking,
    "interrupts": _interrupts,
    "clips": _clips,
    "offset": _offset,
}
