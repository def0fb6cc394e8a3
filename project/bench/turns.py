"""One turn of a conversation, timed where it arrives: by the words, the sound and the pictures of a client.

Every figure is in milliseconds from one moment, the beginning of the turn: when the question was sent,
or when the last audible sample of a spoken one was sent. What the service says of the same turn (its
`metrics` event) is kept beside it and never mixed in.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from project.bench.client import LiveClient
from project.bench.media import PACKET_SECONDS, Sound, on_sender_clock
from project.bench.recorded import Recorded
from rtc.frames import FRAME_SECONDS

Input = Literal["text", "voice", "audio"]
REPORT_WAIT_SECONDS = 3.0  # the first sender report comes within one
SETTLE_SECONDS = 0.3
GIVE_WAY_SECONDS = 10.0


@dataclass
class Turn:
    """What a customer saw and heard of one turn. `None`: it did not happen, or nobody could tell."""

    input: Input
    began: float  # monotonic seconds
    ended: float = 0.0
    received: dict[str, float] = field(default_factory=dict)  # ms, by the names of `bench live`
    server: dict[str, Any] = field(default_factory=dict)
    fps: float = 0.0
    freezes: int = 0
    longest_ms: float = 0.0


async def written(client: LiveClient, question: str, seconds: float = 60.0) -> Turn:
    """Ask in writing, and follow the answer to its end. Raises `TimeoutError` when none comes."""
    turn = Turn("text", await client.user_text(question))
    await _follow(client, turn, turn.began, seconds)
    return turn


async def spoken(client: LiveClient, question: Recorded, *, over: str = "rtc", seconds: float = 60.0) -> Turn:
    """Ask aloud, in real time; the turn begins with the end of the voice."""
    opened = await client.speak(question.pcm, over=over)
    voice = opened + question.first_ms / 1000
    # Sound leaves at the beginning of its 20 ms: the last one that is heard left so much before it ended.
    turn = Turn("voice", opened + question.last_ms / 1000 - PACKET_SECONDS)
    try:
        await _follow(client, turn, voice, seconds)
    finally:
        await client.hush()
    for kind, name, since in (
        ("transcript.partial", "asr_partial_seen_ms", voice),
        ("transcript.final", "asr_final_seen_ms", turn.began),
    ):
        if came := client.seen(kind, since=voice):
            turn.received[name] = 1000 * (came[0].at - since)
    return turn


async def played(client: LiveClient, upload: str, seconds: float = 60.0) -> Turn:
    """Have an uploaded sound move the avatar's lips: no recogniser, language model or voice takes part."""
    began = time.monotonic()
    response = await client.request("POST", f"sessions/{client.id}/say", {"upload": upload})
    response.raise_for_status()
    turn = Turn("audio", began)
    await _follow(client, turn, began, seconds)
    return turn


async def _follow(client: LiveClient, turn: Turn, since: float, seconds: float) -> None:
    await client.first_sound(max(since, turn.began), seconds)
    said = await client.event("speech.ended", since=since, seconds=seconds)
    figures = await client.event("metrics", since=since, seconds=seconds)
    await client.until(lambda: _is_quiet(client, said.at))
    turn.ended = time.monotonic()
    turn.server = {name: value for name, value in figures.data.items() if name not in ("type", "seq")}
    turn.received |= _heard(client, turn.began, turn.ended)
    if (shown := await _shown(client, turn)) is not None:
        turn.received["ttfv_ms"] = shown
    if words := client.seen("reply.delta", since=since):
        turn.received["first_words_ms"] = 1000 * (words[0].at - turn.began)
    video = client.watcher.video(turn.began, turn.ended)
    turn.fps, turn.freezes, turn.longest_ms = video.fps, video.freezes, video.longest_ms


def _is_quiet(client: LiveClient, since: float) -> bool:
    """Whether the last packets are comfort sound: what was told is also heard to the end."""
    sounds = client.watcher.span(since)
    return len(sounds) > 5 and not any(sound.speech for sound in sounds[-5:])


def _heard(client: LiveClient, began: float, ended: float) -> dict[str, float]:
    heard = client.watcher.heard(began, ended)
    if not heard:
        return {}
    return {
        "ttfa_ms": 1000 * (heard[0].at - began),
        "turn_total_ms": 1000 * (heard[-1].at + PACKET_SECONDS - began),
        "answer_ms": 1000 * (heard[-1].at + PACKET_SECONDS - heard[0].at),
    }


async def _shown(client: LiveClient, turn: Turn) -> float | None:
    """When the first picture of the answer was there, in ms: the one that is due with its first sound.

    An idle picture looks like a speaking one, so it is the sender's clock that tells them apart.
    """
    first = next((sound for sound in client.watcher.span(turn.began, turn.ended) if sound.speech), None)
    if first is None or client.peer is None:
        return None
    until = time.monotonic() + REPORT_WAIT_SECONDS
    while (at := speech_picture_at(client, first)) is None and time.monotonic() < until:
        await asyncio.sleep(0.1)
    return None if at is None else 1000 * (at - turn.began)


def speech_picture_at(client: LiveClient, sound: Sound) -> float | None:
    """When the picture came that is due with this sound; None where that is unknown (yet)."""
    assert client.peer is not None
    heard = on_sender_clock(client.peer, "audio", [sound.timestamp])
    pictures = [picture for picture in client.watcher.pictures if abs(picture.at - sound.at) < 2.0]
    seen = on_sender_clock(client.peer, "video", [picture.timestamp for picture in pictures])
    if heard is None or seen is None or not pictures:
        return None
    index = int(np.argmin(np.abs(seen - heard[0])))
    return pictures[index].at if abs(seen[index] - heard[0]) < FRAME_SECONDS else None


async def interrupted(client: LiveClient, question: str, after_seconds: float) -> tuple[float, int]:
    """Ask, stop the answer after so long, and time the silence.

    Returns milliseconds from the request to the first packet of silence, and how many packets of the
    old answer came behind it (there must be none).
    """
    begun = await client.user_text(question)
    await client.first_sound(begun)
    await asyncio.sleep(after_seconds)
    await client.until(lambda: client.watcher.sounds[-1].audible)
    said = await client.send("avatar.interrupt")
    silent = await client.silence(said, quiet=0.6)
    await asyncio.sleep(SETTLE_SECONDS)
    return silent, client.late_packets(said)


async def spoken_over(client: LiveClient, question: str, voice: Recorded, after_seconds: float) -> float:
    """Ask, speak into the answer after so long, and time until the avatar gives way.

    Returns milliseconds from the first sound of the voice to the first packet of silence. What was said is
    answered afterwards, so the next one needs another session.
    """
    begun = await client.user_text(question)
    await client.first_sound(begun)
    await asyncio.sleep(after_seconds)
    await client.until(lambda: client.watcher.sounds[-1].audible)
    opened = await client.speak(voice.pcm)
    try:
        silent = await client.silence(opened + voice.first_ms / 1000, quiet=0.5, seconds=GIVE_WAY_SECONDS)
    finally:
        await client.hush()
    return silent
