"""Measures the speech sidecar: `python docs/benchmarks/speech.py [--threads N] [voice ...]`.

Starts it on a free port, says the same sentences with every voice, and prints speed, loudness, errors
by Whisper and silences, as the table of speech.md. Speed is CPU seconds of the sidecar per second of
speech, since wall clocks of a busy machine tell little.
"""

import argparse
import io
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import SequenceMatcher
from pathlib import Path

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from workers.adapters.endpoint import Endpoint
from workers.adapters.tts.base import PcmChunk, SpeechRequest
from workers.speech import loudness, voices
from workers.speech.resample import resampled
from workers.speech.script import sentences
from workers.speech.speak import Utterance, speak_sentence

KEY = "benchmark"
SCRIPT = (
    "Welcome to our new service. In this short video we show you how to create an account, choose a plan, "
    "and invite your team. First, open the settings page and press the blue button. Your colleagues will "
    "receive a message within a few minutes. Do you have any questions? Our support team is happy to help "
    "you every day of the week. Bob bought a big map of the park, but Emma put it back in the box. The "
    "weather was warm and clear, so we walked along the river until the evening. Thank you very much for "
    "watching, and see you soon!"
)


@contextmanager
def sidecar(threads: int) -> Iterator[tuple[int, str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder) / "key"
        key.write_text(KEY)
        command = [sys.executable, "-m", "workers.speechd", "--port", str(port), "--api-key-file", str(key)]
        command += ["--threads", str(threads), "--warm", ""]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            yield process.pid, f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) // 1024


def wait_until_up(url: str) -> None:
    for _ in range(200):
        try:
            if httpx.get(f"{url}/health", headers={"Authorization": f"Bearer {KEY}"}).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise SystemExit("the sidecar did not start")


def first_sound_ms(speaker: object, voice: voices.Voice) -> float:
    began = time.monotonic()
    request = SpeechRequest("Welcome to our new service.", voice.provider_voice, voice.language)
    for event in speaker.synthesize(request):
        if isinstance(event, PcmChunk):
            return (time.monotonic() - began) * 1000
    raise SystemExit("no sound")


def word_errors(said: str, heard: str) -> float:
    ours, theirs = ([re.sub(r"\W+", "", w).lower() for w in text.split()] for text in (said, heard))
    same = sum(
        block.size for block in SequenceMatcher(a=ours, b=theirs, autojunk=False).get_matching_blocks()
    )
    return 1 - same / len(ours)


def as_wav(pcm16k: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        out.writeframes(pcm16k)
    return file.getvalue()


def largest_step(utterances: list[Utterance]) -> float:
    """The largest jump between neighbouring samples within 1 ms of a join, of full scale."""
    steps, at = [], 0
    pcm = np.frombuffer(b"".join(u.pcm for u in utterances), "<i2").astype(np.int32)
    for utterance in utterances[:-1]:
        at += utterance.samples
        steps.append(int(np.abs(np.diff(pcm[at - 48 : at + 48])).max()))
    return max(steps) / 32768


def closures(utterances: list[Utterance]) -> tuple[float, float]:
    """Median level in dB below the voice, in the middle of p, b and m, and of open vowels."""
    levels: dict[str, list[float]] = {"closed": [], "open": []}
    for utterance in utterances:
        pcm = np.frombuffer(utterance.pcm, "<i2").astype(np.float64) / 32768
        whole = np.sqrt(np.mean(pcm[np.abs(pcm) > 0.003] ** 2))
        for phone in utterance.phones:
            kind = (
                "closed"
                if phone.symbol in "pb"
                else "open"
                if phone.symbol in "\u0251a\u00e6\u028c\u0254"
                else None
            )
            if kind:
                middle = (phone.start_ms + phone.end_ms) // 2 * 48
                part = pcm[max(middle - 480, 0) : middle + 480]
                levels[kind].append(20 * np.log10(np.sqrt(np.mean(part**2)) / whole + 1e-6))
    return float(np.median(levels["closed"])), float(np.median(levels["open"]))


def measure(url: str, pid: int, voice: voices.Voice) -> str:
    endpoints = {voices.LOCAL: Endpoint(url, KEY)}
    speaker = voices.synthesizer_for(voice, endpoints)
    cold = first_sound_ms(speaker, voice)
    warm = sorted(first_sound_ms(speaker, voice) for _ in range(5))[2]
    plan = sentences(SCRIPT, voice.language)
    cpu = cpu_seconds(pid)
    said = [speak_sentence(speaker, sentence, voice) for sentence in plan]
    cpu = cpu_seconds(pid) - cpu
    memory = rss_mb(pid)
    pcm = b"".join(utterance.pcm for utterance in said)
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
    silence = sum(s.lead_ms + s.tail_ms for s in plan) / 1000
    speech = len(samples) / 48_000 - silence
    ears = voices.recognizer_for(voices.LOCAL, endpoints)
    heard = ears.recognize(as_wav(resampled(pcm, 48_000, 16_000)), language="en").text
    levels = loudness.lufs(samples)
    letters = sum(len(s.said) for s in plan)
    closed, opened = closures(said)
    print(f"<!-- {voice.id}: {heard} -->", file=sys.stderr)
    return (
        f"| {voice.id} | {cold:.0f} | {warm:.0f} | {cpu / speech:.3f} | {memory} | {levels:.1f} "
        f"| {20 * np.log10(np.abs(samples).max()):.1f} | {word_errors(SCRIPT, heard):.1%} "
        f"| {letters / speech:.1f} | {largest_step(said):.5f} | {closed:.0f} / {opened:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("voice", nargs="*")
    options = parser.parse_args()
    wanted = [voices.voice(name) for name in options.voice] or voices.list_voices()
    print("| voice | first sound cold, ms | warm, ms | CPU s per s | RSS, MB | LUFS | peak, dBFS ", end="")
    print("| word errors | characters per s | largest step at joins | level at p, b / open vowels, dB |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for voice in wanted:
        with sidecar(options.threads) as (pid, url):
            wait_until_up(url)
            print(measure(url, pid, voice), flush=True)


if __name__ == "__main__":
    main()
