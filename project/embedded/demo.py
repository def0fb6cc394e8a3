"""The demonstration: a client like any other, which renders one script over REST.

`python -m project.embedded demo` starts a stack of its own and runs this module beside it, so all it
knows is an address and an API key.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

SCRIPT = (
    "Hello, and welcome to Parley! I am an avatar, rendered on a plain processor, without a graphics card. "
    "Write what I should say, choose a face and a voice, and a few seconds later you have a finished video. "
    "My lips follow every sound: papa, mama, blue moon, five seven. "
    "And when I have nothing to say, I wait for you, and breathe."
)
POLL_SECONDS = 0.25
AVATAR_SECONDS = 300.0
CLIP_SECONDS = 3600.0
BAR_CELLS = 32
BLOCK_BYTES = 256 * 1024


class DemoError(Exception):
    """What went wrong, in words for the person who typed `make demo`."""


def main() -> int:
    out = Path(sys.argv[1])
    connection = json.loads((Path(os.environ["PARLEY_HOME"]) / "connection.json").read_text())
    headers = {"Authorization": f"Bearer {connection['api_key']}"}
    try:
        with httpx.Client(base_url=f"{connection['url']}/api/v1/", headers=headers, timeout=60) as client:
            _run(client, out, _wishes())
    except DemoError as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    except httpx.HTTPError as error:
        print(f"\nThe demo failed: no answer from the service ({error})", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _wishes() -> dict[str, str]:
    return {name: os.environ.get(name, "").strip() for name in ("SCRIPT", "AVATAR", "VOICE", "IMAGE")}


def _run(client: httpx.Client, out: Path, wishes: dict[str, str]) -> None:
    avatar = (
        _new_avatar(client, Path(wishes["IMAGE"])) if wishes["IMAGE"] else _avatar(client, wishes["AVATAR"])
    )
    print(f"\nAvatar: {avatar['name']}")
    body = {"avatar": avatar["id"], "script": wishes["SCRIPT"] or SCRIPT}
    if wishes["VOICE"]:
        body["voice"] = wishes["VOICE"]
    began = time.monotonic()
    clip = _clip(client, _answer(client.post("clips", json=body)))
    finished = time.monotonic()
    _download(client, clip, out)
    print(report(clip, out, finished - began, time.monotonic() - finished))


def _avatar(client: httpx.Client, wanted: str) -> dict[str, Any]:
    """The avatar that was asked for by slug, id or name; else the first that talks well."""
    found = _answer(client.get("avatars", params={"limit": 100}))["results"]
    if wanted:
        matching = [a for a in found if wanted.lower() in (a["id"], a["slug"], a["name"].lower())]
        if not matching:
            raise DemoError(f"there is no avatar {wanted!r}; there are {', '.join(a['slug'] for a in found)}")
    else:
        # The test card of the mock model is for machines; the order is that of the names.
        matching = sorted((a for a in found if "mock" not in a["models"]), key=lambda a: str(a["slug"]))
        if not matching:
            raise DemoError("there is no avatar in the catalogue; give one with IMAGE=portrait.png")
    return _until_ready(client, matching[0])


def _new_avatar(client: httpx.Client, image: Path) -> dict[str, Any]:
    try:
        picture = image.read_bytes()
    except OSError as error:
        raise DemoError(f"{image} cannot be read: {error.strerror}") from error
    form = {"name": image.stem.replace("_", " ").strip()[:60] or "Portrait"}
    posted = client.post("avatars", data=form, files={"image": (image.name, picture)})
    return _until_ready(client, _answer(posted))


def _until_ready(client: httpx.Client, avatar: dict[str, Any]) -> dict[str, Any]:
    def look() -> dict[str, Any]:
        return _answer(client.get(f"avatars/{avatar['id']}"))

    def progress(seen: dict[str, Any]) -> tuple[int, str]:
        return int(seen.get("progress") or 0), "preparing the avatar"

    seen = _watch(look, lambda a: a["status"] != "preparing", progress, AVATAR_SECONDS)
    if seen["status"] != "ready":
        raise DemoError(f"the avatar cannot be used: {_reason(seen)}")
    return seen


def _clip(client: httpx.Client, clip: dict[str, Any]) -> dict[str, Any]:
    def look() -> dict[str, Any]:
        return _answer(client.get(f"clips/{clip['id']}"))

    def progress(seen: dict[str, Any]) -> tuple[int, str]:
        done, total = seen["fragments"]["done"], seen["fragments"]["total"]
        return seen["progress"], f"{seen['stage'] or seen['status']}, fragment {done} of {total or '?'}"

    seen = _watch(look, lambda c: c["status"] not in ("queued", "running"), progress, CLIP_SECONDS)
    if seen["status"] != "succeeded":
        raise DemoError(f"the clip {seen['status']}: {_reason(seen)}")
    return seen


def _watch(
    look: Callable[[], dict[str, Any]],
    ended: Callable[[dict[str, Any]], bool],
    progress: Callable[[dict[str, Any]], tuple[int, str]],
    seconds: float,
) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    shown = False
    while not ended(seen := look()):
        if time.monotonic() > deadline:
            raise DemoError(f"nothing happened for too long; it says: {json.dumps(seen)[:400]}")
        _show(*progress(seen))
        shown = True
        time.sleep(POLL_SECONDS)
    if shown:
        _show(100, "done" + " " * 40)
        print()
    return seen


def _show(percent: int, words: str) -> None:
    """Draw a bar over itself on a terminal; say nothing where the output goes to a file."""
    if sys.stdout.isatty():
        full = BAR_CELLS * min(percent, 100) // 100
        print(f"\r  [{'#' * full}{'.' * (BAR_CELLS - full)}] {percent:3d}%  {words:<44}", end="", flush=True)


def _download(client: httpx.Client, clip: dict[str, Any], out: Path) -> None:
    """Fetch the video by its presigned link, as a browser would; the key stays with the API."""
    link = client.get(f"clips/{clip['id']}/video").headers.get("location")
    if link is None:
        raise DemoError("the service gave no link to the video")
    partial = out.with_name(f".{out.name}.part")
    with httpx.stream("GET", link, timeout=60) as answer, partial.open("wb") as file:
        if answer.status_code != 200:
            raise DemoError(f"the video cannot be fetched: status {answer.status_code}")
        for block in answer.iter_bytes(BLOCK_BYTES):
            file.write(block)
    if partial.stat().st_size != clip["result"]["bytes"]:
        raise DemoError("the video arrived incomplete")
    partial.replace(out)


def report(clip: dict[str, Any], out: Path, clip_seconds: float, download_seconds: float) -> str:
    """Where the time went. Speaking, rendering and sound overlap, so the rows do not add up."""
    result, took = clip["result"], clip.get("timings") or {}
    length = result["duration_ms"] / 1000
    rows = [
        ("until a worker took it", took.get("started_ms")),
        ("first fragment ready to watch", took.get("first_fragment_ms")),
        ("every fragment rendered", took.get("rendered_ms")),
        ("finished", took.get("finished_ms")),
    ]
    work = [
        ("speech", took.get("speech_ms")),
        ("rendering and encoding, all workers", took.get("render_work_ms")),
        ("assembly", took.get("assembly_ms")),
        ("download", download_seconds * 1000),
    ]
    size = f"{result['width']}x{result['height']} at {result['fps']} fps, {result['bytes'] / 1e6:.1f} MB"
    faster = f"{length / clip_seconds:.1f} times faster than realtime"
    lines = [
        f"\n{os.path.relpath(out)}: {length:.1f} s, {size}\n",
        "  After the request",
        *_rows(rows),
        "  Work (some of it at the same time)",
        *_rows(work),
        f"\n  {length:.1f} s of video in {clip_seconds:.1f} s: {faster}",
    ]
    return "\n".join(lines)


def _rows(rows: list[tuple[str, float | None]]) -> list[str]:
    return [f"    {name:<36} {ms / 1000:7.2f} s" for name, ms in rows if ms is not None]


def _answer(answer: httpx.Response) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        content = {}
    if answer.is_success and isinstance(content, dict):
        return content
    told = content.get("detail") or content.get("title") or answer.reason_phrase
    code = content.get("code") or answer.status_code
    raise DemoError(f"{told} ({code})")


def _reason(seen: dict[str, Any]) -> str:
    failure = seen.get("failure") or {}
    return f"{failure.get('message') or 'no reason given'} ({failure.get('code') or 'unknown'})"


if __name__ == "__main__":
    sys.exit(main())
