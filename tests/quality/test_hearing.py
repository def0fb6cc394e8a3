"""The whole way from a microphone to words, with the speech sidecar that ships."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sessions.pipeline.listen import Ears, Listener, UserTurn
from sessions.pipeline.recognise import believed, wav
from tests.support.hearing import clicks, cough, fan, mixed, pieces, room, spoken
from workers.adapters.endpoint import Endpoint
from workers.adapters.stt.openai_compatible import HearingDialect, OpenAICompatible

pytestmark = [pytest.mark.quality, pytest.mark.timeout(240)]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory, unused_tcp_port_factory):
    """The address of a running sidecar that speaks nothing and hears with one thread."""
    key = tmp_path_factory.mktemp("sidecar") / "key"
    key.write_text("secret")
    port = unused_tcp_port_factory()
    command = [sys.executable, "-m", "workers.speechd", "--port", str(port), "--api-key-file", str(key)]
    process = subprocess.Popen([*command, "--warm", "", "--hearing-threads", "1"], cwd=ROOT)
    url = f"http://127.0.0.1:{port}/v1"
    try:
        _until_it_hears(url)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _until_it_hears(url: str) -> None:
    """The first recognition loads the model."""
    for _ in range(300):
        try:
            ears(url).recognize(wav(mixed(1.5, (0.2, spoken("question")))))
            return
        except Exception:  # noqa: BLE001 - whatever the reason, it is not there yet
            time.sleep(0.2)
    raise AssertionError("the sidecar did not start")


def ears(url: str) -> OpenAICompatible:
    return OpenAICompatible(
        Endpoint(url, "secret"), HearingDialect(provider="local", model="whisper-tiny.en")
    )


async def listened(url: str, pcm: bytes) -> tuple[list[UserTurn], list[str]]:
    """Turns and partial transcripts of sound that is played at the pace of life."""
    turns: list[UserTurn] = []
    partials: list[str] = []
    told = Ears(on_turn=turns.append, on_partial=partials.append)
    listener = Listener(language="en-US", recognizer=ears(url), ears=told)
    begun = time.monotonic()
    for piece, at in pieces(pcm):
        await asyncio.sleep(max(0.0, begun + at / 1000 - time.monotonic()))
        listener.feed(piece, at)
    async with asyncio.timeout(20):
        while listener._closing:
            await asyncio.sleep(0.05)
    listener.close()
    return turns, partials


async def test_a_spoken_question_is_understood(sidecar):
    turns, partials = await listened(sidecar, mixed(6.5, (1, spoken("question")), (0, room(6.5))))
    (turn,) = turns
    print(
        f"words after {turn.recognition_ms:.0f} ms; partly {partials}, the first after {turn.partial_ms} ms"
    )
    assert "opening hours" in turn.text
    assert "Sunday" in turn.text


async def test_two_people_in_a_noisy_room_are_understood(sidecar):
    parts = [(1, spoken("question_heart")), (5, spoken("interruption")), (0, fan(9, -45))]
    turns, _ = await listened(sidecar, mixed(9.5, *parts))
    assert len(turns) == 2
    assert "return the shoes" in turns[0].text
    assert "stop please" in turns[1].text.replace(",", "")


async def test_noise_makes_no_turn(sidecar):
    parts = [(0, room(8, -50)), (1, clicks(2)), (4, cough()), (6, cough(20_000))]
    turns, partials = await listened(sidecar, mixed(8, *parts))
    assert (turns, partials) == ([], [])


@pytest.mark.parametrize(
    "noise", [room(3, -30), fan(3), clicks(3), mixed], ids=["hiss", "fan", "keys", "silence"]
)
def test_what_is_imagined_in_noise_is_not_believed(sidecar, noise):
    sound = bytes(96_000) if noise is mixed else mixed(3, (0, noise))
    text = ears(sidecar).recognize(wav(sound), language="en").text
    print(f"imagined: {text!r}")
    assert believed(text, voiced_ms=160, confidence=0.6) == ""
