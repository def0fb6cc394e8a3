"""Where the customer's sound belongs on the session's timeline."""

RATE = 16_000
SAMPLES_PER_MS = RATE // 1000
# Chunks arrive unevenly; a pause is one that is longer than this.
SLACK_SAMPLES = 200 * SAMPLES_PER_MS


class Strips:
    """Lays chunks of 16 kHz mono s16le one after the other, and starts anew after a pause.

    A chunk ends when it arrives, or has ended before: after a delay, chunks come in a burst, and
    then the strip they make is moved back to where it must have begun.
    """

    def __init__(self) -> None:
        self._done: list[tuple[int, bytes]] = []
        self._floor = 0  # what lies before is taken
        self._start = 0
        self._strip = bytearray()
        self._paused = True

    @property
    def _end(self) -> int:
        return self._start + len(self._strip) // 2

    def feed(self, pcm16k: bytes, at_ms: int) -> None:
        """Take a chunk that arrived at `at_ms` of the timeline."""
        samples, arrived = len(pcm16k) // 2, at_ms * SAMPLES_PER_MS
        if not samples or arrived < samples:
            return
        if pcm16k.count(0) == len(pcm16k):  # a muted microphone
            self._paused = True
            return
        if self._paused or arrived - samples - self._end > SLACK_SAMPLES:
            self._cut()
            self._start = max(self._floor, arrived - samples)
            self._paused = False
        self._strip += pcm16k[: 2 * samples]
        ahead = self._end - arrived
        if ahead > SLACK_SAMPLES:
            self._start -= min(ahead, self._start - self._floor)

    def take(self) -> list[tuple[int, bytes]]:
        """Hand over what is there: (first sample, sound), in order and without overlap."""
        self._cut()
        done, self._done = self._done, []
        return done

    def _cut(self) -> None:
        if self._strip:
            self._done.append((self._start, bytes(self._strip)))
        self._floor = self._start = max(self._floor, self._end)
        self._strip = bytearray()
