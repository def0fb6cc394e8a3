"""The pages in every state, size and theme, with a REST API that lives in the browser."""

import pytest

from project.accounts.models import Role, User
from tests.browser.conftest import PASSWORD
from tests.browser.fake_api import FakeApi, library

SIZES = [(1440, 900), (390, 844), (320, 640)]

CONTRAST = """() => {
  const light = ([r, g, b]) => {
    const curve = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [x, y, z] = [r, g, b].map((v) => curve(v / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const parse = (text) => {
    const n = text.match(/[\\d.]+/g).map(Number);
    return n.length < 4 ? [...n, 1] : n;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour[3] > 0.99) return colour;
      if (colour[3] > 0 || node.matches(".clip-picture, .avatar-face, .stage")) return null;
    }
    return [255, 255, 255, 1];
  };
  const bad = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !node.checkVisibility()) continue;
    if (node.closest("option, .sr-only, .skip, :disabled")) continue;
    const back = behind(node);
    if (!back) continue;
    const [one, other] = [light(parse(getComputedStyle(node).color)), light(back)].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${texts.currentNode.data.trim().slice(0, 40)}`);
  }
  return bad;
}"""


@pytest.fixture
def site(chromium, live_server, settings):
    settings.ALLOWED_HOSTS = ["*"]
    User.objects.create_user("ada@example.com", PASSWORD, role=Role.CUSTOMER)
    return live_server.url


@pytest.fixture
def studio(site, tab):
    """The Studio with a fake API, signed in."""

    def open_studio(api=None, **options):
        api = api or FakeApi(clips=library())
        made = tab(**options)
        made.page.route("**/api/v1/**", api)
        sign_in(made.page, site)
        made.page.wait_for_selector(".avatar")
        made.page.wait_for_selector("#clip-list:not([aria-busy])", state="attached")
        return made, api

    return open_studio


def sign_in(page, site) -> None:
    page.goto(f"{site}/login/?next=/")
    page.get_by_label("E-mail address").fill("ada@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{site}/")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_studio_fits_reads_well_and_breaks_no_rule(studio, width, height, theme) -> None:
    made, _ = studio(width=width, height=height, theme=theme)
    assert made.page.evaluate("document.documentElement.dataset.theme") == theme
    assert made.overflow() <= 0
    assert made.page.evaluate(CONTRAST) == []
    assert made.unnamed() == []
    assert made.broken_rules() == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/login/", "/account/", "/account/password/", "/no-such-page"])
def test_the_other_pages_fit_and_read_well(studio, site, path, theme) -> None:
    made, _ = studio(width=390, height=844, theme=theme)
    if path == "/login/":
        made.page.context.clear_cookies()
    made.page.goto(site + path)
    made.page.wait_for_load_state("networkidle")
    assert made.overflow() <= 0
    assert made.page.evaluate(CONTRAST) == []
    assert made.unnamed() == []
    assert made.broken_rules() == []


def test_a_wrong_password_is_told_without_telling_which(site, tab) -> None:
    page = tab().page
    page.goto(f"{site}/login/")
    page.get_by_label("E-mail address").fill("ada@example.com")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    assert page.get_by_role("alert").is_visible()
    assert page.get_by_label("E-mail address").input_value() == "ada@example.com"


def test_the_studio_is_for_those_who_signed_in(site, tab) -> None:
    page = tab().page
    page.goto(f"{site}/")
    assert "/login/" in page.url


def test_a_clip_is_made_with_the_keyboard_alone(studio) -> None:
    made, api = studio(FakeApi())
    page = made.page
    keys = page.keyboard

    def tab_to(selector: str) -> None:
        for _ in range(40):
            if page.evaluate("(s) => document.activeElement.matches(s)", selector):
                return
            keys.press("Tab")
        raise AssertionError(f"{selector} cannot be reached with Tab")

    page.evaluate("document.body.focus()")
    tab_to(".avatar input")
    keys.press("ArrowRight")
    tab_to("#script")
    keys.type("Typed without a mouse.")
    tab_to("#voice")
    tab_to("#speed")
    keys.press("ArrowRight")
    tab_to('[name="aspect_ratio"]')
    keys.press("ArrowRight")
    tab_to("#generate")
    keys.press("Enter")
    page.wait_for_selector("#progress-box:visible")
    [(_, _, wish)] = [call for call in api.calls if call[:2] == ("POST", "clips")]
    assert wish["avatar"] == "avt_1"
    assert wish["script"] == "Typed without a mouse."
    assert (wish["speed"], wish["aspect_ratio"]) == (1.05, "9:16")


def test_tabs_move_with_the_arrow_keys(studio) -> None:
    page = studio()[0].page
    page.get_by_role("tab", name="Script").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", name="Recording").get_attribute("aria-selected") == "true"
    assert page.get_by_role("tabpanel", name="Recording").is_visible()
    assert not page.get_by_role("tabpanel", name="Script").is_visible()


