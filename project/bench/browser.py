"""Chromium as a customer, on the service's own call page: what a person sees, and when.

    async with chromium() as browser, await Tab.open(browser, join_url) as tab:
        await tab.join()
        print(tab.first_frame_ms, await tab.video())

A script beside the page notes what its WebSocket sends and when pictures are presented; it changes
nothing of them. Times of the page are milliseconds of its own clock, so figures are differences of it.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Self

from project.bench.errors import BenchError
from project.bench.media import FREEZE_SECONDS
from rtc.frames import FRAME_SECONDS

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--autoplay-policy=no-user-gesture-required",),
    *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
)
EYE = Path(__file__).with_name("eye.js")
WAIT_SECONDS = 30.0
POLL_SECONDS = 0.05
DRIFT_LOOKS, DRIFT_EVERY = 12, 0.25


def program() -> str | None:
    """Where Chromium is, if there is one."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


@asynccontextmanager
async def chromium() -> AsyncIterator[Any]:
    """A browser for some tabs. Raises `BenchError` where there is none."""
    path = program()
    if path is None:
        raise BenchError("Chromium is not installed (apt-get install chromium)")
    from playwright.async_api import async_playwright  # noqa: PLC0415 - a service has none

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


@dataclass(frozen=True, slots=True)
class Seen:
    """Pictures of a span as the browser showed them; `dropped` is its own count, of the whole call."""

    frames: int
    seconds: float
    fps: float
    freezes: int
    dropped: int
    longest_ms: float


class Tab:
    """One customer at the call page, who only types."""

    def __init__(self, context: Any, page: Any) -> None:
        self._context, self.page = context, page
        self.complaints: list[str] = []
        self.first_frame_ms: float | None = None
        self.first_frame_after_click_ms: float | None = None
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    @classmethod
    async def open(cls, browser: Any, join_url: str) -> Self:
        """Open the page of a session, before it is joined. Certificates may be of our own making."""
        context = await browser.new_context(ignore_https_errors=True)
        await context.add_init_script(path=EYE)
        page = await context.new_page()
        page.set_default_timeout(1000 * WAIT_SECONDS)
        tab = cls(context, page)
        await page.goto(join_url)
        await page.locator("#join-typing").wait_for(state="visible")
        return tab

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._context.close()

    async def join(self) -> None:
        """Press the button, and wait for the first picture that the screen shows.

        Sets `first_frame_ms` (from the offer) and `first_frame_after_click_ms`.
        """
        await self.page.evaluate("eye.press('join-typing')")
        await self._until("() => eye.frames.length > 0 && eye.offered !== null")
        moments = await self.page.evaluate("[eye.frames[0].at, eye.offered, eye.pressed]")
        self.first_frame_ms = moments[0] - moments[1]
        self.first_frame_after_click_ms = moments[0] - moments[2]

    async def ask(self, question: str) -> float:
        """Ask in writing; returns the page's time of it."""
        return float(await self.page.evaluate("(text) => eye.ask(text)", question))

    async def first_sound(self, since: float) -> float:
        """Wait for the first audible sound; ms after `since`."""
        await self._until("(since) => eye.heard(since) !== null", since)
        return float(await self.page.evaluate("(since) => eye.heard(since) - since", since))

    async def answered(self, since: float, quiet_ms: float = 1000.0) -> None:
        """Wait until the answer to what was asked then has been silent for so long."""
        await self._until("(args) => eye.silent(...args)", [since, quiet_ms])

    async def _until(self, condition: str, argument: Any = None) -> None:
        """Wait until the page says so. Raises `TimeoutError`.

        The page's policy forbids what Playwright's own waiting would evaluate there; moments are noted
        by the page, so asking now and then loses nothing.
        """
        async with asyncio.timeout(WAIT_SECONDS):
            while not await self.page.evaluate(condition, argument):
                await asyncio.sleep(POLL_SECONDS)

    async def now(self) -> float:
        """The page's time, in ms."""
        return float(await self.page.evaluate("performance.now()"))

    async def video(self, since: float = 0.0) -> Seen:
        """What was shown since then."""
        times = await self.page.evaluate("(since) => eye.times(since)", since)
        stats = await self.page.evaluate("eye.stats()")
        gaps = [later - earlier for earlier, later in pairwise(times)]
        seconds = (times[-1] - times[0]) / 1000 if gaps else 0.0
        return Seen(
            frames=len(times),
            seconds=seconds,
            fps=len(gaps) / seconds if seconds else 0.0,
            freezes=sum(gap > 1000 * (FRAME_SECONDS + FREEZE_SECONDS) for gap in gaps),
            dropped=int(stats.get("framesDropped", 0)),
            longest_ms=max(gaps, default=0.0),
        )

    async def drift_ms(self) -> float | None:
        """How much the voice lags behind the lips by the browser's estimate: the median of some seconds."""
        found = []
        for _ in range(DRIFT_LOOKS):
            if (drift := await self.page.evaluate("eye.drift()")) is not None:
                found.append(float(drift))
            await asyncio.sleep(DRIFT_EVERY)
        return median(found) if found else None
