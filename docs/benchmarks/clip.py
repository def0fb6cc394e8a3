"""Measures whole clips on the real stack: `python -m docs.benchmarks.clip`.

Starts a stack of its own, posts a script of a minute like any client, and watches it by server-sent
events and by its preview. Then it gives the render workers fragments that are already spoken, to
compare one worker with two and to time the way from publishing a task to its start. Writes clip.md.

Wall-clock figures mean something on a machine that does nothing else; CPU seconds, counted for each
part of the stack, hold on a busy one too. Both are written down, with the load that was met.
"""

# ruff: noqa: E402, PLC0415, SLF001, TID251 - it runs from any folder, and half of it beside a stack,
# whose settings are known only then; rows are copied as Django lets them be

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import httpx

from project.bench.stack import EmbeddedStack

PAGE = Path(__file__).with_suffix(".md")
CLIPS = 5
TURNS = 5
STARTS = 40
FRAGMENTS = 20  # of 75 frames: a minute
PORTRAIT = ROOT / "tests" / "data" / "portraits" / "mei.jpg"
TICK = os.sysconf("SC_CLK_TCK")
SCRIPT = (
    "Welcome to this short tour of our service. Everything that you see and hear was made by a computer "
    "that has no graphics card at all. A script is cut into sentences, and each of them is spoken as soon "
    "as its turn has come. While the next sentence is being prepared, the pictures of the one before it "
    "are already drawn. The pictures are encoded once, and never again. When the last of them is ready, "
    "all that remains is to put them together, which takes a moment. You can watch the beginning while "
    "the end is still being made, and you can stop it whenever you like. If a machine breaks down in the "
    "middle of the work, another one takes over, and nothing that was finished is lost. There is a voice "
    "for every taste, and a face for every voice, and you may bring your own sound as well. We hope that "
    "you enjoy it as much as we enjoyed building it, and we are curious what you will make with it. "
    "Thank you for listening, and see you soon in one of your own videos. Until then, take good care."
)


def main() -> int:
    if sys.argv[1:2] == ["inside"]:
        return inside(sys.argv[2])
    with (
        tempfile.TemporaryDirectory(prefix="parley-bench-") as folder,
        EmbeddedStack(Path(folder) / "home", render_workers=2, env={"BUILTIN_AVATARS": "none"}) as stack,
    ):
        figures = measure(stack)
    PAGE.write_text(page(figures), encoding="utf-8")
    return 0


