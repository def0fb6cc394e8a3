"""What `bench live` does with sessions: joins them, asks, interrupts, and watches with other receivers."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from project.bench.aiortc_client import AiortcClient
from project.bench.browser import Tab, chromium
from project.bench.client import LiveClient
from project.bench.config import StubDelays
from project.bench.customers import Service, begin, connected, web
from project.bench.errors import BenchError
from project.bench.live_figures import Figures
from project.bench.providers import Providers
from project.bench.recorded import Recorded
from project.bench.results import State
from project.bench.turns import Input, Turn, interrupted, played, spoken, spoken_over, written

PAUSE_SECONDS = 0.3


@dataclass(frozen=True)
class Talk:
    """With whom, and about what. `upload` is a sound of the service's for turns of input "audio"."""

    service: Service
    question: str
    recording: Recorded | None = None
    upload: str = ""
    stub: Providers | None = None
    delays: StubDelays | None = None

    async def turn(self, client: LiveClient, kind: Input) -> Turn:
        """One turn. Of a written one `ttfa_above_stub_ms` is added where the stub answers."""
        if kind == "voice":
            assert self.recording is not None
            return await spoken(client, self.recording)
        if kind == "audio":
            return await played(client, self.upload)
        if self.stub is not None:
            self.stub.forget()
        turn = await written(client, self.question)
        pieces = [] if self.stub is None else self.stub.spoken()
        if pieces and self.delays is not None:
            turn.received["ttfa_above_stub_ms"] = turn.received["ttfa_ms"] - floor_ms(self.delays, pieces[0])
        return turn


def floor_ms(delays: StubDelays, piece: str) -> float:
    """When the stub has given the words of a first piece and the first sound of it, after the question."""
    return delays.first_token_ms + delays.token_ms * (len(piece.split()) - 1) + delays.first_byte_ms


async def joins(talk: Talk, figures: Figures, count: int, state: State) -> None:
    """New sessions one after the other, a decoding client in each, and the first turn of each."""
    async with web() as http:
        for _ in range(count):
            async with connected(talk.service, http, decode=True) as client:
                _joined(client, figures, state)
                figures.turn(await talk.turn(client, "text"), state)


def _joined(client: LiveClient, figures: Figures, state: State) -> None:
    took = client.connecting
    figures.add("session_create_ms", state, took.session_create_ms)
    figures.add("join_ms", state, took.join_ms)
    figures.add("webrtc_answer_ms", state, took.answer_ms)
    figures.add("webrtc_first_frame_ms", state, took.first_frame_ms, case="light client")


async def steady(talk: Talk, figures: Figures, inputs: Sequence[Input], turns: int) -> None:
    """One session that goes on: the turns after its first one."""
    async with web() as http, connected(talk.service, http) as client:
        for kind in inputs:
            await talk.turn(client, kind)  # the first of each kind loads what the others find loaded
            for _ in range(turns):
                figures.turn(await talk.turn(client, kind), "steady")
        assert client.peer is not None
        figures.add("av_drift_reported_ms", "steady", client.peer.offset_ms())


async def interruptions(talk: Talk, figures: Figures, count: int) -> None:
    """Stop the answer somewhere in its second second."""
    if not count:
        return
    async with web() as http, connected(talk.service, http) as client:
        for number in range(count):
            silent, late = await interrupted(client, talk.question, 1.0 + number / count)
            figures.add("interrupt_ms", "steady", silent)
            figures.add("late_packets", "steady", late)


async def barge_ins(talk: Talk, figures: Figures, count: int) -> None:
    """Speak into the answer; a recogniser that takes it for noise is no failure of the run, but told."""
    if talk.recording is None:
        return
    async with web() as http:
        for number in range(count):
            async with connected(talk.service, http) as client:
                try:
                    silent = await spoken_over(client, talk.question, talk.recording, 1.0 + number / count)
                except TimeoutError as error:
                    figures.lack("barge_in_ms", "steady", f"the avatar did not give way: {error}"[:200])
                    return
                figures.add("barge_in_ms", "steady", silent)


