"""Figures of the live sessions of this process, for `/metrics`."""

from collections import Counter
from collections.abc import Callable

from project.health.metrics import Sample

# name -> meaning; each grows only.
_COUNTED = {
    "joined": "Sockets that joined a session",
    "hosted": "Sessions this process began or went on to host",
    "taken_over": "Sessions taken on from another process",
    "ended": "Sessions that ended here",
    "relayed": "Sockets relayed to another process",
    "interrupts": "Times an avatar was interrupted",
    "underruns": "Times an utterance waited for its pictures",
    "render_moves": "Times the stream that drew an avatar was lost and went on elsewhere or anew",
    "vp8": "Peers without H.264, served with transcoded VP8",
    "messages_refused": "Messages of clients that could not be used",
}

_STANDING = {
    "sessions": "Sessions hosted by this process",
    "peers": "WebRTC peers connected to this process",
    "speaking": "Sessions whose avatar speaks",
    "tasks": "Tasks of the event loop",
}

COUNTERS: Counter[str] = Counter()
# Each registry of the process says what stands now, by the names above, and its `stalls`.
GAUGES: list[Callable[[], dict[str, float]]] = []


def samples() -> list[Sample]:
    now: Counter[str] = Counter()
    for gauges in GAUGES:
        now.update(gauges())
    stalls = "Times this process was too late to send, so that frames were skipped"
    return [
        *(
            (f"parley_live_{name}_total", "counter", meaning, COUNTERS[name])
            for name, meaning in _COUNTED.items()
        ),
        ("parley_live_stalls_total", "counter", stalls, now["stalls"]),
        *((f"parley_live_{name}", "gauge", meaning, now[name]) for name, meaning in _STANDING.items()),
    ]
