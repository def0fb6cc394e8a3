"""The call page against a session that speaks the contract: joining, talking, breaking, ending."""

from pathlib import Path

import pytest

from tests.browser.live.fake_session import CONSENT, SESSION, TOKEN, wait_for
from tests.browser.test_pages import CONTRAST

SIZES = [(1440, 900), (390, 844), (320, 568)]


def words(page) -> str:
    return page.locator("#status-words").inner_text()


def test_the_token_leaves_the_address_and_consent_comes_before_everything(fake, lobby) -> None:
    made = lobby()
    page = made.page
    page.get_by_role("button", name="Agree and start talking").wait_for()
    assert page.url == f"{fake.url}/live/{SESSION}"
    assert page.get_by_text(CONSENT).is_visible()
    assert page.evaluate("performance.getEntriesByType('navigation').length") == 1
    assert fake.joins == []  # nothing is joined, recorded or listened to yet
    assert page.evaluate("globalThis.parley") is None
    assert made.broken_rules() == []


def test_a_written_question_is_answered_with_captions_and_a_transcript(fake, call) -> None:
    made = call()
    page = made.page
    page.get_by_label("Write a message").fill("Hello there")
    page.get_by_role("button", name="Send").click()
    page.locator("#caption").get_by_text("You said: Hello there.").wait_for()
    page.locator("#caption").get_by_text("And this is the second sentence.").wait_for()
    turns = page.locator("#turns .turn")
    assert turns.nth(0).inner_text().split() == ["You", "Hello", "there"]
    assert "You said: Hello there. And this is the second sentence." in turns.nth(1).inner_text()
    page.locator("#caption:empty").wait_for(state="attached")
    assert made.broken_rules() == []


def test_words_appear_as_they_are_spoken_and_not_before(fake, call) -> None:
    page = call().page
    fake.speech_seconds = 2.5
    page.get_by_label("Write a message").fill("Slowly")
    page.get_by_label("Write a message").press("Enter")
    page.locator(".turn[data-who=avatar] .said").get_by_text("You said: Slowly.").wait_for()
    assert page.locator(".turn[data-who=avatar] .said").inner_text() == "You said: Slowly."
    assert (
        page.locator(".turn[data-who=avatar] .coming").inner_text().strip()
        == "And this is the second sentence."
    )


def test_the_avatar_stops_on_request_and_what_was_heard_is_marked(fake, call) -> None:
    page = call().page
    fake.speech_seconds = 20
    assert page.locator("#interrupt").is_disabled()
    page.get_by_label("Write a message").fill("A long story")
    page.get_by_label("Write a message").press("Enter")
    page.locator("#caption").get_by_text("You said").wait_for()
    page.locator("#main").focus()
    page.keyboard.press("Escape")
    page.locator(".turn[data-who=avatar]").get_by_text("interrupted").wait_for()
    assert page.locator(".turn[data-who=avatar] .said").inner_text() == "You said"
    assert page.locator("#caption").inner_text() == ""


def test_what_is_being_said_shows_before_it_is_final(fake, call) -> None:
    page = call().page
    fake.emit(type="transcript.partial", text="where is my")
    page.locator(".turn.partial").get_by_text("where is my").wait_for()
    fake.emit(type="transcript.final", turn=1, text="Where is my parcel?")
    page.locator(".turn:not(.partial)").get_by_text("Where is my parcel?").wait_for()
    assert page.locator(".turn.partial").count() == 0


def test_the_microphone_is_heard_and_muting_silences_it(fake, call) -> None:
    page = call().page
    wait_for(lambda: fake.microphone_frames > 5, page.wait_for_timeout)
    page.get_by_role("button", name="Mute").click()
    page.wait_for_timeout(400)  # what is still on its way
    before = fake.microphone_frames
    page.wait_for_timeout(1500)
    assert fake.microphone_frames == before
    page.get_by_role("button", name="Unmute").click()
    wait_for(lambda: fake.microphone_frames > before, page.wait_for_timeout)


def test_the_space_bar_talks_while_muted(fake, call) -> None:
    page = call().page
    page.get_by_role("button", name="Mute").click()
    page.locator("#main").focus()
    page.keyboard.down("Space")
    wait_for(lambda: fake.messages("mic.start"), page.wait_for_timeout)
    page.keyboard.up("Space")
    wait_for(lambda: fake.messages("mic.stop"), page.wait_for_timeout)
    page.get_by_label("Write a message").press("Space")  # a space in a text box stays one
    assert len(fake.messages("mic.start")) == 1