async def drift(service: Service, figures: Figures, question: str, seconds: float) -> None:
    """A test card that speaks: its mouth and its voice, as they arrive."""
    async with web() as http, connected(service, http, read_cards=True) as client:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.monotonic()
            await written(client, question)
            if (offset := client.av_offset_ms(began)) is not None:
                figures.add("av_drift_ms", "steady", offset)
    if not figures.values["av_drift_ms", "steady", ""]:
        figures.lack("av_drift_ms", "steady", "the test card could not be read")


# --- Receivers that share nothing with the service ---------------------------------------------


@contextmanager
def _counted(figures: Figures, receiver: str) -> Iterator[None]:
    """Count one call. One that fails is told, and the other calls are made all the same."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - browsers and their drivers fail in ways of their own
        figures.call(receiver, type(error).__name__)  # not its text, which may hold addresses
    else:
        figures.call(receiver)


async def aiortc_joins(talk: Talk, figures: Figures, count: int) -> None:
    """An aiortc peer in the place of the light client."""
    async with web() as http:
        for _ in range(count):
            with _counted(figures, "aiortc"):
                await _aiortc_join(talk, figures, http)


async def _aiortc_join(talk: Talk, figures: Figures, http: httpx.AsyncClient) -> None:
    receiver = AiortcClient()
    async with talk.service.client(http) as client:
        await begin(client)
        try:
            await client.join()
            await receiver.connect(client)
            figures.add("webrtc_first_frame_ms", "warm", receiver.first_frame_ms, case="aiortc")
            begun = await client.user_text(talk.question)
            figures.add("ttfa_ms", "warm", await receiver.first_sound(begun), case="text, aiortc")
            await client.event("speech.ended", since=begun, seconds=60)
            seen = receiver.video(begun)
            figures.add("playback_fps", "warm", seen.fps, case="text, aiortc")
            figures.add("freezes", "warm", seen.freezes, case="text, aiortc")
        finally:
            await receiver.close()
            await client.request("POST", f"sessions/{client.id}/end", {})


async def chromium_joins(talk: Talk, figures: Figures, count: int) -> None:
    """Chromium on the service's call page; without one the figures say so."""
    if not count:
        return
    try:
        async with chromium() as browser, web() as http:
            for _ in range(count):
                with _counted(figures, "Chromium"):
                    await _chromium_join(talk, figures, http, browser)
    except (BenchError, ImportError) as error:  # there is none
        figures.lack("webrtc_first_frame_ms", "warm", str(error), case="chromium")


async def _chromium_join(talk: Talk, figures: Figures, http: httpx.AsyncClient, browser: object) -> None:
    async with talk.service.client(http) as client:
        session = await begin(client)
        try:
            async with await Tab.open(browser, session["join_url"]) as tab:
                await tab.join()
                figures.add("webrtc_first_frame_ms", "warm", tab.first_frame_ms, case="chromium")
                figures.add("page_first_frame_ms", "warm", tab.first_frame_after_click_ms, case="chromium")
                await _chromium_turn(talk, figures, tab)
        finally:
            await client.request("POST", f"sessions/{client.id}/end", {})


async def _chromium_turn(talk: Talk, figures: Figures, tab: Tab) -> None:
    begun = await tab.ask(talk.question)
    figures.add("ttfa_ms", "warm", await tab.first_sound(begun), case="text, chromium")
    await tab.answered(begun)
    seen = await tab.video(begun)
    figures.add("playback_fps", "warm", seen.fps, case="text, chromium")
    figures.add("freezes", "warm", seen.freezes, case="text, chromium")
    figures.add("longest_gap_ms", "warm", seen.longest_ms, case="text, chromium")
    figures.add("av_drift_estimated_ms", "warm", await tab.drift_ms(), case="chromium")
