"""Every model on every backend, by configuration alone: a clip and a conversation each, on one stack.

A model has one backend in an installation. So that one stack has them all, the others come as files of
`MODELS_DIR`: the repository's own, under another id and with another backend chosen.
"""

import asyncio
import io
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import yaml

from project.bench.client import LiveClient
from project.bench.provider_stub import provider_stub
from project.bench.stack import EmbeddedStack
from project.embedded.stack import ROOT
from tests.support import drawn_frames, flashhead, musetalk, wav2lip
from tests.support.drawn_frames import Code
from tests.support.flashtalk import flashtalk
from tests.support.omnirt import Model, OmniRT, omnirt
from workers.adapters.avatar.models import BUILT_IN

WIDTH, HEIGHT = 240, 400
KEY = "key-of-the-model-servers"
WORDS = "Good day to you."
PORTRAIT = Path(__file__).parents[1] / "data/portraits/mei.jpg"
STARTED_SECONDS = 300

ROWS = {
    "wav2lip": ("local", "omnirt"),
    "musetalk": ("local", "omnirt", "direct_ws"),
    "quicktalk": ("omnirt", "local"),
    "flashtalk": ("direct_ws", "omnirt"),
    "flashhead": ("http", "direct_ws", "local"),
    "fasterliveportrait": ("omnirt",),
}
"""The backend that the repository's file chooses comes first."""
IDS = [
    model if not place else f"{model}_{name}" for model, row in ROWS.items() for place, name in enumerate(row)
]
LOCAL = ("wav2lip", "musetalk", "quicktalk_local", "flashhead_local")
CODED = [model for model in IDS if model not in LOCAL and model != "flashhead"]
"""Their servers write into each frame which one it is."""

PLUGIN = '''
"""A model that an operator supplies: the portrait, darker at the bottom while there is sound."""

import numpy as np

from workers.adapters.avatar.base import SAMPLES_PER_FRAME
from workers.adapters.avatar.pictures import to_i420
from workers.adapters.avatar.remote import reference


class Operators:
    def __init__(self, config, runtime):
        self.profile = config.profile

    def load(self, bundle):
        return to_i420(reference.load(bundle, "quicktalk")[1])

    def open_stream(self, avatar, *, start_frame=0, background=None):
        return {"picture": avatar}

    def extract_features(self, stream, window):
        own = window.pcm[window.lookback : window.lookback + window.frames * SAMPLES_PER_FRAME]
        return np.abs(own.reshape(window.frames, -1).astype(np.int32)).mean(axis=1)

    def infer(self, stream, features):
        return list(features)

    def compose_frame(self, stream, pose):
        drawn = stream["picture"].copy()
        height = len(drawn) * 2 // 3
        drawn[height * 3 // 4 : height] //= 2 if pose > 200 else 1
        return drawn

    def reset(self, stream):
        pass

    def close_stream(self, stream):
        pass
'''


@dataclass
class World:
    """The model servers, and the settings that lead to them."""

    omnirt: OmniRT
    env: dict[str, str] = field(default_factory=dict)


def copied(folder: Path, model: str, backend: str) -> None:
    """The repository's file of a model under another id, with another backend chosen."""
    told = yaml.safe_load((BUILT_IN / f"{model}.yaml").read_text())
    told |= {"id": f"{model}_{backend}", "name": f"{told['name']} ({backend})", "backend": backend}
    chosen = told["backends"][backend]
    if "width" in {**told["profile"], **chosen.get("profile", {})}:
        chosen["profile"] = {**chosen.get("profile", {}), "width": WIDTH, "height": HEIGHT}
    if (model, backend) == ("flashhead", "direct_ws"):
        chosen["credentials"] = "FLASHHEAD_WS"  # in this stack it is another server than the one of http
    (folder / f"{told['id']}.yaml").write_text(yaml.safe_dump(told, sort_keys=False))


def weights(folder: Path) -> Path:
    """Networks of the right form that never learnt anything, and what FlashHead's package looks for."""
    wav2lip.write_checkpoint(folder / "wav2lip/wav2lip.pth", 96)
    musetalk.write(folder)
    checkpoints = folder / "SoulX-FlashHead-1_3B"
    for name in ("Model_Lite", "VAE_LTX"):
        (checkpoints / name).mkdir(parents=True)
        (checkpoints / name / "config.json").write_text("{}")
    (folder / "wav2vec2-base-960h").mkdir()
    (folder / "wav2vec2-base-960h/config.json").write_text("{}")
    return folder


