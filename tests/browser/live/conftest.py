"""Chromium with a microphone that beeps, and a session that can be made to misbehave."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.conftest import FLAGS, PATHS
from tests.browser.live.fake_session import SESSION, TOKEN, FakeSession, fake_session

MICROPHONE = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """As in tests/browser, and with devices for calls."""
    program = next((path for path in PATHS if shutil.which(path)), None)
    if program is None:
        pytest.skip("Chromium is not installed (apt-get install chromium): browser tests are skipped")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*FLAGS, *MICROPHONE])
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
            yield browser
        browser.close()


@pytest.fixture
def fake(live_server, settings) -> Iterator[FakeSession]:
    settings.ALLOWED_HOSTS = ["*"]
    with fake_session(live_server.url) as running:
        yield running


@pytest.fixture
def lobby(fake, tab):
    """The call page as somebody with a link sees it."""

    def open_lobby(token: str = TOKEN, **options: Any) -> Any:
        made = tab(**options)
        made.page.goto(f"{fake.url}/live/{SESSION}#{token}")
        return made

    return open_lobby


@pytest.fixture
def call(lobby):
    """A call that has begun."""

    def join(**options: Any) -> Any:
        made = lobby(**options)
        made.page.locator("#join").click()
        made.page.wait_for_selector("body[data-state=live].seen")
        return made

    return join
