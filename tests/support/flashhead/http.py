"""A FlashHead HTTP service as others run it: `python -m tests.support.flashhead.http --port N`.

Its films carry the code of `drawn_frames`. What it is like is told by its fields (whether it keeps sessions,
how it names its films, which keys of `config` it takes); what it does wrong by `misbehave`:

    traversal, elsewhere, link, pipe    the film is named as something that nobody should open
    short N, long N                     frames too few or too many
    page, flat, other, foreign          no film; one colour; another person's; of a foreign encoder
    nothing, list                       an answer that names nothing; that is no object
    cut, huge, stalled                  the film's download ends early, never ends, never begins
    and those of `HttpService`: 409 N, 500, garbage, silent, drop
"""

from __future__ import annotations

import base64
import io
import os
import secrets
import wave
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from aiohttp import web

from tests.support import drawn_frames, http_service
from tests.support.drawn_frames import Code, face_sum, sound_sum
from tests.support.http_service import Answer, HttpService, Wrong, body_of
from workers.adapters.avatar.pictures import to_i420
from workers.rendering.encode import encode_fragment

KNOWN = frozenset({"model_type", "seed", "sample_steps", "profile", "output_dir"})
"""Keys of `config` that OmniRT takes of this model."""


class FlashHeadFake(HttpService):
    """`shared` and `output` are folders of this machine; without them files travel inside and by address.

    `names` says how a film is called: path, relative, url, both or plain. With `sessions` films of one
    session go on; `strict` refuses unknown keys of `config` as OmniRT does.
    """

    path = ""

    def __init__(
        self,
        key: str = "",
        *,
        shared: Path | None = None,
        output: Path | None = None,
        names: str = "url",
        sessions: bool = False,
        strict: bool = False,
        size: tuple[int, int] = (96, 160),
        slice_frames: int = 24,
        foreign: bool = False,
    ) -> None:
        super().__init__(key)
        self.shared, self.output, self.names = shared, output, names
        self.sessions, self.strict, self.size = sessions, strict, size
        self.slice_frames, self.foreign = slice_frames, foreign
        self.given: dict[str, int] = {}
        self.films: dict[str, bytes] = {}
        self.ways: dict[str, str] = {}
        self.fetched: list[str] = []

    def routes(self) -> list[tuple[str, str, Answer]]:
        return [("POST", "/v1/generate", self.generate), ("GET", "/outputs/{name}", self.download)]

    async def generate(self, request: web.Request, way: str) -> web.StreamResponse:
        body = await body_of(request, lambda what: Wrong(400, {"detail": f"bad {what}"}))
        self.requests.append(body)
        self._check(body)
        picture = self._file(body["inputs"], "image")
        sound = _samples(self._file(body["inputs"], "audio"))
        session = str(body["config"].get("session", "")) if self.sessions else ""
        continued = bool(body["config"].get("continues")) and session in self.given
        first = self.given.get(session, 0) if continued else 0
        film = self._film(picture, sound, first, way)
        if session:
            self.given[session] = first + len(sound) // drawn_frames.SAMPLES
        return web.json_response(self._answer(request, film, continued, way))

    async def download(self, request: web.Request, way: str) -> web.StreamResponse:
        name = request.match_info["name"]
        self.fetched.append(name)
        if name not in self.films:
            raise Wrong(404, {"detail": "gone"})
        told = self.ways.get(name, "")
        if told == "stalled":
            await http_service._hang(request)
        if told == "huge":
            return await self._endless(request)
        headers = {"Content-Type": "video/mp4"}
        return await http_service.send(request, self.films[name], told, headers, length=True)

    async def _endless(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(bytes(1024 * 1024))

    def _check(self, body: dict[str, Any]) -> None:
        if body.get("task") != "audio2video" or not isinstance(body.get("config"), dict):
            raise Wrong(400, {"detail": "task"})
        unknown = sorted(set(body["config"]) - KNOWN - {"preset"})
        if self.strict and unknown:
            listed = ", ".join(f"'{name}'" for name in unknown[:1])  # one at a time, so that all are learned
            detail = f"- Unsupported config keys for model '{body['model']}': [{listed}] (supported: [...])"
            raise Wrong(400, {"detail": detail})

    def _file(self, inputs: dict[str, str], name: str) -> bytes:
        if self.shared is None:
            if f"{name}_b64" not in inputs:
                raise Wrong(400, {"detail": f"no {name}"})
            return base64.b64decode(inputs[f"{name}_b64"], validate=True)
        path = Path(inputs.get(name, ""))
        if not path.is_file():
            raise Wrong(400, {"detail": f"no {name}"})
        return path.read_bytes()

    def _film(self, file: bytes, sound: np.ndarray, first: int, way: str) -> bytes:
        name, _, count = way.partition(" ")
        frames = len(sound) // drawn_frames.SAMPLES
        frames += {"short": -1, "long": 1}.get(name, 0) * int(count or 0)
        if name == "page":
            return b"<html>not a film</html>"
        if name == "other":
            file = drawn_frames.jpeg(255 - drawn_frames.plate(file, *self.size))
        face = face_sum(file)
        pictures = [
            to_i420(drawn_frames.frame(file, Code(first + n, sound_sum(sound, n), face), *self.size))
            for n in range(frames)
        ]
        if name == "flat":
            pictures = [np.full_like(picture, 90) for picture in pictures]
        if self.foreign or name == "foreign":
            return filmed(pictures)
        width, height = self.size
        return encode_fragment(pictures, width=width, height=height).data

    def _answer(self, request: web.Request, film: bytes, continued: bool, way: str) -> Any:
        name = f"{secrets.token_hex(8)}.mp4"
        self.films[name], self.ways[name] = film, way
        if way == "list":
            return ["outputs"]
        if way == "nothing":
            return {"outputs": [], "path": "/at/the/top.mp4"}
        about = {"continued": continued, "slice_frames": self.slice_frames} if self.sessions else {}
        return {"outputs": [self._named(request, name, way)], "metadata": about}

    def _named(self, request: web.Request, name: str, way: str) -> Any:
        folder = self.output or self.shared
        if folder is not None:
            (folder / name).write_bytes(self.films[name])
        url = f"http://{request.host}/outputs/{name}"
        if way == "elsewhere":
            return {"url": f"http://127.0.0.1:9/outputs/{name}"}
        if folder is not None and way in ("traversal", "link", "pipe"):
            return {"path": _trap(folder, way)}
        told: dict[str, Any] = {
            "path": {"path": str((folder or Path()) / name)},
            "relative": {"artifact": {"filename": f"outputs/{name}"}},
            "url": {"uri": url},
            "both": {"path": f"/srv/elsewhere/{name}", "url": url},
            "plain": name,
        }
        return told[self.names]


def _trap(folder: Path, way: str) -> str:
    if way == "traversal":
        return f"{folder}/../secret.mp4"
    trap = folder / f"{way}.mp4"
    if not os.path.lexists(trap):
        trap.symlink_to(folder.parent / "secret.mp4") if way == "link" else os.mkfifo(trap)
    return str(trap)


def filmed(pictures: Sequence[np.ndarray]) -> bytes:
    """As imageio and FFmpeg leave it: B-frames, parameter sets of its own, a sound track."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "16"})
        stream.width, stream.height = pictures[0].shape[1], pictures[0].shape[0] * 2 // 3
        stream.pix_fmt = "yuv420p"
        voice = file.add_stream("aac", rate=16_000, layout="mono")
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 640 * len(pictures)), np.float32), "fltp", "mono")
        silence.sample_rate, silence.pts = 16_000, 0
        file.mux(voice.encode(silence))
        file.mux(voice.encode(None))
    return out.getvalue()


def _samples(file: bytes) -> np.ndarray:
    with wave.open(io.BytesIO(file)) as sound:
        if (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) != (1, 2, 16_000):
            raise Wrong(400, {"detail": "audio"})
        return np.frombuffer(sound.readframes(sound.getnframes()), "<i2")


if __name__ == "__main__":
    http_service.run(
        lambda options: FlashHeadFake(options.key, size=(512, 512), sessions=True), "flashhead.http"
    )
