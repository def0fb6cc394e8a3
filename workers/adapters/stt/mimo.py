"""Models that hear within a chat: Xiaomi's MiMo, and others that take `input_audio`."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workers.adapters.answers import answered
from workers.adapters.endpoint import Deadlines, Endpoint
from workers.adapters.errors import AdapterError
from workers.adapters.options import made
from workers.adapters.stt.answer import chat_text
from workers.adapters.stt.base import Transcript
from workers.adapters.stt.whole import Whole
from workers.adapters.text import clean, parsed


@dataclass(frozen=True, slots=True)
class ChatHearing:
    """How one provider differs from the next.

    `data_uri` sends the sound as `data:audio/wav;base64,...`, as MiMo wants it; OpenAI's own
    `input_audio` takes bare base64. `language_options` sends the language along as MiMo's
    `asr_options`. `instruction` is put before the sound for models that answer rather than transcribe.
    """

    provider: str = "mimo"
    model: str = "mimo-v2.5-asr"
    data_uri: bool = True
    language_options: bool = True
    instruction: str = ""
    most_bytes: int = 7 * 1024 * 1024
    deadlines: Deadlines = field(default_factory=lambda: Deadlines(read=180.0))


class ChatRecognizer(Whole):
    """A recognizer over chat completions; holds no state, so threads may share it. It tells no times."""

    def __init__(self, endpoint: Endpoint, dialect: ChatHearing) -> None:
        self.provider = dialect.provider
        self.most_bytes = dialect.most_bytes
        self._endpoint = endpoint
        self._dialect = dialect

    async def once(self, audio: bytes, language: str) -> Transcript:
        """See `Whole`."""
        async with answered(
            self._endpoint,
            "chat/completions",
            provider=self.provider,
            deadlines=self._dialect.deadlines,
            json=self._body(audio, language),
        ) as response:
            answer = await response.aread()
            try:
                text = chat_text(parsed(answer))
            except (ValueError, TypeError, KeyError, AttributeError, IndexError) as exc:
                raise AdapterError(
                    "The transcript cannot be read.", provider=self.provider, retryable=False
                ) from exc
        return Transcript(clean(text).strip())

    def _body(self, audio: bytes, language: str) -> dict[str, Any]:
        encoded = base64.b64encode(audio).decode("ascii")
        data = f"data:audio/wav;base64,{encoded}" if self._dialect.data_uri else encoded
        parts: list[dict[str, Any]] = [
            {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
        ]
        if self._dialect.instruction:
            parts.insert(0, {"type": "text", "text": self._dialect.instruction})
        body: dict[str, Any] = {
            "model": self._dialect.model,
            "messages": [{"role": "user", "content": parts}],
        }
        if language and self._dialect.language_options:
            body["asr_options"] = {"language": language.partition("-")[0].lower()}
        return body


def make(endpoint: Endpoint, options: Mapping[str, Any]) -> ChatRecognizer:
    """From a provider's file; unknown options are a mistake in it and raise `TypeError`."""
    return ChatRecognizer(endpoint, made(ChatHearing, options))
