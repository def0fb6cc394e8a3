import dataclasses
import io
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.support import models
from tests.support import musetalk as small
from workers.adapters.avatar.alone import Alone
from workers.adapters.avatar.base import AudioWindow, Background
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.avatar.musetalk import ears, faces, generator, layout
from workers.adapters.avatar.musetalk.parsing import BiSeNet
from workers.adapters.avatar.musetalk.renderer import MuseTalkRenderer, Stream, make, shares
from workers.adapters.avatar.pictures import normalised, planes, to_bgr, to_i420
from workers.adapters.avatar.plates import film
from workers.adapters.avatar.plates.bundle import PlateBundle, pack
from workers.adapters.avatar.runtime import Array, Forward, Network, Runtime
from workers.adapters.avatar.viseme.landmarks import find_faces, find_mesh
from workers.adapters.errors import AdapterError
from workers.gpu.host import RenderHost

PORTRAIT = Path(__file__).resolve().parents[4] / "data" / "portraits" / "mei.jpg"
COUNT = 2
"""Pictures of the avatar; each lies three pixels right of the one before."""


class Counting(Alone):
    """A host that tells how many rows each network was given."""

    def __init__(self, weights: Path) -> None:
        super().__init__(weights)
        self.rows: dict[str, list[int]] = {}
        self.live: set[bool] = set()

    def network(
        self, name: str, load: Callable[[], Forward], *, memory_mb: int, max_batch: int = 1
    ) -> Network:
        network = super().network(name, load, memory_mb=memory_mb, max_batch=max_batch)
        rows, told = self.rows.setdefault(name, []), self.live

        class Counted(Network):
            def run(self, *batch: Array, live: bool = False) -> Array:
                rows.append(len(batch[0]))
                told.add(live)
                return network.run(*batch, live=live)

        return Counted()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return small.write(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def made(weights: Path) -> MuseTalkRenderer:
    """A renderer whose networks are loaded once for all tests that do not count."""
    return renderer(weights)


@pytest.fixture(scope="module")
def portrait() -> tuple[np.ndarray, np.ndarray]:
    picture = cv2.imread(str(PORTRAIT))
    picture = normalised(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    points = find_mesh(picture, find_faces(picture)[0])
    assert points is not None
    return picture, points


@pytest.fixture(scope="module")
def bundle(portrait: tuple[np.ndarray, np.ndarray]) -> bytes:
    return bundled(*portrait)


def bundled(picture: np.ndarray, points: np.ndarray, *, alpha: bool = False) -> bytes:
    height, width = picture.shape[:2]
    pictures, tracks = [], []
    for place in range(COUNT):
        move = np.array([[1, 0, 3 * place], [0, 1, 0]], np.float64)
        pictures.append(cv2.warpAffine(picture, move, (width, height), borderMode=cv2.BORDER_REPLICATE))
        tracks.append(points + np.array([3 * place, 0]))
    track = np.stack(tracks).astype(np.float32)
    boxes = np.concatenate([track.min(axis=1), track.max(axis=1)], axis=1).astype(np.int32)
    grey = np.full((height * 3 // 2, width), 128, np.uint8)
    grey[:height] = 0
    grey[:height, : width // 2] = 255
    return pack(
        PlateBundle(
            width=width,
            height=height,
            points=track,
            boxes=np.clip(boxes, 0, min(width, height)),
            film=film.encode((to_i420(one) for one in pictures), width, height),
            alpha=film.encode((grey for _ in pictures), width, height) if alpha else [],
        )
    )


def config(**options: object) -> ModelConfig:
    made = models.config("musetalk")
    return dataclasses.replace(made, options=dict(made.options) | options)


def renderer(weights: Path, **options: object) -> MuseTalkRenderer:
    return make(config(**options), Runtime(Alone(weights)))


def speech(frames: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    times = np.arange(frames * 640) / 16_000
    loudness = np.maximum(0, np.cos(2 * np.pi * 4 * times))
    hum = 6000 * np.sin(2 * np.pi * (130 * seed + 70 + 40 * np.sin(9 * times)) * times)
    return ((hum + 900 * rng.standard_normal(len(times))) * loudness).astype(np.int16)


def window(pcm: np.ndarray, start: int, frames: int, **more: bool) -> AudioWindow:
    before, after = config().profile.lookback_samples, config().profile.lookahead_samples
    padded = np.pad(pcm, (before, after))
    cut = padded[start * 640 : (start + frames) * 640 + before + after]
    return AudioWindow(cut, before, after, start, frames, **more)


def drawn(made: MuseTalkRenderer, stream: Stream, heard: AudioWindow) -> np.ndarray:
    poses = made.infer(stream, made.extract_features(stream, heard))
    return np.stack([made.compose_frame(stream, pose).copy() for pose in poses])


def film_of(made: MuseTalkRenderer, bundle: bytes, pcm: np.ndarray, *cuts: int) -> np.ndarray:
    stream = made.open_stream(made.load(bundle))
    pieces = [drawn(made, stream, window(pcm, start, stop - start)) for start, stop in pairwise(cuts)]
    return np.concatenate(pieces).astype(int)


@pytest.mark.parametrize("version", ["v1", "v15"])
def test_speech_in_pieces_is_drawn_as_in_one(
    made: MuseTalkRenderer, tmp_path: Path, bundle: bytes, version: str
) -> None:
    if version == "v1":
        made = renderer(small.write(tmp_path, version="v1", safe=False))
    pcm = speech(5)

    whole = film_of(made, bundle, pcm, 0, 5)
    pieces = film_of(made, bundle, pcm, 0, 1, 3, 5)

    assert np.abs(pieces - whole).max() <= 2
    assert np.abs(pieces - whole).mean() < 0.01
    # Frames two apart show the same picture, and only what is heard differs.
    assert np.abs(whole[2:] - whole[:-2]).max() > 10


def test_only_the_lower_face_changes_and_its_edges_are_soft(made: MuseTalkRenderer, bundle: bytes) -> None:
    sitter = made.load(bundle)
    stream = made.open_stream(sitter)
    points = sitter.plates.points(1)

    frame = drawn(made, stream, window(speech(4), 1, 1))[0]

    before = planes(sitter.plates.i420(1))[0].astype(int)
    change = np.abs(planes(frame)[0].astype(int) - before)
    left, top, right, bottom = (int(side) for side in (*points.min(axis=0), *points.max(axis=0)))
    outside = np.ones_like(change, bool)
    outside[(top + bottom) // 2 - 8 : bottom + 12, left - 2 : right + 3] = False
    assert change[outside].max() == 0
    lips = change[int(points[0, 1]) : int(points[17, 1]), int(points[61, 0]) : int(points[291, 0])]
    assert np.median(lips) > 10
    edge = np.abs(np.diff(np.where(change > 0, 1, 0), axis=0)).astype(bool)
    assert np.median(change[1:][edge]) < 8


def test_the_same_sound_is_drawn_the_same_and_another_one_differs(
    made: MuseTalkRenderer, bundle: bytes
) -> None:
    one, again = (film_of(made, bundle, speech(3), 0, 3) for _ in range(2))
    other = film_of(made, bundle, np.zeros(3 * 640, np.int16), 0, 3)

    assert np.array_equal(one, again)
    assert np.abs(one - other).max() > 10


def test_sessions_share_the_networks_and_get_their_own_frames(
    made: MuseTalkRenderer, weights: Path, bundle: bytes
) -> None:
    hiss = np.random.default_rng(3).integers(-9000, 9000, 3 * 640).astype(np.int16)
    sounds = [speech(3), np.zeros(3 * 640, np.int16), hiss]
    alone = [film_of(made, bundle, pcm, 0, 3) for pcm in sounds]
    host = RenderHost(weights=weights, memory_mb=20_000)
    shared: dict[int, np.ndarray] = {}

    def speak(number: int) -> None:
        own = make(config(), Runtime(host))
        shared[number] = film_of(own, bundle, sounds[number], 0, 1, 3)

    threads = [threading.Thread(target=speak, args=(number,)) for number in range(3)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(host.loaded) == 3
    finally:
        host.close()
    for number, expected in enumerate(alone):
        assert np.abs(shared[number] - expected).max() <= 2
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert np.abs(alone[one] - alone[other]).max() > 5


def test_each_picture_is_looked_at_once(weights: Path, bundle: bytes) -> None:
    host = Counting(weights)
    made = make(config(), Runtime(host))
    sitter = made.load(bundle)
    streams = [made.open_stream(sitter) for _ in range(2)]
    assert host.rows["musetalk.sketcher"] == []

    for stream in streams:
        drawn(made, stream, window(speech(20), 0, 1, live=True))
        drawn(made, stream, window(speech(20), 1, 3, live=True))

    assert host.rows["musetalk.sketcher"] == [1, COUNT - 1]
    assert host.rows["musetalk.painter"] == [1, 3, 1, 3]
    assert host.live == {True}


@pytest.mark.parametrize(("device", "rows"), [("cpu", 1), ("cuda:0", 3)])
def test_warming_runs_every_network(
    weights: Path, monkeypatch: pytest.MonkeyPatch, device: str, rows: int
) -> None:
    for module in (ears, generator):
        monkeypatch.setattr(module, "placed", lambda part, host: part)  # there need not be a GPU
    host = Counting(weights)
    host.device = device

    make(dataclasses.replace(config(), max_batch=3), Runtime(host)).warm()

    assert host.rows == {"musetalk.ears": [rows], "musetalk.sketcher": [rows], "musetalk.painter": [rows]}
    assert host.live == {False}


def test_a_session_fades_from_idle_and_back(made: MuseTalkRenderer, bundle: bytes) -> None:
    sitter = made.load(bundle)
    stream = made.open_stream(sitter)
    pcm = speech(5)

    plain = drawn(made, stream, window(pcm, 0, 5)).astype(int)
    faded = drawn(made, stream, window(pcm, 0, 5, first=True)).astype(int)

    idle = np.stack([sitter.plates.i420(sitter.plates.index(frame)) for frame in range(5)]).astype(int)
    kept = np.abs(faded - idle).sum(axis=(1, 2)) / np.abs(plain - idle).sum(axis=(1, 2))
    np.testing.assert_allclose(kept, [0.2, 0.4, 0.6, 0.8, 1], atol=0.05)
    assert shares(window(pcm, 0, 5, last=True)) == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])


def test_an_utterance_shorter_than_its_fades() -> None:
    heard = dataclasses.replace(window(speech(3), 0, 3), first=True, last=True)

    assert shares(heard) == pytest.approx([0.2, 0.4, 0.2])


def test_faces_are_parsed_where_the_weights_are_there(
    weights: Path, tmp_path: Path, bundle: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(weights, tmp_path, dirs_exist_ok=True)
    parser = tmp_path / "face-parse-bisent" / "79999_iter.pth"
    parser.parent.mkdir()
    torch.save(BiSeNet().state_dict(), parser)
    host = Counting(tmp_path)

    def parted(network: BiSeNet, pictures: torch.Tensor) -> torch.Tensor:
        """Skin on the left, hair on the right."""
        scores = torch.zeros(len(pictures), 19, 512, 512)
        scores[:, faces.SKIN, :, :256] = 1
        scores[:, 17, :, 256:] = 1
        return scores

    monkeypatch.setattr(BiSeNet, "forward", parted)
    made = make(config(), Runtime(host))
    sitter = made.load(bundle)

    frame = drawn(made, made.open_stream(sitter), window(speech(4), 0, 1))[0]

    assert host.rows["musetalk.parser"] == [1]
    change = np.abs(planes(frame)[0].astype(int) - planes(sitter.plates.i420(0))[0])
    points = sitter.plates.points(0)
    middle = int((points[:, 0].min() + points[:, 0].max()) / 2)
    assert change[:, : middle - 20].max() > 10
    assert change[:, middle + 25 :].max() == 0


def test_landmarks_are_enough_unless_parsing_is_asked_for(weights: Path) -> None:
    assert renderer(weights, masks="landmarks") is not None

    with pytest.raises(AdapterError, match="face-parse-bisent/79999_iter.pth") as refused:  # noqa: RUF043
        renderer(weights, masks="parsing")

    assert refused.value.code == "weights_missing"


def test_a_transparent_avatar_stands_before_its_background(
    made: MuseTalkRenderer, portrait: tuple[np.ndarray, np.ndarray]
) -> None:
    sitter = made.load(bundled(*portrait, alpha=True))
    wall = np.full((sitter.plates.height, sitter.plates.width, 3), (200, 40, 90), np.uint8)
    stream = made.open_stream(sitter, background=Background(wall))

    picture = to_bgr(drawn(made, stream, window(speech(4), 0, 1))[0])

    right = picture[:, sitter.plates.width * 3 // 4 :].reshape(-1, 3).astype(int)
    assert np.abs(right - [200, 40, 90]).max() <= 6


@pytest.mark.parametrize(
    ("there", "told", "found"),
    [
        (("v1", "v15"), "auto", "v15"),
        (("v1", "v15"), "v1", "v1"),
        (("v1",), "auto", "v1"),
    ],
)
def test_the_version_follows_the_files(tmp_path: Path, there: tuple[str, ...], told: str, found: str) -> None:
    for version in there:
        small.write(tmp_path, version=version)

    files = layout.found(config(), tmp_path, told)

    assert files.version == found
    assert files.unet == tmp_path / {"v1": "musetalk/pytorch_model.bin", "v15": "musetalkV15/unet.pth"}[found]
    assert files.vae.suffix == ".safetensors"


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ("musetalkV15/unet.pth", "musetalkV15/unet.pth"),
        ("musetalkV15/musetalk.json", "musetalkV15/musetalk.json"),
        ("sd-vae/diffusion_pytorch_model.safetensors", "sd-vae-ft-mse/diffusion_pytorch_model.bin"),
        ("whisper/model.safetensors", "whisper/tiny.pt"),
    ],
)
def test_what_is_missing_is_named(weights: Path, tmp_path: Path, gone: str, words: str) -> None:
    shutil.copytree(weights, tmp_path, dirs_exist_ok=True)
    (tmp_path / gone).unlink()

    with pytest.raises(AdapterError) as refused:
        renderer(tmp_path)

    assert words in str(refused.value)
    assert (refused.value.code, refused.value.retryable) == ("weights_missing", False)


def test_options_that_make_no_sense_are_refused(weights: Path) -> None:
    for options in ({"version": "v2"}, {"expand": "wide"}):
        with pytest.raises(AdapterError) as refused:
            renderer(weights, **options)
        assert refused.value.code == "model_rejected"


def test_a_folder_prepared_elsewhere_is_not_unpickled(made: MuseTalkRenderer, tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("coords.pkl", f"cos\nmkdir\n(V{tmp_path / 'run'}\ntR.".encode())
        archive.writestr("latents.pt", b"")

    with pytest.raises(AdapterError) as refused:
        made.load(out.getvalue())

    assert refused.value.code == "bundle_invalid"
    assert not (tmp_path / "run").exists()


def test_torch_is_not_loaded_before_a_network_is_run(weights: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.support import models; "
        f"models.renderer('musetalk', weights=Path({str(weights)!r})); "
        "print(sorted({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_streams_of_one_avatar_do_not_hear_each_other(made: MuseTalkRenderer, bundle: bytes) -> None:
    sitter = made.load(bundle)
    one, other = made.open_stream(sitter), made.open_stream(sitter)
    pcm = speech(4)

    drawn(made, other, window(speech(4, 9), 0, 4))

    first = drawn(made, one, window(pcm, 2, 2)).astype(int)
    assert np.abs(first - film_of(made, bundle, pcm, 0, 4)[2:]).max() <= 2