def test_the_length_is_estimated_while_one_types(studio) -> None:
    page = studio()[0].page
    page.get_by_role("textbox", name="Script").fill("x" * 200)
    page.get_by_text("About 13 seconds").wait_for()
    assert page.get_by_text("200 characters").is_visible()


def test_an_empty_script_is_pointed_out_at_its_place(studio) -> None:
    made, api = studio(FakeApi())
    made.page.get_by_role("button", name="Generate video").click()
    assert made.page.get_by_role("alert").filter(has_text="Write what the avatar should say").is_visible()
    assert made.page.evaluate("document.activeElement.id") == "script"
    assert not any(call[:2] == ("POST", "clips") for call in api.calls)


def test_a_refusal_says_what_happened_and_what_to_do(studio) -> None:
    refusal = {
        "status": 429,
        "code": "concurrency_limit_exceeded",
        "detail": "3 of at most 3 clips are being made.",
    }
    page = studio(FakeApi(refuse=refusal))[0].page
    page.get_by_role("textbox", name="Script").fill("One more")
    page.get_by_role("button", name="Generate video").click()
    alert = page.get_by_role("alert").filter(has_text="3 of at most 3 clips")
    alert.wait_for()
    assert "Wait for one of your clips to finish" in alert.inner_text()


def test_the_voice_follows_the_face_until_somebody_chooses(studio) -> None:
    page = studio()[0].page
    assert page.locator("#voice").input_value() == "joe"
    page.get_by_role("radio", name="Martin").check()
    assert page.locator("#voice").input_value() == "gongitsune-en"
    page.locator("#voice").select_option("kumo")
    page.get_by_role("radio", name="Lena").check()
    assert page.locator("#voice").input_value() == "kumo"


def test_backgrounds_are_offered_only_for_transparent_avatars(studio) -> None:
    page = studio()[0].page
    assert not page.get_by_role("group", name="Background").is_visible()
    page.get_by_role("radio", name="Koji").check()
    assert page.get_by_role("group", name="Background").is_visible()


def test_clips_are_searched_filtered_and_deleted_after_a_question(studio) -> None:
    made, api = studio()
    page = made.page
    assert page.locator(".clip").count() == 5
    page.get_by_label("Search clips").fill("parcel")
    page.wait_for_selector(".clip:only-child")
    page.get_by_label("Search clips").fill("")
    page.locator("#clip-status").select_option("failed")
    page.wait_for_selector(".clip:only-child")
    assert page.locator(".clip-failure").is_visible()
    page.get_by_role("button", name="Delete: Please hold the line.").click()
    page.get_by_role("button", name="Keep it").click()
    assert len(api.clips) == 5
    page.get_by_role("button", name="Delete: Please hold the line.").click()
    page.locator("#confirm-yes").click()
    page.get_by_text("Nothing found").wait_for()
    assert len(api.clips) == 4


def test_progress_is_shown_and_heard_and_the_end_replaces_it(studio) -> None:
    made, api = studio(FakeApi())
    page = made.page
    page.get_by_role("textbox", name="Script").fill("Hello")
    page.get_by_role("button", name="Generate video").click()
    page.wait_for_selector("#progress-box:visible")
    api.clips[0] |= {
        "status": "running",
        "stage": "rendering",
        "progress": 40,
        "fragments": {"total": 5, "done": 2},
    }
    page.get_by_text("2 of 5 pieces are drawn.").wait_for()
    assert page.locator("#announce").inner_text() == "Drawing."
    failure = {"code": "provider_error", "message": "The voice could not be made."}
    api.clips[0] |= {"status": "failed", "stage": None, "progress": 40, "failure": failure}
    page.locator("#failure").get_by_text("choose another voice").wait_for()
    assert page.get_by_role("button", name="Generate").is_visible()


def test_markup_in_a_script_stays_text(studio) -> None:
    clips = library()
    clips[0]["script"] = "<img src=x onerror=document.title='hit'>"
    made, _ = studio(FakeApi(clips=clips))
    assert made.page.get_by_text("<img src=x", exact=False).first.is_visible()
    assert made.page.title() == "Studio · Parley"


def test_the_theme_can_be_chosen_and_is_remembered(studio) -> None:
    page = studio()[0].page
    page.get_by_role("button", name="Dark colours").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_an_account_without_avatars_and_clips_is_told_what_to_do(studio, site, tab) -> None:
    made = tab()
    api = FakeApi()
    api.avatars = []
    made.page.route("**/api/v1/**", api)
    sign_in(made.page, site)
    made.page.get_by_text("There are no avatars yet").wait_for()
    made.page.get_by_text("No clips yet").wait_for()
