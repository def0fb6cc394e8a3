"""Choosing among hundreds of voices, copying one, and the page of providers, in every size and theme."""

from typing import Any

import pytest

from project.accounts.models import Role, User
from tests.browser.conftest import PASSWORD
from tests.browser.fake_api import FakeApi, library
from tests.browser.test_pages import CONTRAST

SIZES = [(1440, 900), (390, 844), (320, 640)]
LANGUAGES = ["en-US", "en-GB", "de-DE", "fr-FR", "ja-JP", "zh-CN", "es-ES", "pt-BR"]
NAMES = ["Katja", "Conrad", "Jenny", "Guy", "Aria", "Henri", "Nanami", "Xiaoxiao", "Álvaro", "Elvira"]
CONSENT = "I am the person whose voice is on this recording, or I have that person's explicit permission."
STATEMENT = {
    "version": "2026-11",
    "text": CONSENT,
    "min_seconds": 5,
    "max_seconds": 120,
    "providers": [{"id": "elevenlabs", "name": "ElevenLabs"}],
}


def _voice(number: int) -> dict[str, Any]:
    local = number < 12
    name = NAMES[number % len(NAMES)]
    return {
        "id": f"en-{number}" if local else f"edge:{number}",
        "provider": "local" if local else "edge",
        "name": name if local else f"{name} {number}",
        "gender": "female",
        "language": "en-US" if local else LANGUAGES[number % len(LANGUAGES)],
        "cloned": False,
        "preview_url": f"/api/v1/voices/{number}/preview",
    }


def _copy(number: int, status: str) -> dict[str, Any]:
    failure = {"code": "provider_unauthorized", "message": "The speech provider answered 401."}
    return _voice(number) | {
        "id": f"clone:vcl_{number}",
        "name": f"Voice of mine {number}",
        "cloned": True,
        "provider": "elevenlabs",
        "status": status,
        "failure": failure if status == "failed" else None,
        "consent": {"speaker": "Ada Lovelace", "version": "2026-11", "given_at": "2026-11-20T10:00:00Z"},
    }


def _provider(name: str, **facts: Any) -> dict[str, Any]:
    kind = {"place": 1, "median_first_ms": 182.4, "breaker_open": False, "served": 1204, "failed": 3}
    told = {"last_served_at": None, "last_error": {"code": "provider_timeout", "at": "2026-11-21T10:00:00Z"}}
    return {
        "id": name,
        "name": name.title(),
        "licence": "",
        "configured": True,
        "reachable": True,
        "checked_at": "2026-11-21T10:00:00Z",
        "voices": 322,
        "probe": {"ms": 41.0, "error": None},
        "kinds": [
            {"kind": "tts", **kind, **told},
            {"kind": "llm", **kind, "place": None, "median_first_ms": None, **told, "last_error": None},
            {"kind": "listing", **kind, "place": None, "median_first_ms": None, **told, "last_error": None},
        ],
        "listing": {"listed_at": "2026-11-21T08:00:00Z", "error_code": None},
        "credentials": [f"{name.upper()}_API_KEY"],
    } | facts


PROVIDERS = [
    _provider("local"),
    _provider("edge", reachable=False, probe={"ms": 3000.0, "error": "timeout"}),
    _provider("a-provider-with-quite-a-long-name", reachable=None, checked_at=None, probe=None),
    _provider("elevenlabs", configured=False, reachable=None, probe=None, listing=None),
]
PROVIDERS[2]["kinds"][0]["breaker_open"] = True


