"""Gallery, history, one conversation and the console, with a REST API that lives in the browser."""

import pytest

from project.accounts.models import Role, User
from tests.browser.conftest import PASSWORD
from tests.browser.live.fake_rest import FakeRest, shelf, talk
from tests.browser.live.fake_session import SESSION, wait_for
from tests.browser.test_pages import CONTRAST

SIZES = [(1440, 900), (390, 844), (320, 640)]
PAGES = {
    "/live/": "#start:enabled",
    "/sessions/": ".talk-link",
    "/sessions/ses_3": ".line",
    "/sessions/ses_3/latency": ".fall",
    "/live/console/": "#rows tr",
}
RUNNING = {
    "id": "ses_1",
    "owner": "olga@example.com",
    "avatar_name": "Lena",
    "status": "active",
    "phase": "speaking",
    "started_at": "2026-01-05T10:00:00Z",
    "host": "web1-1234",
    "warnings": [],
    "metrics": {"llm_first_token_ms": 151.2, "tts_first_pcm_ms": 98.0},
}
WAITING = RUNNING | {"id": "ses_2", "owner": "a-long-name-of-somebody@example.com", "status": "queued"}


@pytest.fixture
def signed_in(fake, tab):
    """A page of the site, signed in, with a fake API."""

    def open_page(path, api=None, role=Role.CUSTOMER, **options):
        User.objects.create_user("ada@example.com", PASSWORD, role=role)
        api = api or FakeRest()
        made = tab(**options)
        page = made.page
        page.route("**/api/v1/**", api)
        page.goto(f"{fake.url}/login/?next={path}")
        page.get_by_label("E-mail address").fill("ada@example.com")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{fake.url}{path}")
        return made, api

    return open_page


def sound(made) -> None:
    assert made.overflow() <= 0
    assert made.page.evaluate(CONTRAST) == []
    assert made.unnamed() == []
    assert made.broken_rules() == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_page_fits_reads_well_and_breaks_no_rule(fake, signed_in, width, height, theme) -> None:
    made, _ = signed_in("/account/password/", role=Role.OPERATOR, width=width, height=height, theme=theme)
    made.page.route(
        "**/live/console/sessions", lambda route: route.fulfill(json={"results": [RUNNING, WAITING]})
    )
    for path, sign in PAGES.items():
        made.page.goto(fake.url + path)
        made.page.wait_for_selector(sign)
        sound(made)


# --- The gallery -------------------------------------------------------------------------------


def test_what_was_chosen_becomes_a_call_with_the_token_in_no_address(fake, signed_in) -> None:
    made, api = signed_in("/live/")
    page = made.page
    page.get_by_role("radio", name="Martin").check()
    page.get_by_label("Persona").select_option(label="Museum guide")
    page.get_by_role("switch", name="Record this conversation").uncheck()
    addresses = []
    page.on("framenavigated", lambda frame: addresses.append(frame.url))
    page.get_by_role("button", name="Talk with Martin").click()
    page.wait_for_selector("body[data-state=live]")  # no second question: it joins at once
    assert addresses == [f"{fake.url}/live/{SESSION}"]
    (body,) = [body for method, path, body in api.calls if (method, path) == ("POST", "sessions")]
    assert body == {"avatar": "avt_1", "record": False, "voice": "gongitsune-en", "persona": "psn_2"}
    assert made.broken_rules() == []


def test_the_persona_that_knows_the_service_is_chosen_until_somebody_chooses_another(signed_in) -> None:
    api = FakeRest()
    api.personas[1]["slug"] = "support"
    page = signed_in("/live/", api)[0].page
    page.wait_for_selector("#start:enabled")
    assert page.locator("#persona").input_value() == "psn_2"
    page.get_by_label("Persona").select_option(label="Front desk")
    page.reload()
    page.wait_for_selector("#start:enabled")
    assert page.locator("#persona").input_value() == "psn_1"


def test_a_language_narrows_personas_and_voices(signed_in) -> None:
    page = signed_in("/live/")[0].page
    page.wait_for_selector("#start:enabled")
    page.get_by_label("Language").select_option("ja")
    assert page.locator("#persona").evaluate("(s) => [...s.options].map((o) => o.text)") == ["案内係"]
    assert page.locator("#voice").input_value() == "gongitsune"
    assert page.locator("#voice option:enabled[value=joe]").count() == 0


def test_a_refusal_is_explained_beside_the_button(signed_in) -> None:
    refusal = {
        "status": 429,
        "code": "concurrency_limit_exceeded",
        "detail": "You have 4 of at most 4 sessions.",
    }
    page = signed_in("/live/", FakeRest(refuse=refusal))[0].page
    page.locator("#start:enabled").click()
    page.get_by_role("alert").get_by_text("4 of at most 4 sessions").wait_for()
    assert page.locator("#start").get_attribute("aria-busy") is None


# --- Conversations -----------------------------------------------------------------------------


