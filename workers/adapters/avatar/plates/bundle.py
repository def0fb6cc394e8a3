"""What the preparation of plates hands to rendering: a ZIP of JSON, one array and compressed films."""

import io
import json
import zipfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.plates.film import SEGMENT, damaged

VERSION = 1
POINTS = 468
MOST_PLATES = 250
MOST_BYTES = 512_000_000
Points = NDArray[np.float32]
Boxes = NDArray[np.int32]


@dataclass(slots=True)
class PlateBundle:
    """The pictures that a model draws a mouth on.

    `points` has shape (count, 468, 2), in pixels; `boxes` (count, 4): left, top, right, bottom of
    the face in pixels, right and bottom excluded. `pingpong` plays them forwards and backwards.
    `crop` says that the boxes are already what a model is to look at: nothing is added to them.
    """

    width: int
    height: int
    points: Points
    boxes: Boxes
    film: list[bytes]
    alpha: list[bytes] = field(default_factory=list)
    pingpong: bool = False
    crop: bool = False

    @property
    def count(self) -> int:
        return len(self.boxes)


def pack(bundle: PlateBundle) -> bytes:
    out = io.BytesIO()
    facts = {
        "kind": "plates",
        "version": VERSION,
        "width": bundle.width,
        "height": bundle.height,
        "pingpong": bundle.pingpong,
        "crop": bundle.crop,
        "boxes": bundle.boxes.tolist(),
    }
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        _put(archive, "facts.json", json.dumps(facts).encode())
        _put(archive, "points.f32", bundle.points.astype("<f4").tobytes())
        for name in ("film", "alpha"):
            for number, segment in enumerate(getattr(bundle, name)):
                _put(archive, f"{name}/{number:03d}.h264", segment)
    return out.getvalue()


def unpack(data: bytes) -> PlateBundle:
    """Read what `pack` wrote. Raises `AdapterError` (`bundle_invalid`)."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(item.file_size for item in archive.infolist()) > MOST_BYTES:
                raise damaged()
            return _read(archive)
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise damaged() from error


def _read(archive: zipfile.ZipFile) -> PlateBundle:
    facts: dict[str, Any] = json.loads(archive.read("facts.json"))
    if facts["kind"] != "plates" or facts["version"] != VERSION:
        raise ValueError(f"{facts['kind']} {facts['version']}, not plates {VERSION}")
    boxes = np.array(facts["boxes"], np.int32).reshape(-1, 4)
    count, width, height = len(boxes), int(facts["width"]), int(facts["height"])
    points = np.frombuffer(archive.read("points.f32"), "<f4").reshape(count, POINTS, 2)
    names = archive.namelist()
    films = {
        name: [archive.read(entry) for entry in sorted(names) if entry.startswith(f"{name}/")]
        for name in ("film", "alpha")
    }
    bundle = PlateBundle(
        width=width,
        height=height,
        points=points.astype(np.float32),
        boxes=boxes,
        film=films["film"],
        alpha=films["alpha"],
        pingpong=bool(facts["pingpong"]),
        crop=bool(facts["crop"]),
    )
    _check(bundle)
    return bundle


def _check(bundle: PlateBundle) -> None:
    segments = -(-bundle.count // SEGMENT)
    left, top, right, bottom = bundle.boxes.T
    inside = (left >= 0) & (top >= 0) & (right <= bundle.width) & (bottom <= bundle.height)
    if not 0 < bundle.count <= MOST_PLATES or not (inside & (right > left) & (bottom > top)).all():
        raise ValueError("a box outside of its picture")
    if len(bundle.film) != segments or len(bundle.alpha) not in {0, segments}:
        raise ValueError("pictures are missing")
    if bundle.width % 2 or bundle.height % 2 or not np.isfinite(bundle.points).all():
        raise ValueError("an odd size, or a point nowhere")


def _put(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Store with a fixed time, so that the same avatar makes the same bytes."""
    archive.writestr(zipfile.ZipInfo(name), data)
