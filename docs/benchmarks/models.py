"""Measures models whose networks run here: `python -m docs.benchmarks.models --device cuda:0`.

On a CPU it takes a few minutes, with the sizes that one can bear there. Weights are random: how long a
network takes does not depend on them. Writes models.md: a page of one device, with its driver and versions.
"""

# ruff: noqa: PLC0415 - torch, and what makes weights, only where something is measured

import argparse
import os
import platform
import queue
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from workers.adapters import registry
from workers.adapters.avatar.base import SAMPLES_PER_FRAME, AudioWindow, Still
from workers.adapters.avatar.models import BUILT_IN, ModelConfig, read_model
from workers.adapters.avatar.runtime import Forward, Network, Runtime
from workers.gpu.devices import open_device, use_cores
from workers.gpu.host import RenderHost
from workers.rendering.encode import FragmentEncoder
from workers.rendering.fragment import render_fragment

ROOT = Path(__file__).resolve().parents[2]
PAGE = Path(__file__).with_suffix(".md")
PORTRAIT = ROOT / "tests" / "data" / "portraits" / "mei.jpg"
WAV2LIP_SIZE = 256
FRAMES, LIVE_FRAMES, FIRST_FRAMES = 75, 10, 5
FPS = 25
PREPARE_SECONDS = 30


