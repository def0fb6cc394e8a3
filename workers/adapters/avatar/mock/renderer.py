"""`mock`: draws a test card instead of a person. The oracle of the tests."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from workers.adapters.avatar.base import (
    I420,
    SAMPLES_PER_FRAME,
    AudioWindow,
    Background,
    Pcm,
    Profile,
    Renderer,
)
from workers.adapters.avatar.mock import card
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.avatar.runtime import Runtime
from workers.adapters.errors import AdapterError

QUIETEST_DB, LOUDEST_DB = -50.0, -10.0


@dataclass(frozen=True, slots=True)
class MockAvatar:
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class MockPose:
    number: int
    level: float


@dataclass(slots=True)
class MockStream:
    card: I420


def mouth_levels(pcm: Pcm) -> list[float]:
    """Loudness of each 40 ms, 0 at -50 dBFS (RMS) and below, 1 at -10 dBFS and above."""
    frames = pcm.astype(np.float64).reshape(-1, SAMPLES_PER_FRAME) / 32768
    decibels = 10 * np.log10(np.maximum((frames**2).mean(axis=1), 1e-12))
    levels = np.clip((decibels - QUIETEST_DB) / (LOUDEST_DB - QUIETEST_DB), 0, 1)
    return cast("list[float]", levels.tolist())


class MockRenderer(Renderer):
    def __init__(self, profile: Profile) -> None:
        self.profile = profile

    def load(self, bundle: bytes) -> MockAvatar:
        try:
            facts = json.loads(bundle)
            return MockAvatar(int(facts["width"]), int(facts["height"]))
        except (ValueError, KeyError, TypeError) as error:
            raise AdapterError(
                "This is no bundle of the test card.", provider="mock", retryable=False, code="bundle_invalid"
            ) from error

    def open_stream(
        self, avatar: MockAvatar, *, start_frame: int = 0, background: Background | None = None
    ) -> MockStream:
        return MockStream(card.blank(avatar.width, avatar.height))

    def extract_features(self, stream: MockStream, window: AudioWindow) -> Sequence[MockPose]:
        end = window.lookback + window.frames * SAMPLES_PER_FRAME
        levels = mouth_levels(window.pcm[window.lookback : end])
        return [MockPose(window.start_frame + place, level) for place, level in enumerate(levels)]

    def infer(self, stream: MockStream, features: Sequence[MockPose]) -> Sequence[MockPose]:
        return features

    def compose_frame(self, stream: MockStream, pose: MockPose) -> I420:
        card.draw(stream.card, pose.number, pose.level)
        return stream.card


def make(config: ModelConfig, runtime: Runtime) -> MockRenderer:
    """It draws on a CPU of its own, so what the process offers is not needed."""
    return MockRenderer(config.profile)