def measure(stack: EmbeddedStack) -> dict[str, Any]:
    with stack.client as client:
        avatar = ready_avatar(client)
        make(client, avatar)  # everything is loaded once
        before = cpu(stack)
        clips = [make(client, avatar) for _ in range(CLIPS)]
        after = cpu(stack)
    told = subprocess.run(
        [sys.executable, str(Path(__file__)), "inside", clips[-1]["id"]],
        env=stack.environment() | {"PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if told.returncode:
        raise RuntimeError(told.stderr)
    minutes = sum(clip["seconds"] for clip in clips) / 60
    used = {part: (after[part] - before.get(part, 0)) / minutes for part in after}
    return {
        "clips": clips,
        "cpu": used,
        "load": os.getloadavg()[0],
        **json.loads(told.stdout.splitlines()[-1]),
    }


def ready_avatar(client: httpx.Client) -> dict[str, Any]:
    """Make an avatar of exactly 512x640, and wait for it."""
    posted = client.post(
        "/api/v1/avatars", data={"name": "Mei"}, files={"image": ("mei.jpg", PORTRAIT.read_bytes())}
    )
    posted.raise_for_status()
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        avatar = dict(client.get(f"/api/v1/avatars/{posted.json()['id']}").json())
        if avatar["status"] == "ready":
            return avatar
        time.sleep(0.5)
    raise RuntimeError("The avatar did not become ready")


def make(client: httpx.Client, avatar: dict[str, Any]) -> dict[str, Any]:
    """Post the script, watch the clip to its end, and say how long everything took."""
    begun = time.monotonic()
    body = {"avatar": avatar["id"], "voice": "en-heart", "script": SCRIPT}
    clip = client.post("/api/v1/clips", json=body).raise_for_status().json()
    playable = None
    with client.stream("GET", f"/api/v1/clips/{clip['id']}/events") as stream:
        for line in stream.iter_lines():
            if not line.startswith("data: "):
                continue
            clip = json.loads(line[6:])
            if playable is None and clip["preview_url"]:
                play(clip["preview_url"])
                playable = time.monotonic() - begun
    elapsed = time.monotonic() - begun
    if clip["status"] != "succeeded":
        raise RuntimeError(f"The clip {clip['status']}: {clip['failure']}")
    timings = client.get(f"/api/v1/clips/{clip['id']}").json()["timings"]
    seconds = clip["result"]["duration_ms"] / 1000
    return {
        "id": clip["id"],
        "seconds": seconds,
        "elapsed": timings["finished_ms"] / 1000,
        "watched": elapsed,
        "playable": playable,
        "timings": timings,
        "size": f"{clip['result']['width']}x{clip['result']['height']}",
    }


def play(url: str) -> None:
    """Fetch what a player needs before it shows the first picture."""
    base = url.rsplit("/", 1)[0] + "/"
    with httpx.Client(timeout=30) as player:
        master = player.get(url).raise_for_status().text
        video = next(line for line in master.splitlines() if line.startswith("preview/video"))
        audio = master.partition('URI="')[2].partition('"')[0]
        for playlist in (video, audio):
            lines = player.get(base + playlist).raise_for_status().text.splitlines()
            init = next(line for line in lines if "EXT-X-MAP" in line).partition('URI="')[2].rstrip('"')
            first = next(line for line in lines if not line.startswith("#"))
            for part in (init, first):
                player.get(f"{base}preview/{part}").raise_for_status()


def cpu(stack: EmbeddedStack) -> dict[str, float]:
    """CPU seconds that each part has used so far."""
    used = {}
    for part, pid in stack.pids().items():
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        used[part] = (int(fields[11]) + int(fields[12])) / TICK
    return used


# --- Beside the stack: with its settings, as one more process of it -----------------------------


def inside(clip_id: str) -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    import django

    django.setup()
    from project.celery import app

    model = _stage(clip_id, 0).model
    queue = f"batch.{model}"
    starts = _starts(clip_id, queue)
    turns: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(TURNS):
        for workers in (1, 2):
            second = [f"render2@{name.partition('@')[2]}" for name in _nodes(app)][:1]
            call = app.control.cancel_consumer if workers == 1 else app.control.add_consumer
            call(queue, destination=second, reply=True, timeout=5)
            turns[workers].append(_render_all(clip_id, queue))
    print(json.dumps({"starts_ms": starts, "one": turns[1], "two": turns[2]}))
    return 0


def _nodes(app: Any) -> list[str]:
    return [name for answer in app.control.ping(timeout=2) for name in answer if name.startswith("render")]


def _stage(clip_id: str, fragments: int, frames: int = 75) -> Any:
    """Lay out a clip like this one whose sound is there and whose fragments are not.

    We hold its lease, so that neither the reconciler nor the assembly touches it.
    """
    from django.utils import timezone

    from generation.clips.models import Clip, ClipFragment, ClipUtterance
    from project.ids import new_id
    from storage import keys

    clip = Clip.objects.get(pk=clip_id)
    utterances = list(ClipUtterance.objects.filter(clip=clip))
    clip.pk, clip.status, clip.stage, clip.finished_at = new_id("clip"), "running", "speech", None
    clip.lease_token, clip.lease_until = "benchmark", timezone.now() + timedelta(hours=1)
    clip.fragments_total, clip.fragments_done = None, 0
    clip._state.adding = True
    clip.save(force_insert=True)
    for row in utterances:
        row.pk, row.clip, row._state.adding = None, clip, True
    ClipUtterance.objects.bulk_create(utterances)
    later = timezone.now() + timedelta(hours=1)
    ClipFragment.objects.bulk_create(
        ClipFragment(
            clip=clip,
            index=index,
            start_frame=index * frames % 1200,
            frames=frames,
            key=keys.fragment(clip.pk, index),
            enqueued_at=later,  # not stale to the reconciler
        )
        for index in range(fragments)
    )
    return clip


def _starts(clip_id: str, queue: str) -> list[float]:
    """Publish one tiny fragment after the other to idle workers; milliseconds until each began."""
    from generation.clips.models import ClipFragment
    from workers import dispatch

    clip = _stage(clip_id, STARTS, frames=1)
    waits = []
    for index in range(STARTS):
        published = datetime.now(UTC)
        dispatch.render_fragment(clip.pk, index, queue)
        _until_done(clip.pk, index + 1)
        started = ClipFragment.objects.get(clip=clip, index=index).started_at
        waits.append((started - published).total_seconds() * 1000)
        time.sleep(0.05)
    _remove(clip)
    return waits


def _render_all(clip_id: str, queue: str) -> float:
    """Render a minute; seconds from the first start to the last end."""
    from django.db.models import Max, Min

    from generation.clips.models import ClipFragment
    from workers import dispatch

    clip = _stage(clip_id, FRAGMENTS)
    for index in range(FRAGMENTS):
        dispatch.render_fragment(clip.pk, index, queue)
    _until_done(clip.pk, FRAGMENTS)
    seen = ClipFragment.objects.filter(clip=clip).aggregate(first=Min("started_at"), last=Max("done_at"))
    _remove(clip)
    return float((seen["last"] - seen["first"]).total_seconds())


def _until_done(clip_id: str, count: int) -> None:
    from generation.clips.models import ClipFragment

    deadline = time.monotonic() + 300
    while ClipFragment.objects.filter(clip_id=clip_id, status="done").count() < count:
        if time.monotonic() > deadline:
            raise RuntimeError("The fragments were not rendered")
        time.sleep(0.05)


def _remove(clip: Any) -> None:
    from storage import keys
    from storage.s3 import store

    store().delete_prefix(keys.clip(clip.pk))
    clip.delete()


# --- The page -----------------------------------------------------------------------------------


def page(figures: dict[str, Any]) -> str:
    clips, used = figures["clips"], figures["cpu"]
    seconds = statistics.median(clip["seconds"] for clip in clips)
    speed = statistics.median(clip["seconds"] / clip["elapsed"] for clip in clips)
    playable = statistics.median(clip["playable"] for clip in clips)
    ratio = statistics.median(a / b for a, b in zip(figures["one"], figures["two"], strict=True))
    start = statistics.median(figures["starts_ms"])
    cores = os.cpu_count() or 1
    total = sum(used.values())
    parts = "\n".join(
        f"| {name} | {value:.2f} |" for name, value in sorted(used.items(), key=lambda i: -i[1])
    )
    return f"""# Whole clips

Written by `python -m docs.benchmarks.clip` on {datetime.now(UTC):%Y-%m-%d}: {cores} cores, load average
{figures["load"]:.1f} while it ran (its own share is about {cores}; more than that was other work, which
the wall-clock figures include). A script of {seconds:.0f} s, model `viseme`, {clips[0]["size"]}, voice
`en-heart`, medians of {len(clips)} clips.

| Figure | Here | Goal |
|---|---|---|
| from POST to `succeeded`, times faster than realtime | {speed:.1f} | 8 |
| first preview fragment playable, seconds after POST | {playable:.2f} | 2 |
| two render workers against one, on a minute of spoken fragments | {ratio:.2f} | 1.8 |
| from publishing a render task to its start, idle worker, median ms | {start:.1f} | 5 |

CPU seconds for a minute of video, by part of the stack; {cores} idle cores can do no better than
{60 * cores / total:.1f} times realtime with these.

| Part | CPU s |
|---|---|
{parts}
| all | {total:.2f} |

Where the time of one clip went, in ms since the POST: {_where(clips[-1]["timings"])}.
"""


def _where(timings: dict[str, Any]) -> str:
    names = ("started_ms", "first_fragment_ms", "rendered_ms", "finished_ms")
    return ", ".join(f"{name[:-3].replace('_', ' ')} {timings[name]}" for name in names)


if __name__ == "__main__":
    sys.exit(main())