@dataclass
class Scale:
    """How much is measured: a GPU does in a second what a CPU does in minutes."""

    batches: Sequence[int]
    seconds: float  # for each batch size
    threads: Sequence[int]
    fragments: int  # for each thread
    halves: Sequence[bool]
    frames: int = FRAMES
    live: int = 20
    repeats: int = 7

    @classmethod
    def of(cls, device: str, *, quick: bool) -> "Scale":
        if quick:  # whether it runs at all
            return cls((1, 2), 0.0, (1, 2), 1, (device != "cpu",), frames=2, live=1, repeats=1)
        if device == "cpu":
            cores = sorted({1, len(os.sched_getaffinity(0))})
            return cls((1, 8), 2.0, cores, 2, (False,), frames=10, live=3, repeats=2)
        most = len(os.sched_getaffinity(0))
        threads = sorted({1, 2, 4, 8, most, most * 3 // 2})
        return cls((1, 2, 4, 8, 16, 32, 64, 128), 2.0, threads, 12, (False, True))


@dataclass
class Seen:
    """A network as it was run: its function, one row of what it was given, and how long it took in all."""

    forward: Forward | None = None
    row: tuple[Any, ...] = ()
    seconds: float = 0.0
    runs: int = 0
    rows: int = 0


@dataclass
class Measured:
    model: str
    title: str
    batches: list[str] = field(default_factory=list)
    split: list[str] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class WatchedHost(RenderHost):
    """A host that sees what its networks are given, and how long they take."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.seen: dict[str, Seen] = {}

    def network(
        self, name: str, load: Callable[[], Forward], *, memory_mb: int, max_batch: int = 1
    ) -> Network:
        seen = self.seen.setdefault(name, Seen())

        def loaded() -> Forward:
            forward = seen.forward = load()

            def watched(*batch: Any) -> Any:
                began = time.perf_counter()
                made = forward(*batch)
                seen.seconds += time.perf_counter() - began
                seen.runs, seen.rows = seen.runs + 1, seen.rows + len(batch[0])
                seen.row = tuple(array[:1].copy() for array in batch)
                return made

            return watched

        return super().network(name, loaded, memory_mb=memory_mb, max_batch=max_batch)

    def forget(self) -> None:
        for seen in self.seen.values():
            seen.seconds, seen.runs, seen.rows = 0.0, 0, 0

    @property
    def busy(self) -> float:
        return sum(seen.seconds for seen in self.seen.values())


# --- What is measured --------------------------------------------------------------------------------


class Subject:
    """One model on one device, and an avatar made ready for it."""

    def __init__(self, config: ModelConfig, host: WatchedHost, bundle: bytes, size: tuple[int, int]) -> None:
        self.config, self.host, self.size = config, host, size
        self._runtime = Runtime(host, config.endpoint)
        self._own = threading.local()
        self.avatar = self.renderer.load(bundle)

    @property
    def renderer(self) -> Any:
        """This thread's own."""
        if not hasattr(self._own, "renderer"):
            self._own.renderer = registry.renderer(self.config, self._runtime)
        return self._own.renderer

    def window(self, start: int, frames: int, *, live: bool = False) -> AudioWindow:
        profile = self.config.profile
        samples = profile.lookback_samples + frames * SAMPLES_PER_FRAME + profile.lookahead_samples
        pcm = sound(start, samples)
        return AudioWindow(pcm, profile.lookback_samples, profile.lookahead_samples, start, frames, live=live)

    def draw(self, start: int, frames: int, *, live: bool = False) -> None:
        """One fragment from sound to bytes."""
        stream = self.renderer.open_stream(self.avatar, start_frame=start)
        width, height = self.size
        window = self.window(start, frames, live=live)
        render_fragment(self.renderer, stream, window, width=width, height=height)

    def steps(self, start: int, frames: int) -> dict[str, float]:
        """Seconds of each step of one fragment; what the network took stands by itself."""
        clock, renderer = time.perf_counter, self.renderer
        self.host.forget()
        stream = renderer.open_stream(self.avatar, start_frame=start)
        window = self.window(start, frames)
        begun = clock()
        poses = renderer.infer(stream, renderer.extract_features(stream, window))
        decided = clock()
        encoder = FragmentEncoder(width=self.size[0], height=self.size[1])
        drawing = encoding = first = 0.0
        for pose in poses:
            before = clock()
            picture = renderer.compose_frame(stream, pose)
            between = clock()
            encoder.push(picture)
            drawing, encoding = drawing + between - before, encoding + clock() - between
            first = first or clock() - begun
        before = clock()
        encoder.finish()
        hear = decided - begun - self.host.busy
        encoding += clock() - before
        return {
            "network": self.host.busy,
            "hear": hear,
            "compose": drawing,
            "encode": encoding,
            "first": first,
        }


def sound(seed: int, samples: int) -> Any:
    """Noise that comes and goes three times a second, as syllables do."""
    loudness = 3000 + 2500 * np.sin(np.arange(samples) / 16_000 * 2 * np.pi * 3)
    return (np.random.default_rng(seed).normal(size=samples) * loudness).astype(np.int16)


def measure(subject: Subject, scale: Scale) -> Measured:
    half = "16" if subject.host.half else "32"
    made = Measured(subject.config.id, f"{subject.config.name}, {half} bit")
    for turn in range(2):
        subject.draw(turn * scale.frames, scale.frames)
    made.batches = batches(subject, scale)
    steps = [subject.steps(turn * scale.frames, scale.frames) for turn in range(scale.repeats)]
    first = [subject.steps(turn * FIRST_FRAMES, FIRST_FRAMES)["first"] for turn in range(scale.repeats)]
    middle = {name: statistics.median(step[name] for step in steps) for name in steps[0]}
    parts = [middle[name] * 1000 / scale.frames for name in ("hear", "network", "compose", "encode")]
    made.split = [*(f"{part:.2f}" for part in parts), f"{sum(parts):.2f}"]
    made.notes = [
        f"First picture of a fragment of {FIRST_FRAMES}: {statistics.median(first) * 1000:.0f} ms (median).",
        f"Memory: {memory(subject.host.device)}.",
    ]
    made.threads = [threaded(subject, scale, count) for count in scale.threads]
    made.notes.append(behind(subject, scale))
    return made


def batches(subject: Subject, scale: Scale) -> list[str]:
    """Rows a second of each network alone, by batch size."""
    lines = []
    for name, seen in sorted(subject.host.seen.items()):
        if seen.forward is None or not seen.row:
            continue
        short = name.rpartition("/")[2]
        for size in scale.batches:
            rows = tuple(np.repeat(array, size, axis=0) for array in seen.row)
            try:
                seen.forward(*rows)
                lines.append(f"| {short} | {size} | {rate(seen.forward, rows, scale.seconds)} |")
            except RuntimeError as error:  # torch's way to say that there is no more memory
                lines.append(f"| {short} | {size} | {str(error).splitlines()[0][:60]} | |")
                break
    return lines


def rate(forward: Forward, rows: tuple[Any, ...], seconds: float) -> str:
    """`rows a second | ms a run`; what comes back lies in memory, so the device is done with it."""
    runs, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds or runs < 2:
        forward(*rows)
        runs += 1
    return f"{runs * len(rows[0]) / took:.1f} | {took / runs * 1000:.1f}"


def threaded(subject: Subject, scale: Scale, count: int) -> str:
    """Fragments from sound to bytes by several threads at once, and what was busy meanwhile."""

    def work(place: int) -> None:
        for turn in range(scale.fragments):
            subject.draw((place * scale.fragments + turn) * scale.frames, scale.frames)

    with ThreadPoolExecutor(count) as threads:
        list(threads.map(lambda place: subject.draw(place, FIRST_FRAMES), range(count)))
        subject.host.forget()
        began, cpu = time.perf_counter(), time.process_time()
        list(threads.map(work, range(count)))
        took, used = time.perf_counter() - began, time.process_time() - cpu
    fps = count * scale.fragments * scale.frames / took
    network, cores = subject.host.busy / took, used / took
    rows = sum(seen.rows for seen in subject.host.seen.values())
    runs = max(1, sum(seen.runs for seen in subject.host.seen.values()))
    merged = rows / runs
    return f"| {count} | {fps:.1f} | {fps / FPS:.1f} | {network:.0%} | {cores:.1f} | {merged:.1f} |"


def behind(subject: Subject, scale: Scale) -> str:
    """What live fragments take behind a backlog, by threads that take live work first, as a worker's do."""
    count = scale.threads[-1] if subject.host.device == "cpu" else min(8, scale.threads[-1])
    alone = [
        _seconds(lambda turn=turn: subject.draw(turn, LIVE_FRAMES, live=True)) for turn in range(scale.live)
    ]
    work: queue.PriorityQueue[tuple[int, int, Callable[[], None]]] = queue.PriorityQueue()
    over, lock, longest, numbers = threading.Event(), threading.Lock(), [0.0], iter(range(1 << 30))

    def backlog() -> None:
        took = _seconds(lambda: subject.draw(next(numbers) % 900, scale.frames))
        with lock:
            longest[0] = max(longest[0], took)
        if not over.is_set():
            work.put((1, next(numbers), backlog))

    def worker() -> None:
        while True:
            rank, _, task = work.get()
            if rank == 2:
                return
            task()

    threads = [threading.Thread(target=worker) for _ in range(count)]
    for _ in range(2 * count):
        work.put((1, next(numbers), backlog))
    for thread in threads:
        thread.start()
    waited = [_live(subject, work, numbers) for _ in range(scale.live)]
    over.set()
    for _ in threads:
        work.put((2, next(numbers), over.set))
    for thread in threads:
        thread.join()
    return (
        f"A live fragment of {LIVE_FRAMES} frames takes {statistics.median(alone) * 1000:.0f} ms alone; "
        f"behind a backlog of clips in {count} threads {statistics.median(waited) * 1000:.0f} ms (median), "
        f"{max(waited) * 1000:.0f} ms (longest of {len(waited)}). A fragment of the backlog took up to "
        f"{longest[0] * 1000:.0f} ms."
    )


def _live(subject: Subject, work: Any, numbers: Any) -> float:
    done = threading.Event()

    def task() -> None:
        subject.draw(0, LIVE_FRAMES, live=True)
        done.set()

    began = time.perf_counter()
    work.put((0, next(numbers), task))
    done.wait()
    return time.perf_counter() - began


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


# --- With what ---------------------------------------------------------------------------------------


def config_of(model: str) -> ModelConfig:
    return read_model(BUILT_IN / f"{model}.yaml", {f"{model.upper()}_BACKEND": "local"})


def random_weights(model: str, folder: Path) -> None:
    """Files of the published layout, filled with random numbers."""
    if model == "wav2lip":
        from tests.support.wav2lip import write_checkpoint

        write_checkpoint(folder / f"wav2lip/wav2lip{WAV2LIP_SIZE}.pth", WAV2LIP_SIZE)
    if model == "musetalk":
        _random_musetalk(folder)


def _random_musetalk(folder: Path) -> None:
    import json

    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import WhisperConfig, WhisperModel

    from tests.support import musetalk as told

    unet: Any = UNet2DConditionModel
    vae: Any = AutoencoderKL
    for name in ("musetalkV15", "sd-vae", "whisper"):
        (folder / name).mkdir()
    (folder / "musetalkV15/musetalk.json").write_text(json.dumps(told.UNET))
    torch.save(unet.from_config(told.UNET).state_dict(), folder / "musetalkV15/unet.pth")
    (folder / "sd-vae/config.json").write_text(json.dumps(told.VAE))
    state = told.published_vae(vae.from_config(told.VAE).state_dict())
    told.keep(state, folder / "sd-vae/diffusion_pytorch_model", safe=True)
    heard = WhisperModel(WhisperConfig(**told.WHISPER_TINY))
    state = {f"model.{name}": value for name, value in heard.state_dict().items()}
    told.keep(state, folder / "whisper/model", safe=True)


def memory(device: str) -> str:
    if device == "cpu":
        kilobytes = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
        return f"{int(kilobytes[1]) // 1024 if kilobytes else 0} MB, the process at its largest"
    import torch

    most, kept = torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
    torch.cuda.reset_peak_memory_stats(device)
    return f"{most >> 20} MB of the device in use at most, {kept >> 20} MB kept"


def machine(device: str) -> list[str]:
    import torch

    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    processor = model[1] if model else platform.processor()
    lines = [f"- {processor}, {len(os.sched_getaffinity(0))} cores"]
    if device != "cpu":
        asked = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
        try:
            told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
        except (OSError, subprocess.CalledProcessError):
            told = [torch.cuda.get_device_name(device)]
        lines.append(f"- {told[0]}; CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}")
    versions = [("Python", platform.python_version()), ("torch", torch.__version__)]
    versions += [("NumPy", np.__version__), ("OpenCV", cv2.__version__)]
    return [*lines, "- " + ", ".join(f"{name} {version}" for name, version in versions)]


# --- Two workers on a CPU -----------------------------------------------------------------------------


def work_alone(model: str, weights: str, start_at: float) -> float:
    """One process with one thread: seconds of a few fragments, from a common start."""
    use_cores(1)
    cv2.setNumThreads(1)
    subject = _subject(model, "cpu", Path(weights), half=False)
    for turn in range(2):
        subject.draw(turn * FPS, FPS)
    time.sleep(max(0.0, start_at - time.time()))
    began = time.perf_counter()
    for turn in range(_SCALING[model]):
        subject.draw(turn * FPS, FPS)
    return time.perf_counter() - began


_SCALING = {"viseme": 40, "wav2lip": 1}


def scaling(model: str, weights: Path) -> str:
    def run(processes: int) -> float:
        start_at = time.time() + PREPARE_SECONDS
        command = [
            sys.executable,
            "-m",
            "docs.benchmarks.models",
            "--alone",
            model,
            str(weights),
            str(start_at),
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # noqa: TID251 - of a child
        started = [
            subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
            for _ in range(processes)
        ]
        return statistics.mean(float(one.communicate()[0].split()[-1]) for one in started)

    alone, beside = run(1), run(2)
    frames = _SCALING[model] * FPS
    one, two = frames / alone, 2 * frames / beside
    return f"| {model} | {one:.1f} | {two:.1f} | {two / one:.2f} |"


def _subject(model: str, device: str, weights: Path, *, half: bool) -> Subject:
    config = config_of(model)
    host = WatchedHost(open_device(device), weights=weights, half=half)
    prepared = registry.preparer(config, Runtime(host)).prepare(
        Still(np.asarray(cv2.imread(str(PORTRAIT)), np.uint8))
    )
    return Subject(config, host, prepared.bundle, (prepared.width, prepared.height))


# --- The page ----------------------------------------------------------------------------------------


def main() -> int:
    if sys.argv[1:2] == ["--alone"]:
        print(work_alone(sys.argv[2], sys.argv[3], float(sys.argv[4])))
        return 0
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--models", default="", help="by comma; wav2lip on a CPU, musetalk too on a GPU")
    parser.add_argument("--quick", action="store_true", help="a minute that tries every step, for no page")
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    on_cpu = given.device == "cpu"
    use_cores(len(os.sched_getaffinity(0)) if on_cpu else 1)
    cv2.setNumThreads(1)
    models = [m for m in given.models.split(",") if m] or (["wav2lip"] if on_cpu else ["wav2lip", "musetalk"])
    scale, made = Scale.of(given.device, quick=given.quick), []
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="parley-weights-") as folder:
        weights = Path(folder)
        for model in models:
            random_weights(model, weights)
            for half in scale.halves:
                subject = _subject(model, given.device, weights, half=half)
                made.append(measure(subject, scale))
                print(made[-1], flush=True)
                subject.host.rescue()
                subject.host.close()
        workers = [scaling(model, weights) for model in _SCALING if on_cpu and not given.quick]
    text = page(given.device, scale, made, workers, load)
    if given.quick:
        print(text)
    else:
        given.page.write_text(text, encoding="utf-8")
    return 0


def page(device: str, scale: Scale, made: list[Measured], workers: list[str], load: float) -> str:
    written = f"{datetime.now(UTC):%Y-%m-%d}; load average {load:.1f} when it began"
    words = [
        "# Models whose networks run in the worker",
        "",
        f"Written by `python -m docs.benchmarks.models --device {device}` on {written}",
        "(whatever runs beside it slows these figures down). Weights are random, in the published layouts:",
        "how long a network takes does not depend on them.",
        "",
        *machine(device),
        "",
    ]
    if device == "cpu":
        words += [
            "**Figures of a GPU are open.** None could be had when this page was written; on a machine that",
            "has one, `python -m docs.benchmarks.models --device cuda:0` measures the same, in 32 and 16",
            "bits, with batches up to 128 rows, and MuseTalk as well.",
            "",
        ]
    for one in made:
        words += section(one, scale)
    if workers:
        words += [
            "## Two workers against one",
            "",
            "Processes with one thread and one core each, fragments of 25 frames, from a common start.",
            "",
            "| Model | frames/s, one | two | times |",
            "|---|---|---|---|",
            *workers,
            "",
        ]
    return "\n".join(words)


def section(one: Measured, scale: Scale) -> list[str]:
    return [
        f"## {one.title}",
        "",
        "Networks alone, without the way to them:",
        "",
        "| Network | batch | rows/s | ms a run |",
        "|---|---|---|---|",
        *one.batches,
        "",
        f"One fragment of {scale.frames} frames at a time, ms a frame:",
        "",
        "| hear and prepare | network | compose | encode | all |",
        "|---|---|---|---|---|",
        f"| {' | '.join(one.split)} |",
        "",
        *(f"{note}\n" for note in one.notes),
        f"From sound to bytes by several threads of one process, each {scale.fragments} fragments. `network`",
        "is the share of time in which one ran: near 100% it is the limit, otherwise the cores are. Rows are",
        "of all networks; those of several threads go through together.",
        "",
        "| threads | frames/s | sessions at 25 fps | network | cores busy | rows a run |",
        "|---|---|---|---|---|---|",
        *one.threads,
        "",
    ]


if __name__ == "__main__":
    sys.exit(main())