def package(folder: Path) -> Path:
    """The stand-in for `flash_head`, with small pictures."""
    source = Path(flashhead.__file__).parent / "flash_head"
    for path in source.rglob("*.*"):
        if "__pycache__" not in path.parts:
            (folder / "flash_head" / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            (folder / "flash_head" / path.relative_to(source)).write_bytes(path.read_bytes())
    config = folder / "flash_head/configs/infer_params.yaml"
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | {"width": 96, "height": 160}))
    return folder


@contextmanager
def flashhead_service(env: dict[str, str]) -> Iterator[str]:
    """`manage.py flashhead_service` and its address."""
    command = [sys.executable, "manage.py", "flashhead_service", "--device", "cpu", "--port", "0"]
    whole = {**os.environ, **env, "FLASHHEAD_API_KEY": KEY, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=whole, stdout=subprocess.PIPE, text=True) as process:
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(
            target=lambda: [lines.put(line) for line in process.stdout or ()], daemon=True
        ).start()
        try:
            while " is ready at " not in (line := lines.get(timeout=STARTED_SECONDS)):
                pass
            yield line.split()[-1]
        finally:
            process.terminate()
            process.wait(20)
    assert process.returncode == 0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("models")
    (folder / "plugins").mkdir()
    (folder / "plugins/operators_model.py").write_text(PLUGIN)
    for model, row in ROWS.items():
        for backend in row[1:]:
            copied(folder, model, backend)
    own = {
        "MODELS_DIR": str(folder),
        "MODEL_WEIGHTS_DIR": str(weights(tmp_path_factory.mktemp("weights"))),
        "QUICKTALK_LOCAL_ENTRY": "operators_model:Operators",
        "FLASHHEAD_REPOSITORY": str(package(tmp_path_factory.mktemp("package"))),
        "FLASHHEAD_MEMORY_MB": "512",
        "FLASHHEAD_WIDTH": str(WIDTH),
        "FLASHHEAD_HEIGHT": str(HEIGHT),
    }
    own |= {f"FLASHHEAD_LOCAL_{name}": own[f"FLASHHEAD_{name}"] for name in ("REPOSITORY", "MEMORY_MB")}
    with ExitStack() as running:
        models = OmniRT().models | {"soulx-flashhead-1.3b": Model(slice_frames=24)}
        rt = running.enter_context(omnirt(key=KEY, models=models))
        stub = running.enter_context(provider_stub(reply="It is open now.", first_token_ms=20))
        env = own | {
            "OMNIRT_URL": rt.url,
            "OMNIRT_API_KEY": KEY,
            "FLASHTALK_URL": running.enter_context(flashtalk()).url,
            "MUSETALK_URL": running.enter_context(flashtalk(frame_num=30)).url,
            "FLASHHEAD_URL": running.enter_context(flashhead_service(own)),
            "FLASHHEAD_API_KEY": KEY,
            "FLASHHEAD_WS_URL": rt.url,
            "FLASHHEAD_WS_API_KEY": KEY,
            "RENDER_MODELS": ",".join(LOCAL),
            "RENDER_DEVICE": "cpu",
            "SPEECH_URL": stub.url,
            "SPEECH_API_KEY": "",
            "BUILTIN_AVATARS": "",
            "LIVE_WORKERS": "1",
            "ALLOWANCE_REQUESTS_A_MINUTE": "100000",
            "ALLOWANCE_CONCURRENT_SESSIONS": "100",
        }
        for model in ("FLASHTALK", "FASTERLIVEPORTRAIT"):
            env |= {f"{model}_WIDTH": str(WIDTH), f"{model}_HEIGHT": str(HEIGHT)}
        yield World(rt, env)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[EmbeddedStack]:
    home = tmp_path_factory.mktemp("stack") / "home"
    running = EmbeddedStack(home, render_workers=1, env=world.env)
    running.start(wait=False)
    try:
        running.wait_healthy(400)  # networks are read, and tried
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def avatar(stack: EmbeddedStack) -> str:
    """One avatar, prepared for every model."""
    whole = cv2.imread(str(PORTRAIT))
    height, width = whole.shape[:2]
    left = (width - height * WIDTH // HEIGHT) // 2
    small = cv2.resize(whole[:, left : width - left], (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    file = ("mei.png", cv2.imencode(".png", small)[1].tobytes(), "image/png")
    with stack.client as client:
        told = {"name": "Mei", "models": IDS}
        answer = client.post("/api/v1/avatars", data=told, files={"image": file}, timeout=60)
        assert answer.status_code in (201, 202), answer.text
        made = answer.json()

        def ready() -> bool:
            now = client.get(f"/api/v1/avatars/{made['id']}").json()
            failed = {each["model"]: each["failure"] for each in now["preparations"] if each["failure"]}
            assert not failed, failed
            return set(now["models"]) >= set(IDS)

        stack.wait_until(ready, "the avatar is ready for every model", 400)
    return str(made["id"])


def test_every_model_is_there(stack: EmbeddedStack) -> None:
    with stack.client as client:
        listed = {model["id"]: model for model in client.get("/api/v1/models").json()}
    assert {name: listed[name]["reason"] for name in IDS if not listed[name]["available"]} == {}
    assert {name: listed[name]["backend"] for name in IDS} == {
        name: backend
        for model, row in ROWS.items()
        for name, backend in zip([one for one in IDS if one.split("_")[0] == model], row, strict=True)
    }


def test_every_model_makes_a_clip(stack: EmbeddedStack, avatar: str) -> None:
    clips = [{"avatar": avatar, "model": model, "script": WORDS, "captions": None} for model in IDS]
    clips = [{name: value for name, value in clip.items() if value} for clip in clips]
    with stack.client as client:
        answer = client.post("/api/v1/clips/batch", json={"clips": clips})
        assert answer.status_code == 202, answer.text
        ids = {clip["id"]: clip["model"] for clip in answer.json()["clips"]}

        def left() -> list[str]:
            found = client.get("/api/v1/clips", params={"ids": ",".join(ids), "limit": 100}).json()["results"]
            return [clip["model"] for clip in found if clip["status"] in ("queued", "running")]

        stack.wait_until(lambda: not left(), "all clips are done", 300)
        told = {model: client.get(f"/api/v1/clips/{clip}").json() for clip, model in ids.items()}
        failed = {model: clip["failure"] for model, clip in told.items() if clip["status"] != "succeeded"}
        assert failed == {}
        films = {
            model: client.get(told[model]["result"]["video_url"], follow_redirects=True).content
            for model in IDS
        }
    assert {model: told[model]["warnings"] for model in IDS if told[model].get("warnings")} == {}
    for model, film in films.items():
        pictures = decoded(film)
        assert len(pictures) * 40 == told[model]["result"]["duration_ms"], model
        assert not any(np.ptp(picture) < 30 for picture in pictures), model
    for model in CODED:
        codes = [drawn_frames.read(picture) for picture in decoded(films[model])]
        assert numbers(codes) == list(range(len(codes))), model
        assert len({code.face for code in codes}) == 1, model


def decoded(film: bytes) -> list[np.ndarray]:
    with av.open(io.BytesIO(film)) as container:
        return [frame.to_ndarray(format="yuv420p") for frame in container.decode(video=0)]


def numbers(codes: list[Code]) -> list[int]:
    """Counted from the first: a server's session may have drawn before."""
    return [code.number - codes[0].number for code in codes]


async def test_every_model_speaks_in_a_conversation(stack: EmbeddedStack, avatar: str) -> None:
    async def said(model: str, gate: asyncio.Semaphore) -> tuple[str, Any]:
        wishes = {"model": model, "record": False}
        async with gate, LiveClient(stack.base_url, stack.api_key, avatar, wishes) as client:
            answer = await client.request("POST", "sessions", {"avatar": avatar, **wishes})
            assert answer.status_code == 201, (model, answer.text)
            client.session = answer.json()
            await client.join()
            await client.connect_media(wait_for_picture=False)
            answer = await client.request("POST", f"sessions/{client.id}/say", {"text": WORDS})
            assert answer.status_code == 202, (model, answer.text)
            turn = answer.json()["turn"]
            ended = await client.event(
                "speech.ended", seconds=90, where=lambda data: data.get("turn") == turn
            )
            errors = [event.data for event in client.seen("error")]
            await client.send("session.end")
            return model, (ended.data["interrupted"], ended.data["heard_text"], errors)

    gate = asyncio.Semaphore(2)
    told = dict(await asyncio.gather(*(said(model, gate) for model in IDS)))
    assert {model: found for model, found in told.items() if found != (False, WORDS, [])} == {}


def test_no_key_is_written_down(stack: EmbeddedStack, avatar: str) -> None:
    logs = "".join(path.read_text(errors="replace") for path in (stack.home / "logs").glob("*.log"))
    assert KEY not in logs
    assert json.dumps(WORDS)[1:-1] not in logs
