"""Makes an avatar ready for a model that draws a mouth into moving pictures of it.

A portrait gets the idle motion of `viseme`: head, breath and blinks go on while it speaks. A short
video moves by itself; it is played forwards and backwards, so that it never jumps.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import (
    FPS,
    I420,
    IDLE_FRAMES,
    Box,
    Footage,
    Picture,
    PreparedAvatar,
    Preparer,
    Source,
)
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.avatar.pictures import normalised, opaque, to_i420
from workers.adapters.avatar.plates import faces, film
from workers.adapters.avatar.plates.bundle import PlateBundle, pack
from workers.adapters.avatar.plates.detectors import Detect, detector
from workers.adapters.avatar.plates.plates import Plates
from workers.adapters.avatar.runtime import Runtime
from workers.adapters.avatar.viseme import motion
from workers.adapters.avatar.viseme.bundle import Bundle
from workers.adapters.avatar.viseme.drawing import Portrait
from workers.adapters.avatar.viseme.geometry import box_of
from workers.adapters.avatar.viseme.landmarks import Floats
from workers.adapters.avatar.viseme.prepare import Found, at_rest, bled, find, shown
from workers.adapters.errors import PreparationError

SHORT = 2 * FPS
SMALLEST_CROP = 16  # pixels
MOST_PICTURES = IDLE_FRAMES // 2 + 1  # of a video: forwards and backwards they make ten seconds


class PlatesPreparer(Preparer):
    """`detect` finds the boxes of faces instead of the landmarks' own bounds; those stay as they are."""

    def __init__(self, detect: Detect | None = None) -> None:
        self.detect = detect

    def prepare(
        self,
        source: Source,
        *,
        mouth_box: Box | None = None,
        model_crop: Box | None = None,
        progress: Callable[[int], None] = lambda percent: None,
    ) -> PreparedAvatar:
        """`model_crop` is what the model is to look at, where somebody knows better than a detector."""
        if isinstance(source, Footage) and not len(source.frames):
            raise PreparationError("no_frames", "The video has no pictures.")
        if isinstance(source, Footage) and len(source.frames) > 1:
            bundle, warnings = self._moving(source, mouth_box, progress)
        else:
            image = source.frames[0] if isinstance(source, Footage) else source.image
            bundle, warnings = self._still(image, mouth_box, progress)
        if model_crop is not None:
            bundle = _cropped(bundle, model_crop)
        prepared = _prepared(bundle, warnings)
        progress(100)
        return prepared

    def _still(
        self, image: Picture, mouth_box: Box | None, progress: Callable[[int], None]
    ) -> tuple[PlateBundle, list[str]]:
        warnings: list[str] = []
        picture = normalised(image)
        picture = np.ascontiguousarray(picture[:, :, :3]) if opaque(picture) else bled(picture)
        progress(5)
        found = find(shown(picture), mouth_box, warnings)
        if found.points is None:
            raise PreparationError(
                "no_face",
                "No face was found in the picture. Only the viseme model moves the mouths of drawn faces.",
            )
        rest = at_rest(picture, found)
        progress(15)
        height, width = picture.shape[:2]
        track = _moved(found.points, found)
        pictures = _counted(
            _idle(replace(rest, alpha=None)), IDLE_FRAMES, lambda part: progress(15 + part * 3 // 5)
        )
        bundle = PlateBundle(
            width=width,
            height=height,
            points=track.astype(np.float32),
            boxes=self._boxes(track, [shown(picture)], width, height),
            film=film.encode(pictures, width, height),
            alpha=[] if rest.alpha is None else film.encode(_idle(_silhouette(rest)), width, height),
        )
        progress(80)
        return bundle, warnings

    def _moving(
        self, footage: Footage, mouth_box: Box | None, progress: Callable[[int], None]
    ) -> tuple[PlateBundle, list[str]]:
        pictures = [normalised(picture[:, :, :3]) for picture in resampled(footage)]
        height, width = pictures[0].shape[:2]
        track, warnings = faces.follow(pictures, mouth_box, lambda part: progress(5 + part // 2))
        track = faces.calm(track)
        if len(pictures) < SHORT:
            warnings.append("The video is short: its movement repeats often. Four to five seconds are best.")
        bundle = PlateBundle(
            width=width,
            height=height,
            points=track.astype(np.float32),
            boxes=self._boxes(track, pictures, width, height),
            film=film.encode((to_i420(picture) for picture in pictures), width, height),
            pingpong=True,
        )
        progress(80)
        return bundle, warnings

    def _boxes(
        self, track: faces.Track, pictures: Sequence[Picture], width: int, height: int
    ) -> NDArray[np.int32]:
        """Boxes of the detector keep their place on the face as the landmarks move."""
        if self.detect is None:
            return faces.boxes(track, width, height)
        return faces.detected_boxes(track, pictures, self.detect, width, height)


def make(config: ModelConfig, runtime: Runtime) -> PlatesPreparer:
    """The preparer of a configured model; its option `detector` says what finds faces."""
    return PlatesPreparer(detector(config, runtime))


def resampled(footage: Footage) -> list[Picture]:
    """What a video shows every 40 ms, whatever its own rate; at most `MOST_PICTURES`."""
    if not np.isfinite(footage.fps) or footage.fps <= 0:
        raise PreparationError("no_frames", "The video does not say how fast it plays.")
    count = min(MOST_PICTURES, max(2, int(len(footage.frames) * FPS / footage.fps + 1e-6)))
    places = (np.arange(count) * footage.fps / FPS + 1e-6).astype(int)
    return [footage.frames[min(place, len(footage.frames) - 1)] for place in places]


def _prepared(bundle: PlateBundle, warnings: list[str]) -> PreparedAvatar:
    plates = Plates(bundle)
    points = bundle.points[0].astype(np.float64)
    return PreparedAvatar(
        bundle=pack(bundle),
        width=bundle.width,
        height=bundle.height,
        mouth_box=box_of(points, bundle.width, bundle.height),
        landmarks=[(float(x / bundle.width), float(y / bundle.height)) for x, y in points],
        preview=plates.picture(0),
        idle=(plates.i420(plates.index(frame)) for frame in range(plates.period)),
        idle_frames=plates.period,
        has_alpha=bool(bundle.alpha),
        warnings=warnings,
    )


def _cropped(bundle: PlateBundle, crop: Box) -> PlateBundle:
    size = np.array([bundle.width, bundle.height, bundle.width, bundle.height])
    sides = np.rint(np.array([crop.left, crop.top, crop.right, crop.bottom]) * size).astype(np.int32)
    sides = np.clip(sides, 0, size)
    if min(sides[2] - sides[0], sides[3] - sides[1]) < SMALLEST_CROP:
        raise PreparationError("crop_too_small", "The box that the model is to look at is too small.")
    # The box was drawn on the first picture, and goes with the face.
    moved = np.rint(bundle.points.mean(axis=1) - bundle.points[0].mean(axis=0)).astype(np.int32)
    boxes = sides + np.concatenate([moved, moved], axis=1)
    inside = np.clip(boxes, 0, size).astype(np.int32)
    return replace(bundle, boxes=inside, crop=True)


def _idle(bundle: Bundle) -> Iterator[I420]:
    artist = Portrait(bundle).artist(None)
    for frame in range(IDLE_FRAMES):
        yield artist.draw(frame, 0.0, 0.0)


def _silhouette(bundle: Bundle) -> Bundle:
    """The portrait's transparency as a picture that moves like the portrait."""
    if bundle.alpha is None:
        raise ValueError("an opaque portrait has no silhouette")
    grey = np.full((bundle.alpha.shape[0] * 3 // 2, bundle.alpha.shape[1]), 128, np.uint8)
    grey[: bundle.alpha.shape[0]] = bundle.alpha
    return replace(bundle, portrait=grey, alpha=None, eyes=[], mouth=replace(bundle.mouth, toothy=False))


def _moved(points: Floats, found: Found) -> faces.Track:
    """Where the head's motion carries the landmarks, frame by frame."""
    pivot, track = motion.pivot_of(found.mouth), []
    for frame in range(IDLE_FRAMES):
        pose = motion.head_pose(motion.head_index(frame), found.mouth.face)
        there = cv2.invertAffineTransform(pose.inverse_about(pivot))
        track.append(points @ there[:, :2].T + there[:, 2])
    return np.stack(track)


def _counted(pictures: Iterator[I420], count: int, progress: Callable[[int], None]) -> Iterator[I420]:
    for number, picture in enumerate(pictures):
        if number % 25 == 0:
            progress(100 * number // count)
        yield picture