def test_push_to_talk_holds_the_floor_while_the_button_is_held(fake, call) -> None:
    page = call().page
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Hold the button or the space bar").check()
    page.get_by_role("button", name="Done").click()
    button = page.get_by_role("button", name="Hold to talk")
    box = button.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.get_by_role("button", name="Let go to send").wait_for()
    wait_for(lambda: fake.messages("mic.start"), page.wait_for_timeout)
    page.mouse.up()
    wait_for(lambda: fake.messages("mic.stop"), page.wait_for_timeout)


@pytest.fixture
def holding(fake, call):
    """A call in which the talk button is held down."""
    page = call().page
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Hold the button or the space bar").check()
    page.get_by_role("button", name="Done").click()
    box = page.get_by_role("button", name="Hold to talk").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    wait_for(lambda: fake.messages("mic.start"), page.wait_for_timeout)
    return page


@pytest.mark.parametrize("leave", ["hidden", "pagehide", "blur"])
def test_a_page_that_is_left_lets_go_of_the_talk_button(fake, holding, leave) -> None:
    holding.evaluate(
        """(leave) => {
          if (leave !== "hidden") return dispatchEvent(new Event(leave));
          Object.defineProperty(document, "hidden", { get: () => true, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        leave,
    )
    wait_for(lambda: fake.messages("mic.stop"), holding.wait_for_timeout)
    holding.get_by_role("button", name="Hold to talk").wait_for()
    holding.mouse.up()
    holding.wait_for_timeout(500)
    assert len(fake.messages("mic.stop")) == 1


def test_going_to_another_page_lets_go_of_the_talk_button(fake, holding) -> None:
    holding.goto("about:blank")
    wait_for(lambda: fake.messages("mic.stop"), holding.wait_for_timeout)


def test_a_lost_socket_lets_go_of_the_talk_button_and_says_so_when_it_is_back(fake, holding) -> None:
    fake.drop()
    holding.get_by_role("button", name="Hold to talk").wait_for()
    wait_for(lambda: fake.messages("mic.stop"), holding.wait_for_timeout)
    assert len(fake.joins) == 2
    holding.wait_for_selector("body[data-state=live]")
    holding.mouse.up()
    holding.mouse.down()  # and it can be pressed again
    wait_for(lambda: len(fake.messages("mic.start")) == 2, holding.wait_for_timeout)


def test_a_refused_microphone_leaves_typing(fake, lobby) -> None:
    made = lobby()
    page = made.page
    page.evaluate(
        "(() => { navigator.mediaDevices.getUserMedia = () =>"
        " Promise.reject(new DOMException('no', 'NotAllowedError')); })()"
    )
    page.locator("#join").click()
    page.get_by_text("The microphone is not allowed. You can type").wait_for()
    page.wait_for_selector("body[data-state=live]")
    page.get_by_label("Write a message").fill("I type")
    page.get_by_label("Write a message").press("Enter")
    page.locator("#caption").get_by_text("You said: I type").wait_for()


def test_blocked_sound_asks_for_one_press(fake, lobby) -> None:
    page = lobby().page
    page.evaluate(
        "(() => { const play = HTMLMediaElement.prototype.play;"
        " HTMLMediaElement.prototype.play = function () {"
        " return this.muted || navigator.userActivation.isActive && globalThis.pressed"
        " ? play.call(this) : Promise.reject(new DOMException('no', 'NotAllowedError')); }; })()"
    )
    page.locator("#join").click()
    button = page.get_by_role("button", name="Turn the sound on")
    button.wait_for()
    assert page.evaluate("document.getElementById('video').muted") is True
    page.evaluate("globalThis.pressed = true")
    button.click()
    button.wait_for(state="hidden")
    assert page.evaluate("document.getElementById('video').muted") is False


def test_a_lost_socket_comes_back_where_it_broke_off(fake, call) -> None:
    page = call().page
    page.get_by_label("Write a message").fill("Before")
    page.get_by_label("Write a message").press("Enter")
    page.locator(".turn[data-who=avatar][data-done=true]").wait_for()
    seen, offers = len(fake.events), fake.offers
    fake.drop()
    wait_for(lambda: len(fake.joins) == 2, page.wait_for_timeout)
    assert fake.joins[1] == seen
    page.wait_for_selector("body[data-state=live]")
    assert fake.offers == offers  # the picture never stopped: no new peer
    page.get_by_label("Write a message").fill("After")
    page.get_by_label("Write a message").press("Enter")
    page.locator("#caption").get_by_text("You said: After").wait_for()
    assert page.locator(".turn").count() == 4


def test_a_socket_that_only_looks_alive_is_replaced(fake, call) -> None:
    page = call().page
    fake.deaf = True
    page.evaluate("dispatchEvent(new Event('online'))")  # the network changed: is it still there?
    wait_for(lambda: len(fake.joins) == 2, page.wait_for_timeout)
    fake.deaf = False
    page.wait_for_selector("body[data-state=live]")


def test_a_dead_peer_is_replaced_and_the_words_say_so(fake, call) -> None:
    page = call().page
    page.evaluate(
        "(() => { globalThis.told = [];"
        " parley.addEventListener('state', (e) => told.push(e.detail.state)); })()"
    )
    page.wait_for_timeout(2500)  # so that there is a measurement to compare with
    fake.kill_peers()
    wait_for(lambda: page.evaluate("told.length") == 2, page.wait_for_timeout, 20)
    assert page.evaluate("told") == ["reconnecting", "live"]
    assert fake.offers == 2
    assert len(fake.messages("rtc.restart")) == 1
    now = "document.getElementById('video').currentTime"

    def moves() -> bool:
        at = page.evaluate(now)  # of the old stream, perhaps, for a moment
        page.wait_for_timeout(300)
        return page.evaluate(now) > at

    wait_for(moves, page.wait_for_timeout)


def test_an_offer_without_an_answer_is_made_again(fake, lobby) -> None:
    fake.deaf_to_offers = 1
    page = lobby().page
    page.locator("#join").click()
    page.wait_for_selector("body[data-state=live]", timeout=20_000)
    assert fake.offers == 2


def test_waiting_in_line_shows_the_place_and_ends_by_itself(fake, lobby) -> None:
    fake.status, fake.position = "queued", 3
    made = lobby()
    page = made.page
    page.locator("#join").click()
    page.get_by_role("heading", name="Number 3 in line").wait_for()
    assert fake.offers == 0
    fake.place("queued", 1)
    page.get_by_role("heading", name="Number 1 in line").wait_for()
    fake.place("active")
    page.wait_for_selector("body[data-state=live]")
    assert not page.locator("#waiting").is_visible()


def test_a_second_window_takes_over_and_the_first_says_so_and_stops(fake, call) -> None:
    first = call().page
    second = call().page
    first.get_by_role("heading", name="Continued in another window").wait_for()
    first.wait_for_timeout(1500)
    assert len(fake.joins) == 2  # the first did not fight back
    assert second.locator("body[data-state=live]").count() == 1
    first.get_by_role("button", name="Continue here").click()
    first.wait_for_selector("body[data-state=live]")
    second.get_by_role("heading", name="Continued in another window").wait_for()


def test_a_reload_takes_the_conversation_up_again_with_its_words(fake, call) -> None:
    page = call().page
    page.get_by_label("Write a message").fill("Remember this")
    page.get_by_label("Write a message").press("Enter")
    page.locator(".turn[data-who=avatar][data-done=true]").wait_for()
    page.reload()
    page.wait_for_selector("body[data-state=live]")
    assert fake.joins[-1] == 0
    assert page.locator(".turn").first.get_by_text("Remember this").is_visible()
    assert page.locator(".turn").count() == 2


@pytest.mark.parametrize(
    ("code", "told"), [("token_expired", "was not used in time"), ("forbidden_origin", "may not open")]
)
def test_a_refused_join_is_told_and_not_tried_again(fake, lobby, code, told) -> None:
    fake.refusal = (4403, code)
    page = lobby().page
    page.locator("#join").click()
    page.get_by_text(told).wait_for()
    page.wait_for_timeout(1500)
    assert len(fake.joins) == 1


def test_a_wrong_link_is_told_before_anything_is_joined(fake, lobby) -> None:
    page = lobby(token="wrong").page
    page.get_by_text("This link is not valid").wait_for()
    assert fake.joins == []


def test_nobody_joins_while_it_is_unknown_what_is_recorded(fake, tab) -> None:
    made = tab()
    made.page.route("**/info", lambda route: route.abort())
    made.page.goto(f"{fake.url}/live/{SESSION}#{TOKEN}")
    made.page.get_by_text("The service cannot be reached").wait_for()
    assert not made.page.locator("#join").is_visible()
    made.page.unroute("**/info")
    made.page.get_by_role("button", name="Try again").click()
    made.page.get_by_text(CONSENT).wait_for()
    assert fake.joins == []


def test_troubles_of_the_service_are_told_in_words(fake, call) -> None:
    page = call().page
    fake.emit(type="error", code="storage_unavailable", detail="S3 is away")
    page.get_by_text("the recording may have a gap").first.wait_for()
    fake.place("active", ends_in_seconds=1779)
    page.wait_for_timeout(300)
    assert "ends in" not in page.locator("#banner").inner_text()
    fake.place("active", ends_in_seconds=60)
    page.get_by_text("This conversation ends in 1:00").wait_for()


def test_a_failed_answer_is_told_in_words_of_its_own(fake, call) -> None:
    page = call().page
    fake.emit(type="error", turn=2, code="language_model_unreachable", detail="The connection failed.")
    page.locator("#banner").get_by_text("The answer could not be made. Please say it again.").wait_for()


def test_an_answer_shows_where_it_comes_from_and_a_human_is_announced(fake, call) -> None:
    page = call().page
    sources = [
        {"document": "doc_1", "name": "prices.pdf", "page": 12, "passage": 3},
        {"document": "doc_1", "name": "prices.pdf", "page": 2, "passage": 0},
        {"document": "doc_2", "name": "notes.md", "page": None, "passage": 0},
    ]
    fake.emit(type="reply.sources", turn=8, sources=sources)
    fake.emit(type="reply.delta", turn=8, text="A service costs 60 euros.")
    fake.emit(type="reply.utterance", turn=8, text="A service costs 60 euros.", start_ms=1, end_ms=2)
    page.locator(".turn-from").get_by_text("From prices.pdf (pages 2, 12) · notes.md").wait_for()
    fake.emit(type="session.handover", turn=8, reason="wants a human")
    page.locator("#banner").get_by_text("A human colleague was asked to join you.").wait_for()
    page.locator(".turn-note").get_by_text("A human colleague").wait_for()


def test_ending_asks_first_and_offers_the_transcript(fake, call) -> None:
    made = call(accept_downloads=True)
    page = made.page
    page.get_by_label("Write a message").fill("Goodbye")
    page.get_by_label("Write a message").press("Enter")
    page.locator(".turn[data-who=avatar][data-done=true]").wait_for()
    page.get_by_role("button", name="End", exact=True).click()
    page.get_by_role("button", name="Go on talking").click()
    assert fake.messages("session.end") == []
    page.get_by_role("button", name="End", exact=True).click()
    page.get_by_role("button", name="End it").click()
    page.get_by_role("heading", name="The conversation has ended").wait_for()
    with page.expect_download() as saving:
        page.get_by_role("button", name="Download the transcript").click()
    text = Path(saving.value.path()).read_text()
    assert text.startswith("You: Goodbye\n\nLena: You said: Goodbye.")
    assert page.evaluate("document.getElementById('video').srcObject?.active ?? false") is False


def test_measured_figures_are_in_the_settings(fake, call) -> None:
    page = call().page
    page.get_by_label("Write a message").fill("Measure")
    page.get_by_label("Write a message").press("Enter")
    page.locator(".turn[data-who=avatar][data-done=true]").wait_for()
    page.get_by_role("button", name="Settings").click()
    page.get_by_text("Voice begins").wait_for()
    assert page.locator("#figures").get_by_text("103 ms").is_visible()
    page.locator("#figures").get_by_text("H264").wait_for()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_state_fits_reads_well_and_breaks_no_rule(fake, lobby, width, height, theme) -> None:
    made = lobby(width=width, height=height, theme=theme)
    page = made.page

    def look() -> None:
        assert made.overflow() <= 0
        assert page.evaluate(CONTRAST) == []
        assert made.unnamed() == []
        assert made.broken_rules() == []

    page.locator("#join").wait_for()
    look()
    page.locator("#join").click()
    page.wait_for_selector("body[data-state=live].seen")
    page.get_by_label("Write a message").fill("How do I return a parcel that came broken?")
    page.get_by_label("Write a message").press("Enter")
    page.locator("#caption").get_by_text("You said").wait_for()
    look()
    page.get_by_role("button", name="Settings").click()
    look()
    page.get_by_role("button", name="Done").click()
    fake.emit(type="session.ended", reason="max_duration")
    page.get_by_text("longest time").wait_for()
    look()


def test_the_token_is_in_no_address_that_was_asked_for_but_the_socket(fake, lobby) -> None:
    made = lobby()
    asked = []
    made.page.on("request", lambda request: asked.append(request.url))
    made.page.reload()
    made.page.locator("#join").wait_for()
    assert asked
    assert not [url for url in asked if TOKEN in url]
