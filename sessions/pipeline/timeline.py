"""When the sound of a microphone was heard, whatever way it arrives."""

RATE = 16_000
WINDOW_MS = 3_000
TOO_FAST = 1.4
WINDOWS = 2
MISSING_MS = 120  # networks delay and bunch sound by less than this


class MicrophoneTime:
    """Counts samples against the moments of their arrival, in ms of the session's timeline.

    `heard_ms` is where the listener is. Sound that stops for a while leaves a gap; sound that keeps
    coming faster than time passes is not what it claims to be. A recording handed over in one go is
    neither.
    """

    def __init__(self) -> None:
        self.heard_ms = 0
        self.too_fast = False
        self._due_ms: int | None = None
        self._window: tuple[int, int] | None = None  # its first moment, and the samples since
        self._fast_windows = 0
        self._told = False

    def arrived(self, samples: int, at_ms: int) -> int:
        """Note samples whose last one arrived now; returns the ms that are missing before them."""
        self._watch_rate(samples, at_ms)
        length_ms = samples * 1000 // RATE
        if self._due_ms is None:
            self._due_ms = at_ms
            return max(0, at_ms - length_ms)
        self._due_ms += length_ms
        missing = at_ms - self._due_ms
        if missing > MISSING_MS:
            self._due_ms = at_ms
            return missing
        return 0

    def waited(self, ms: int) -> None:
        """Note time in which no sound came and that was taken for silence."""
        if self._due_ms is not None:
            self._due_ms += ms

    def problem(self) -> tuple[str, str] | None:
        """Code and detail, told once each time sound begins to come too fast."""
        if not self.too_fast or self._told:
            self._told = self._told and self.too_fast
            return None
        self._told = True
        return (
            "microphone_rate",
            "The sound arrives faster than it was spoken: send 16 kHz mono s16le, as fast as it is recorded.",
        )

    def _watch_rate(self, samples: int, at_ms: int) -> None:
        if self._window is None:
            self._window = (at_ms, 0)
            return
        begun, count = self._window
        count += samples
        self._window = (begun, count)
        passed = at_ms - begun
        if passed >= WINDOW_MS:
            fast = count * 1000 / RATE > TOO_FAST * passed
            self._fast_windows = self._fast_windows + 1 if fast else 0
            self.too_fast = self._fast_windows >= WINDOWS
            self._window = (at_ms, 0)
