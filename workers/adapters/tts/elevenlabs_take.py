"""Sound and times of characters, as ElevenLabs sends them together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from workers.adapters.answers import silent, truncated
from workers.adapters.errors import AdapterError
from workers.adapters.text import clean
from workers.adapters.tts.base import Alignment, EvenPcm, PcmChunk, SpeechEvent, Timings
from workers.adapters.tts.compressed import CompressedDecoder


class Sound(Protocol):
    """Bytes of the wire as samples; `finish` raises where the end is missing."""

    sample_rate: int

    def feed(self, data: bytes) -> list[PcmChunk]: ...

    def finish(self) -> list[PcmChunk]: ...


@dataclass(frozen=True, slots=True)
class Times:
    """Times of characters in ms; `own` says that they count from the sound they came with."""

    characters: list[str]
    starts: list[int]
    ends: list[int]
    own: bool


Message = tuple[bytes, Times | None]


class Take:
    """The sound so far, and the words in it."""

    def __init__(self, output_format: str, provider: str) -> None:
        self._provider = provider
        self._sound = sound_of(output_format, provider)
        self._alignment = Alignment()
        self._samples = 0
        self._before = 0
        self._told_ms = 0

    def feed(self, data: bytes) -> list[PcmChunk]:
        return self._counted(self._sound.feed(data))

    def times(self, times: Times | None) -> Timings | None:
        """The words that are complete, after the sound that came with them."""
        begun_ms, self._before = self._ms(self._before), self._samples
        if times is None:
            return None
        # Whoever begins before what was told already counts from the beginning of its own sound.
        own = times.own or (bool(times.starts) and times.starts[0] < self._told_ms - 1)
        by = begun_ms if own else 0
        starts, ends = [start + by for start in times.starts], [end + by for end in times.ends]
        self._told_ms = max([self._told_ms, *ends])
        try:
            words = self._alignment.feed([clean(one) for one in times.characters], starts, ends)
        except ValueError as exc:  # lists of different lengths
            message = "The speech provider's times cannot be read."
            raise AdapterError(message, provider=self._provider, retryable=False) from exc
        return Timings((), words) if words else None

    def finish(self) -> list[SpeechEvent]:
        if not self._samples:
            raise silent(self._provider)
        events: list[SpeechEvent] = list(self._counted(self._sound.finish()))
        if words := self._alignment.finish():
            events.append(Timings((), words))
        return events

    def _counted(self, chunks: list[PcmChunk]) -> list[PcmChunk]:
        self._samples += sum(len(chunk.pcm) // 2 for chunk in chunks)
        return chunks

    def _ms(self, samples: int) -> int:
        return round(samples * 1000 / self._sound.sample_rate) if samples else 0


class _Pcm(EvenPcm):
    """Raw samples; half a one at the end says that more were to come."""

    def __init__(self, sample_rate: int, provider: str) -> None:
        super().__init__(sample_rate)
        self._provider = provider

    def finish(self) -> list[PcmChunk]:
        if self.odd:
            raise truncated(self._provider)
        return []


def sound_of(output_format: str, provider: str) -> Sound:
    """The decoder of `pcm_24000`, `mp3_44100_128` or `opus_48000_64`; `TypeError` for another."""
    kind, _, rest = output_format.partition("_")
    rate = rest.partition("_")[0]
    if kind == "pcm" and rate.isdecimal() and 8000 <= int(rate) <= 48_000:
        return _Pcm(int(rate), provider)
    if kind in ("mp3", "opus"):
        return CompressedDecoder("mp3" if kind == "mp3" else "opus", provider)
    raise TypeError(f"no decoder for {output_format}")


def seconds(alignment: Mapping[str, Any]) -> Times:
    """Of an answer over HTTP."""
    starts = [round(1000 * at) for at in alignment["character_start_times_seconds"]]
    ends = [round(1000 * at) for at in alignment["character_end_times_seconds"]]
    return Times([str(one) for one in alignment["characters"]], starts, ends, own=False)


def milliseconds(alignment: Mapping[str, Any]) -> Times:
    """Of the socket; its alignments count from the sound that came with them."""
    starts = [int(at) for at in alignment["charStartTimesMs"]]
    lengths = (
        alignment["charDurationsMs"] if "charDurationsMs" in alignment else alignment["charsDurationsMs"]
    )
    ends = [start + int(length) for start, length in zip(starts, lengths, strict=True)]
    return Times([str(one) for one in alignment["chars"]], starts, ends, own=True)
