"""Has clips made as a customer does, and notes when what was there."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from project.bench.errors import BenchError
from project.bench.results import Stage, State, Turn
from project.bench.subjects import model_of

LOOK_SECONDS = 0.25
CLIP_SECONDS = 900.0
PAGE = 20


@dataclass(frozen=True, slots=True)
class Made:
    """A clip that succeeded. Times in ms since its POST; `playable_ms` and `told_ms` by our clock."""

    seconds: float
    fragments: int
    timings: dict[str, float]
    size: str
    fps: float
    playable_ms: float | None = None
    told_ms: float | None = None

    @property
    def total_ms(self) -> float:
        """Until we knew that it was there; by the service's clock where nobody waited for it alone."""
        return self.timings["finished_ms"] if self.told_ms is None else self.told_ms

    @property
    def frames(self) -> float:
        return self.seconds * self.fps

    def stages(self) -> dict[str, tuple[float, float]]:
        """Where its time went: from and to, in ms since it was accepted."""
        told = self.timings
        begun = told["started_ms"]
        bars = {
            "waiting": (0.0, begun),
            "speech": (begun, begun + told.get("speech_ms", 0.0)),
            "first fragment": (begun, told["first_fragment_ms"]),
            "other fragments": (told["first_fragment_ms"], told["rendered_ms"]),
            "assembly": (told["finished_ms"] - told.get("assembly_ms", 0.0), told["finished_ms"]),
        }
        if self.playable_ms is not None:
            bars["preview plays"] = (self.playable_ms, told["finished_ms"])
        return {name: (begins, max(begins, ends)) for name, (begins, ends) in bars.items()}

    def turn(self, label: str, state: State, model: str) -> Turn:
        bars = (
            Stage(name, round(begins, 1), round(ends, 1)) for name, (begins, ends) in self.stages().items()
        )
        return Turn(label, state, tuple(bars), model)


@dataclass
class Watched:
    """How a batch went over time: seconds since its first POST, with what waited and what was drawn."""

    depth: list[tuple[float, float]] = field(default_factory=list)
    done: list[tuple[float, float]] = field(default_factory=list)

    def rate(self, window: float = 1.0) -> list[tuple[float, float]]:
        """Fragments a second, over the last `window` seconds of each look."""
        rates = []
        for at, count in self.done:
            before = [(then, had) for then, had in self.done if then <= at - window]
            if before and at > before[-1][0]:
                rates.append((at, (count - before[-1][1]) / (at - before[-1][0])))
        return rates


@dataclass(frozen=True)
class Maker:
    """Asks for clips of one avatar, voice and script. Raises `BenchError` where one does not succeed."""

    http: httpx.Client
    body: dict[str, Any]
    fps: float
    seconds: float = CLIP_SECONDS

    def one(self) -> Made:
        """Post a clip, watch its events to the end, and play its preview as soon as there is one."""
        began = time.monotonic()
        clip = self._post()
        playable: float | None = None
        with self.http.stream("GET", f"/api/v1/clips/{clip['id']}/events") as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    clip = json.loads(line[6:])
                if playable is None and clip["preview_url"]:
                    play(clip["preview_url"])
                    playable = 1000 * (time.monotonic() - began)
        told = 1000 * (time.monotonic() - began)
        return self._made(clip["id"], playable, told)

    def several(self, count: int) -> tuple[list[Made], Watched, float]:
        """Post that many at once and wait for all; also how it went, and the seconds it took."""
        began, watched = time.monotonic(), Watched()
        ids = [self._post()["id"] for _ in range(count)]
        while True:
            clips = self._listed(ids)
            at = round(time.monotonic() - began, 3)
            depth = model_of(self.http, self.body["model"])["queue_depth"]
            watched.depth.append((at, float(depth or 0)))
            watched.done.append((at, float(sum(clip["fragments"]["done"] for clip in clips))))
            if all(clip["status"] not in ("queued", "running") for clip in clips):
                return [self._made(one) for one in ids], watched, at
            if at > self.seconds:
                raise BenchError(f"{count} clips were not ready after {self.seconds:.0f} s")
            time.sleep(LOOK_SECONDS)

    def _post(self) -> dict[str, Any]:
        answer = self.http.post("/api/v1/clips", json=self.body)
        if answer.status_code != httpx.codes.ACCEPTED:
            raise BenchError(f"A clip was refused: {answer.status_code} {answer.text[:500]}")
        return dict(answer.json())

    def _listed(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for first in range(0, len(ids), PAGE):
            asked = {"ids": ",".join(ids[first : first + PAGE])}
            found += self.http.get("/api/v1/clips", params=asked).raise_for_status().json()["results"]
        if len(found) != len(ids):
            raise BenchError(f"{len(ids)} clips were posted, and {len(found)} are listed")
        return found

    def _made(self, clip_id: str, playable: float | None = None, told: float | None = None) -> Made:
        clip = self.http.get(f"/api/v1/clips/{clip_id}").raise_for_status().json()
        if clip["status"] != "succeeded":
            raise BenchError(f"A clip {clip['status']}: {clip['failure']}")
        timings = {name: float(value) for name, value in clip["timings"].items() if value is not None}
        made = clip["result"]
        size = f"{made['width']}x{made['height']}"
        seconds = made["duration_ms"] / 1000
        return Made(seconds, clip["fragments"]["total"], timings, size, self.fps, playable, told)


def play(url: str) -> None:
    """Fetch what a player needs before it shows the first picture."""
    base = url.rsplit("/", 1)[0] + "/"
    with httpx.Client(timeout=30, verify=False) as player:  # noqa: S501 - certificates of our own making
        master = player.get(url).raise_for_status().text
        video = next(line for line in master.splitlines() if line and not line.startswith("#"))
        audio = master.partition('URI="')[2].partition('"')[0]
        for playlist in (name for name in (video, audio) if name):
            lines = player.get(base + playlist).raise_for_status().text.splitlines()
            init = next(line for line in lines if "EXT-X-MAP" in line).partition('URI="')[2].rstrip('"')
            first = next(line for line in lines if line and not line.startswith("#"))
            folder = playlist.rpartition("/")[0]
            for part in (init, first):
                player.get(f"{base}{folder}/{part}" if folder else base + part).raise_for_status()