class ManyVoices(FakeApi):
    """The fake API with hundreds of voices and a provider that copies them."""

    copies: list[dict[str, Any]]
    sent: list[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        self.copies = [_copy(1, "ready"), _copy(2, "preparing"), _copy(3, "failed")]
        self.sent = []

    def __call__(self, route: Any) -> None:
        if route.request.method == "POST" and route.request.url.endswith("/voices"):
            self.sent.append((route.request.post_data_buffer or b"").decode("latin-1"))
        super().__call__(route)

    def answer(  # noqa: PLR0911 - one line for each call
        self, method: str, path: str, query: dict[str, list[str]], body: Any
    ) -> tuple[int, Any]:
        match method, path:
            case "GET", "voices":
                return 200, [_copy(1, "ready"), *map(_voice, range(400))]
            case "GET", "voices/consent":
                return 200, STATEMENT
            case "GET", "voices/copies":
                return 200, {"results": self.copies, "next": None}
            case "POST", "voices":
                self.copies.insert(0, _copy(9, "preparing"))
                return 202, self.copies[0]
            case "DELETE", "voices/clone%3Avcl_1":
                self.copies = [one for one in self.copies if one["id"] != "clone:vcl_1"]
                return 204, None
            case "GET", "providers":
                return 200, PROVIDERS
        if path.startswith("voices/") and path.endswith("/preview"):
            return 503, {
                "status": 503,
                "code": "provider_unauthorized",
                "detail": "The provider answered 401.",
            }
        return super().answer(method, path, query, body)


@pytest.fixture
def opened(chromium, live_server, settings, tab):
    """A page with the fake API, signed in as somebody of the staff."""
    settings.ALLOWED_HOSTS = ["*"]
    User.objects.create_user("ada@example.com", PASSWORD, role=Role.ADMIN)

    def open_page(path: str, **options):
        made, api = tab(**options), ManyVoices(clips=library())
        made.page.route("**/api/v1/**", api)
        made.page.goto(f"{live_server.url}/login/?next={path}")
        made.page.get_by_label("E-mail address").fill("ada@example.com")
        made.page.get_by_label("Password").fill(PASSWORD)
        made.page.get_by_role("button", name="Sign in").click()
        made.page.wait_for_url(f"{live_server.url}{path}")
        return made, api

    return open_page


def _sound(made) -> None:
    assert made.overflow() <= 0
    assert made.page.evaluate(CONTRAST) == []
    assert made.unnamed() == []
    assert made.broken_rules() == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_hundreds_of_voices_can_be_searched(opened, width, height, theme) -> None:
    made, _ = opened("/", width=width, height=height, theme=theme)
    made.page.get_by_role("button", name="All 401 voices").click()
    dialog = made.page.locator("dialog.voices")
    dialog.get_by_label("Language").select_option("")
    assert "401 of 401" in dialog.inner_text()
    assert dialog.locator(".voice-item").count() == 60
    _sound(made)
    dialog.get_by_label("Search voices").fill("alvaro")
    assert all("Álvaro" in text for text in dialog.locator(".voice-item strong").all_inner_texts())
    dialog.get_by_label("Language").select_option("de")
    found = dialog.locator(".voice-item")
    name = found.first.locator("strong").inner_text()
    found.first.locator(".voice-choose").click()
    assert not dialog.is_visible()
    assert name in made.page.locator("#voice option:checked").inner_text()


def test_a_voice_that_cannot_be_heard_says_why(opened) -> None:
    made, _ = opened("/")
    made.page.get_by_role("button", name="All 401 voices").click()
    made.page.locator("dialog.voices").get_by_role("button", name="Listen to Conrad").first.click()
    made.page.get_by_text("refuses this service's key").wait_for()


def test_a_search_without_result_says_so_and_the_keyboard_suffices(opened) -> None:
    made, _ = opened("/")
    made.page.get_by_role("button", name="All 401 voices").press("Enter")
    made.page.keyboard.type("nobody at all")
    made.page.get_by_text("No voice is called that").wait_for()
    made.page.keyboard.press("Escape")  # empties the search
    made.page.keyboard.press("Escape")
    assert not made.page.locator("dialog.voices").is_visible()


def test_the_live_page_offers_them_too(opened) -> None:
    made, api = opened("/live/")
    made.page.get_by_role("button", name="All 401 voices").wait_for()
    assert ("GET", "voices", None) in api.calls


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_page_of_providers_reads_well(opened, width, height, theme) -> None:
    made, _ = opened("/providers/", width=width, height=height, theme=theme)
    made.page.get_by_text("3 configured, 1 out of reach").wait_for()
    for words in ("Left alone", "No answer", "provider_timeout", "ELEVENLABS_API_KEY", "182 ms"):
        assert made.page.get_by_text(words).first.is_visible()
    _sound(made)


def test_the_page_of_providers_is_for_staff(live_server, client) -> None:
    client.force_login(User.objects.create_user("eve@example.com", PASSWORD, role=Role.CUSTOMER))
    assert client.get("/providers/").status_code == 403


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_voice_is_copied_only_after_consent(opened, width, height, theme) -> None:
    made, api = opened("/account/", width=width, height=height, theme=theme)
    page = made.page
    page.get_by_text("Voice of mine 1").wait_for()
    page.get_by_role("button", name="Copy a voice").click()
    dialog = page.locator("#voice-dialog")
    dialog.get_by_text(CONSENT).wait_for()
    _sound(made)
    dialog.get_by_role("button", name="Copy this voice").click()
    assert api.sent == []
    wav = b"RIFF$\0\0\0WAVEfmt " + bytes(32)
    dialog.locator("#sound-file").set_input_files({"name": "me.wav", "mimeType": "audio/wav", "buffer": wav})
    dialog.get_by_label("Name", exact=True).fill("My own voice")
    dialog.get_by_label("Full name of whose voice it is").fill("Ada Lovelace")
    dialog.get_by_role("button", name="Copy this voice").click()
    assert api.sent == []  # the consent is still missing
    dialog.get_by_label(CONSENT).check()
    dialog.get_by_role("button", name="Copy this voice").click()
    page.get_by_text("The voice is being copied").wait_for()
    for words in ("My own voice", "elevenlabs", "2026-11", "Ada Lovelace", "RIFF"):
        assert words in api.sent[0]


def test_a_copy_is_deleted_after_a_question(opened) -> None:
    made, api = opened("/account/")
    made.page.get_by_role("button", name="Delete Voice of mine 1").click()
    made.page.locator("#confirm-yes").click()
    made.page.locator("#copies").get_by_text("Voice of mine 1").wait_for(state="detached")
    assert len(api.copies) == 2


@pytest.mark.parametrize("path", ["/providers/", "/account/"])
def test_nothing_a_provider_is_called_becomes_markup(opened, path) -> None:
    made, _ = opened(path)
    assert made.page.locator("main script, main style").count() == 0