def test_conversations_are_searched_filtered_and_erased_after_a_question(signed_in) -> None:
    made, api = signed_in("/sessions/")
    page = made.page
    page.wait_for_selector(".talk-link")
    assert page.locator(".talk-item").count() == 6
    page.get_by_label("Search conversations").fill("Koji")
    page.wait_for_selector(".talk-item:only-child")
    page.get_by_label("Search conversations").fill("")
    page.get_by_label("Status").select_option("active,queued,created")
    page.wait_for_selector(".talk-item:only-child")
    page.get_by_label("Status").select_option("")
    wait_for(lambda: page.locator(".talk-item").count() == 6, page.wait_for_timeout)
    page.get_by_role("button", name="Erase: Koji").click()
    page.get_by_role("button", name="Keep it").click()
    assert len(api.talks) == 6
    page.get_by_role("button", name="Erase: Koji").click()
    page.locator("#confirm-yes").click()
    wait_for(lambda: page.locator(".talk-item").count() == 5, page.wait_for_timeout)
    assert "ses_3" not in [row["id"] for row in api.talks]


def test_a_question_asked_again_at_once_gets_its_own_answer(signed_in) -> None:
    made, api = signed_in("/sessions/")
    page = made.page
    page.wait_for_selector(".talk-link")
    page.evaluate(
        """() => {
            const press = (selector) => document.querySelector(selector).click();
            const erase = (line) => press(`.talk-item:nth-child(${line}) button`);
            erase(2), press("#confirm [value=no]"), erase(3), press("#confirm-yes");
        }"""
    )
    page.get_by_text("The conversation was erased.").wait_for()
    page.wait_for_timeout(300)
    assert [row["id"] for row in api.talks] == ["ses_1", "ses_2", "ses_4", "ses_5", "ses_6"]


def test_an_account_without_conversations_is_told_what_to_do(signed_in) -> None:
    page = signed_in("/sessions/", FakeRest([]))[0].page
    page.get_by_role("heading", name="No conversations yet").wait_for()
    assert page.get_by_role("link", name="New conversation").get_attribute("href") == "/live/"


def test_a_recording_that_is_being_made_appears_by_itself(signed_in) -> None:
    rows = shelf()
    made, api = signed_in("/sessions/ses_2", FakeRest(rows))
    page = made.page
    page.get_by_text("The recording is being put together.").wait_for()
    assert not page.locator("#player").is_visible()
    api.talks[1]["recording"]["status"] = "ready"
    page.locator("#player").wait_for()
    assert (
        page.get_by_role("link", name="Download: Video")
        .get_attribute("href")
        .endswith("/recordings/rec_2/video?download=1")
    )
    assert page.locator(".line").count() == 5
    assert page.locator(".line").nth(2).get_by_text("interrupted").is_visible()


def test_a_line_plays_the_recording_from_there_and_is_marked(signed_in) -> None:
    page = signed_in("/sessions/ses_3")[0].page
    page.wait_for_selector(".line")
    # A film of ten seconds, drawn here: what seeks is the page.
    page.evaluate(
        "(() => { const v = document.getElementById('player');"
        " let at = 0; Object.defineProperty(v, 'currentTime', { get: () => at, set: (to) => {"
        " at = to; v.dispatchEvent(new Event('seeked')); } }); v.play = () => Promise.resolve(); })()"
    )
    page.get_by_role("button", name="Do I have to pay").click()
    assert page.evaluate("document.getElementById('player').currentTime") == 11.4
    assert page.locator(".line[aria-current=true]").inner_text().endswith("Do I have to pay for that?")


def test_a_conversation_that_is_not_there_is_told(signed_in) -> None:
    page = signed_in("/sessions/ses_404")[0].page
    page.get_by_text("There is no such conversation").wait_for()


def test_a_conversation_that_was_not_recorded_says_so(signed_in) -> None:
    page = signed_in("/sessions/ses_4")[0].page
    page.get_by_text("This conversation was not recorded.").wait_for()
    page.get_by_role("button", name="Erase").click()
    page.locator("#confirm-yes").click()
    page.wait_for_url("**/sessions/")


def test_markup_in_what_was_said_stays_text(signed_in) -> None:
    rows = [talk(3, avatar_name="<img src=x onerror=document.title='hit'>")]
    page = signed_in("/sessions/", FakeRest(rows))[0].page
    page.get_by_role("link", name="<img src=x").wait_for()
    assert page.title() == "Conversations · Parley"


# --- The console -------------------------------------------------------------------------------


def test_staff_see_what_goes_on_and_end_it_after_a_question(signed_in) -> None:
    made, _ = signed_in("/account/password/", role=Role.OPERATOR)
    page = made.page
    rows, ended = [RUNNING, WAITING], []
    page.route("**/live/console/sessions", lambda route: route.fulfill(json={"results": rows}))

    def end(route):
        ended.append(route.request.url)
        rows.pop(0)
        route.fulfill(status=204)

    page.route("**/live/console/ses_1/end", end)
    page.goto(page.url.replace("/account/password/", "/live/console/"))
    page.get_by_text("1 of 100 places taken, 1 waiting").wait_for()
    assert page.get_by_role("cell", name="151 ms").first.is_visible()
    page.get_by_role("button", name="End: Lena, olga@example.com").click()
    page.get_by_role("button", name="Let them talk").click()
    assert ended == []
    page.get_by_role("button", name="End: Lena, olga@example.com").click()
    page.get_by_role("button", name="End it").click()
    page.get_by_text("0 of 100 places taken, 1 waiting").wait_for()
    assert len(ended) == 1


def test_an_answer_shows_what_it_was_drawn_from(signed_in) -> None:
    made, _ = signed_in("/sessions/ses_3")
    told = made.page.locator(".line-sources")
    told.wait_for()
    assert told.all_inner_texts() == ["From returns.pdf (pages 3, 12) · prices.md"]
    assert made.page.locator(".line").last.inner_text().count("returns.pdf") == 1
