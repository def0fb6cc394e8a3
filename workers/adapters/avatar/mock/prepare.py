"""`mock` takes any picture, and keeps nothing of it but the size."""

import json
from collections.abc import Callable, Iterator

import numpy as np

from workers.adapters.avatar.base import I420, IDLE_FRAMES, Box, Footage, PreparedAvatar, Preparer, Source
from workers.adapters.avatar.mock import card
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.avatar.pictures import normalised, to_bgr
from workers.adapters.avatar.runtime import Runtime
from workers.adapters.errors import PreparationError

SMALLEST_CARD = 160


class MockPreparer(Preparer):
    def prepare(
        self,
        source: Source,
        *,
        mouth_box: Box | None = None,
        progress: Callable[[int], None] = lambda percent: None,
    ) -> PreparedAvatar:
        height, width = normalised(_picture(source)).shape[:2]
        width, height = max(width, SMALLEST_CARD), max(height, SMALLEST_CARD)
        preview = card.blank(width, height)
        card.draw(preview, 0, 0.0)
        progress(100)
        return PreparedAvatar(
            bundle=json.dumps({"width": width, "height": height}).encode(),
            width=width,
            height=height,
            mouth_box=mouth_box or Box(*card.MOUTH),
            landmarks=[],
            preview=to_bgr(preview),
            idle=_idle(width, height),
            idle_frames=IDLE_FRAMES,
            has_alpha=False,
        )


def _picture(source: Source) -> np.ndarray:
    if not isinstance(source, Footage):
        return source.image
    if not len(source.frames):
        raise PreparationError("no_frames", "The video has no pictures.")
    return source.frames[0]


def _idle(width: int, height: int) -> Iterator[I420]:
    for number in range(IDLE_FRAMES):
        frame = card.blank(width, height)
        card.draw(frame, number, 0.0)
        yield frame


def make(config: ModelConfig, runtime: Runtime) -> MockPreparer:
    """It needs neither options nor what the process offers."""
    return MockPreparer()
