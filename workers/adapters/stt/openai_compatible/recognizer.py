"""The client: one upload, its deadlines, and how its answer is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workers.adapters.answers import answered, media_type
from workers.adapters.endpoint import Deadlines, Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.options import made
from workers.adapters.stt.answer import transcript
from workers.adapters.stt.base import Transcript
from workers.adapters.stt.whole import Whole

FORMATS = ("json", "verbose_json", "text", "srt", "vtt")


@dataclass(frozen=True, slots=True)
class HearingDialect:
    """How one provider differs from the next; `response_format` that gives segments, where it can.

    `words` asks for the times of words, which only OpenAI itself and our like understand. `prompt`
    holds names and words that are likely to be said. Larger files than `most_bytes` are cut.
    """

    provider: str = "openai_compatible"
    model: str = "whisper-1"
    response_format: str = "verbose_json"
    words: bool = False
    prompt: str = ""
    most_bytes: int = 25 * 1024 * 1024
    deadlines: Deadlines = field(default_factory=lambda: Deadlines(read=180.0))

    def __post_init__(self) -> None:
        if self.response_format not in FORMATS:
            raise ValueError(f"response_format is one of {', '.join(FORMATS)}")


class OpenAICompatible(Whole):
    """A recognizer over HTTP; holds no state, so threads may share it."""

    def __init__(self, endpoint: Endpoint, dialect: HearingDialect) -> None:
        self.provider = dialect.provider
        self.most_bytes = dialect.most_bytes
        self._endpoint = endpoint
        self._dialect = dialect

    async def once(self, audio: bytes, language: str) -> Transcript:
        """See `Whole`."""
        async with answered(
            self._endpoint,
            "audio/transcriptions",
            provider=self.provider,
            deadlines=self._dialect.deadlines,
            data=self._fields(language),
            files={"file": ("speech.wav", audio, "audio/wav")},
        ) as response:
            body = await response.aread()
            try:
                return transcript(body, media_type(response), self._dialect.response_format)
            except (ValueError, TypeError, KeyError, AttributeError, IndexError) as exc:
                raise AdapterError(
                    "The transcript cannot be read.", provider=self.provider, retryable=False
                ) from exc

    def _fields(self, language: str) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "model": self._dialect.model,
            "response_format": self._dialect.response_format,
        }
        if language:
            fields["language"] = language.partition("-")[0].lower()
        if self._dialect.prompt:
            fields["prompt"] = self._dialect.prompt
        if self._dialect.words:
            fields["timestamp_granularities[]"] = ["segment", "word"]
        return fields


def make(endpoint: Endpoint, options: Mapping[str, Any]) -> OpenAICompatible:
    """From a provider's file; unknown options are a mistake in it and raise `TypeError`."""
    return OpenAICompatible(endpoint, made(HearingDialect, options))
