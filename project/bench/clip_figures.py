"""What clips that were made say: figures with their boundaries."""

from collections.abc import Sequence
from dataclasses import dataclass

from project.bench.clip_runs import Made, Watched
from project.bench.gpu import GpuWatch
from project.bench.resources import Sampler
from project.bench.results import Better, Result, Series, Source, State, Table
from project.bench.texts import shown

TURNS = 3  # waterfalls kept of each state


@dataclass(frozen=True, slots=True)
class Kind:
    """A figure: its unit, whose it is, from where to where, and which way is better."""

    unit: str
    source: Source
    boundary: str
    better: Better = "less"


KINDS = {
    "startup_ms": Kind("ms", "machine", "from the stack's first process until every part of it is ready"),
    "warmup_ms": Kind(
        "ms",
        "server",
        "from the POST of the first clip of a stack that was just started until its first fragment is drawn: "
        "weights, avatar and caches are loaded on the way",
    ),
    "clip_total_ms": Kind(
        "ms", "receiver", "from POST clips until its stream of events says that it succeeded"
    ),
    "clip_playable_ms": Kind(
        "ms",
        "receiver",
        "from POST clips until a player has all that it shows the preview's first picture with",
    ),
    "rtf": Kind(
        "1", "receiver", "clip_total_ms by the length of the film; below 1 is faster than it is watched"
    ),
    "clip_waiting_ms": Kind("ms", "server", "from accepting the clip until a worker begins with it"),
    "clip_speech_ms": Kind("ms", "server", "speaking the whole script, beside which drawing has long begun"),
    "clip_first_fragment_ms": Kind(
        "ms", "server", "from accepting the clip until its first fragment is stored"
    ),
    "clip_drawing_ms": Kind("ms", "server", "from the first fragment's end until the last one's"),
    "clip_assembly_ms": Kind("ms", "server", "joining fragments and sound to one film, and storing it"),
    "render_fps": Kind(
        "fps",
        "worker",
        "frames of a clip by the time that workers spent on its fragments: one worker, drawing and encoding",
        "more",
    ),
    "steady_chunk_ms": Kind(
        "ms", "worker", "time that a worker spends on one fragment, mean of a clip, drawing and encoding"
    ),
    "clip_throughput": Kind(
        "s/s",
        "receiver",
        "seconds of film of clips posted at once, by seconds from the first POST to the last success",
        "more",
    ),
    "fragments_per_s": Kind(
        "1/s", "receiver", "fragments of clips posted at once, by seconds until the last success", "more"
    ),
    "queue_depth": Kind(
        "tasks", "server", "fragments that wait in the model's queue, every quarter of a second", ""
    ),
    "clip_cpu_minute": Kind("s", "machine", "CPU time of all parts of the stack for a minute of film"),
    "memory_mb": Kind("MB", "machine", "proportional memory of all parts of the stack, at the most"),
    "gpu_memory_idle_mb": Kind("MB", "machine", "after everything was loaded, while nothing is drawn"),
    "gpu_memory_peak_mb": Kind("MB", "machine", "the most while clips were drawn"),
}


