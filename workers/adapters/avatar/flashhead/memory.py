"""What FlashHead keeps of each session between its slices; knows no network."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from workers.adapters.avatar.base import SAMPLE_RATE, Picture

REMEMBERED: Final = (
    "latent_motion_frames",
    "generator",
    "ref_img_latent",
    "original_color_reference",
    "person_name",
)
"""What the pipeline remembers of the person that it draws."""
CONTEXT_SECONDS = 8
CONTEXT_SAMPLES = CONTEXT_SECONDS * SAMPLE_RATE
Sound = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a pipeline is made of; folders as the package wants them."""

    model_type: str
    repository: str
    checkpoints: str
    wav2vec: str
    slice_frames: int
    face_crop: bool = False
    seed: int = 9999


@dataclass(eq=False)
class Memory:
    """One session's own: its picture (BGR), and what the model remembers of it."""

    picture: Picture
    state: dict[str, Any] = field(default_factory=dict)
    token: int = 0

    def forget(self) -> None:
        """Begin at the picture again; the session keeps its random numbers."""
        self.state.pop("latent_motion_frames", None)


_numbers = count(1)
_memories: weakref.WeakValueDictionary[int, Memory] = weakref.WeakValueDictionary()


def remember(picture: Picture) -> Memory:
    """A new session. The network finds it by its token, for as long as somebody holds it."""
    memory = Memory(picture, token=next(_numbers))
    _memories[memory.token] = memory
    return memory


def remembered(token: int) -> Memory | None:
    """The session of a token; None once nobody holds it."""
    return _memories.get(token)
