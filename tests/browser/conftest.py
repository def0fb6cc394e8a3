"""Chromium, driven as a person would. Skipped, and said so, where there is none."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

PATHS = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
PASSWORD = "a long enough password"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/browser/" in str(item.path):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One browser for a module, and no longer: Playwright keeps an event loop in this thread,
    which asyncio's tests could not bear and Django would mistake for async code."""
    program = next((path for path in PATHS if shutil.which(path)), None)
    if program is None:
        pytest.skip("Chromium is not installed (apt-get install chromium): browser tests are skipped")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
            yield browser
        browser.close()


@dataclass
class Tab:
    """A page that writes down whatever the console complains about."""

    page: Any
    complaints: list[str] = field(default_factory=list)

    def hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def broken_rules(self) -> list[str]:
        """Violations of the content security policy, and scripts that failed."""
        return [
            text for text in self.complaints if "Content Security Policy" in text or text.startswith("error:")
        ]

    def unnamed(self) -> list[str]:
        """Controls that a screen reader could not name."""
        roles = {"button", "link", "textbox", "searchbox", "combobox", "radio", "checkbox", "slider", "tab"}
        session = self.page.context.new_cdp_session(self.page)
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
        found = [node for node in nodes if not node["ignored"] and node["role"]["value"] in roles]
        assert found, "The page has no controls at all"
        return [
            str(node["role"]["value"]) for node in found if not node.get("name", {}).get("value", "").strip()
        ]

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))


@pytest.fixture
def tab(chromium: Any) -> Iterator[Any]:
    """Open pages: `tab(width=390, theme="dark")`."""
    opened = []

    def new(width: int = 1440, height: int = 900, theme: str = "light", **options: Any) -> Tab:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, **options
        )
        opened.append(context)
        made = Tab(context.new_page())
        made.page.set_default_timeout(20_000)
        made.page.on("console", made.hear)
        made.page.on("pageerror", lambda error: made.complaints.append(f"error: {error}"))
        return made

    yield new
    for context in opened:
        context.close()