@dataclass(frozen=True)
class Figures:
    """Adds what was measured of one model to a result."""

    result: Result
    model: str

    def add(
        self,
        name: str,
        values: Sequence[float | None],
        state: State,
        case: str = "",
        *,
        missing: str = "nothing was measured",
        how: str = "",
    ) -> None:
        """Keep values of one of `KINDS`; `how` says more about where they come from."""
        kind = KINDS[name]
        self.result.add(
            name,
            kind.unit,
            values,
            state=state,
            boundary=f"{how}; {kind.boundary}" if how else kind.boundary,
            source=kind.source,
            model=self.model,
            case=case,
            better=kind.better,
            missing=missing,
        )

    def lack(self, names: Sequence[str], state: State, why: str, case: str = "") -> None:
        for name in names:
            self.add(name, (), state, case, missing=why)

    def single(self, clips: Sequence[Made], state: State) -> None:
        """Clips that were made alone, one after the other."""
        if not clips:
            return
        self.add("clip_total_ms", [clip.total_ms for clip in clips], state)
        self.add("clip_playable_ms", [clip.playable_ms for clip in clips], state)
        self.add("rtf", [clip.total_ms / 1000 / clip.seconds for clip in clips], state)
        self._of_workers(clips, state)
        self._stages(clips, state)
        for number, clip in enumerate(clips[:TURNS], 1):
            self.result.turns.append(clip.turn(f"clip {number}", state, self.model))

    def _of_workers(self, clips: Sequence[Made], state: State, case: str = "") -> None:
        work = [
            (clip, clip.timings["render_work_ms"]) for clip in clips if clip.timings.get("render_work_ms")
        ]
        self.add("render_fps", [clip.frames / spent * 1000 for clip, spent in work], state, case)
        self.add("steady_chunk_ms", [spent / clip.fragments for clip, spent in work], state, case)

    def _stages(self, clips: Sequence[Made], state: State) -> None:
        told = [clip.timings for clip in clips]
        self.add("clip_waiting_ms", [one["started_ms"] for one in told], state)
        self.add("clip_speech_ms", [one.get("speech_ms") for one in told], state)
        self.add("clip_first_fragment_ms", [one["first_fragment_ms"] for one in told], state)
        self.add("clip_drawing_ms", [one["rendered_ms"] - one["first_fragment_ms"] for one in told], state)
        self.add("clip_assembly_ms", [one.get("assembly_ms") for one in told], state)

    def together(self, clips: Sequence[Made], watched: Watched, seconds: float) -> None:
        """Clips that were posted at once."""
        case = f"{len(clips)} at once"
        film = sum(clip.seconds for clip in clips)
        fragments = sum(clip.fragments for clip in clips)
        self.add("clip_throughput", [film / seconds], "steady", case)
        self.add("fragments_per_s", [fragments / seconds], "steady", case)
        self.add("queue_depth", [depth for _, depth in watched.depth], "steady", case)
        self._of_workers(clips, "steady", case)
        line = f"{self.model}, {case}"
        self.result.series += [
            Series("Queue depth over time", line, "s", "tasks", tuple(watched.depth)),
            Series("Fragments a second", line, "s", "fragments/s", tuple(watched.rate())),
        ]

    def used(self, sampler: Sampler, film_seconds: float, case: str) -> None:
        """What the parts used while these seconds of film were made."""
        cpu, memory = sampler.cpu_seconds(), sampler.memory_mb()
        if not cpu:
            self.lack(
                ("clip_cpu_minute", "memory_mb"), "steady", "its processes are on another machine", case
            )
            return
        minutes = film_seconds / 60
        self.add("clip_cpu_minute", [sum(cpu.values()) / minutes], "steady", case)
        whole = [sample.whole.memory_mb for sample in sampler.samples if sample.with_memory]
        self.add("memory_mb", [max(whole)], "steady", case)
        rows = [
            (part, shown(used / minutes), shown(max(memory.get(part, [0.0]))))
            for part, used in sorted(cpu.items(), key=lambda one: -one[1])
        ]
        columns = ("part", "CPU s for a minute of film", "memory at the most, MB")
        self.result.tables.append(Table(f"What the parts used: {self.model}, {case}", columns, tuple(rows)))

    def gpu(self, watch: GpuWatch | None, idle: Sequence[float], busy: Sequence[float], why: str) -> None:
        """The least while nothing was drawn and the most while something was; `why` there is no watch."""
        names = ("gpu_memory_idle_mb", "gpu_memory_peak_mb")
        if watch is None or not idle or not busy:
            self.lack(names, "steady", why)
            return
        self.add(names[0], [min(idle)], "steady", how=watch.boundary)
        self.add(names[1], [max(busy)], "steady", how=watch.boundary)
