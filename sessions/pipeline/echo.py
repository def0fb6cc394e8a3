"""Whether a voice in the microphone is the avatar's own, from the customer's loudspeaker."""

from sessions.pipeline.vad import Samples


class EchoGuard:
    def said(self, pcm: bytes, at_ms: int, *, rate: int) -> None: ...
    def cut(self, at_ms: int) -> None: ...
    def sounding(self, now_ms: int) -> bool:
        return False

    def explains(self, recent: list[bytes], now_ms: int) -> bool:
        return False
