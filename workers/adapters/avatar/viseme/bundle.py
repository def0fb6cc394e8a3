"""What preparation hands to rendering: one compressed archive of plain arrays, no pickles.

Pictures are stored as the planes they are drawn in. Mouth shapes are stored as the difference
(modulo 256) to the next more closed one of the same width, which halves the archive.
"""

import io
import json
import zipfile
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import I420, Picture
from workers.adapters.avatar.pictures import planes, to_i420
from workers.adapters.avatar.viseme.geometry import Mouth
from workers.adapters.avatar.viseme.shapes import Rect
from workers.adapters.errors import AdapterError

VERSION = 1
OPAQUE = 250
Bytes = NDArray[np.uint8]


@dataclass(slots=True)
class Patches:
    """Pictures of one rectangle, as planes; the leading axes count them. `a` where not all is opaque."""

    rect: Rect
    y: Bytes
    u: Bytes
    v: Bytes
    a: Bytes | None = None

    @classmethod
    def of(cls, rect: Rect, pictures: list[Picture], *, alpha: bool) -> "Patches":
        split = [planes(to_i420(np.ascontiguousarray(picture[..., :3]))) for picture in pictures]
        y, u, v = (np.stack([part[plane] for part in split]) for plane in range(3))
        a = np.stack([part[..., 3] for part in pictures]) if alpha else None
        return cls(rect, y, u, v, None if a is None or int(a.min()) >= OPAQUE else a)

    def shaped(self, *counts: int) -> "Patches":
        """The same with its pictures numbered by several axes."""
        parts = [part.reshape(*counts, *part.shape[1:]) for part in (self.y, self.u, self.v)]
        alpha = None if self.a is None else self.a.reshape(*counts, *self.a.shape[1:])
        return Patches(self.rect, parts[0], parts[1], parts[2], alpha)


@dataclass(slots=True)
class Bundle:
    """A prepared portrait. `mouths` has axes (opening, width, rows, columns)."""

    portrait: I420
    alpha: Bytes | None
    mouth: Mouth
    openings: list[float]
    widths: list[float]
    mouths: Patches
    eyes: list[Patches]


def pack(bundle: Bundle) -> bytes:
    arrays: dict[str, Any] = {"portrait": bundle.portrait}
    if bundle.alpha is not None:
        arrays["alpha"] = bundle.alpha
    _put(arrays, "mouths", bundle.mouths)
    for number, eye in enumerate(bundle.eyes):
        _put(arrays, f"eye{number}", eye)
    for name in [name for name in arrays if name.startswith("mouths")]:
        arrays[name] = np.diff(arrays[name], axis=0, prepend=np.zeros_like(arrays[name][:1]))
    facts = {
        "version": VERSION,
        "openings": bundle.openings,
        "widths": bundle.widths,
        "rects": [asdict(part.rect) for part in (bundle.mouths, *bundle.eyes)],
        "mouth": {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in asdict(bundle.mouth).items()
        },
    }
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def unpack(data: bytes) -> Bundle:
    """Read what `pack` wrote. Raises `AdapterError` (`bundle_invalid`)."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return _read({name: archive[name] for name in archive.files})
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise AdapterError(
            "The avatar's prepared data cannot be read: prepare it again.",
            provider="viseme",
            retryable=False,
            code="bundle_invalid",
        ) from error


def _read(arrays: dict[str, Bytes]) -> Bundle:
    facts = json.loads(arrays["facts"].tobytes())
    if facts["version"] != VERSION:
        raise ValueError(f"version {facts['version']}, not {VERSION}")
    for name in [name for name in arrays if name.startswith("mouths")]:
        arrays[name] = np.cumsum(arrays[name], axis=0, dtype=np.uint8)
    rects = [Rect(**rect) for rect in facts["rects"]]
    curves: dict[str, Any] = {
        name: np.array(value) if isinstance(value, list) else value for name, value in facts["mouth"].items()
    }
    return Bundle(
        portrait=arrays["portrait"],
        alpha=arrays.get("alpha"),
        mouth=Mouth(**curves),
        openings=facts["openings"],
        widths=facts["widths"],
        mouths=_get(arrays, "mouths", rects[0]),
        eyes=[_get(arrays, f"eye{number}", rect) for number, rect in enumerate(rects[1:])],
    )


def _put(arrays: dict[str, Any], name: str, patches: Patches) -> None:
    arrays |= {f"{name}.y": patches.y, f"{name}.u": patches.u, f"{name}.v": patches.v}
    if patches.a is not None:
        arrays[f"{name}.a"] = patches.a


def _get(arrays: dict[str, Bytes], name: str, rect: Rect) -> Patches:
    y, u, v = (arrays[f"{name}.{plane}"] for plane in "yuv")
    return Patches(rect, y, u, v, arrays.get(f"{name}.a"))
