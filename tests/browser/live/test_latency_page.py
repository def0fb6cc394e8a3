"""Where the time of a conversation went, as somebody sees it."""

import json
from typing import Any

import pytest

from tests.browser.live.fake_rest import FakeRest, shelf, stage, timed
from tests.browser.live.fake_session import wait_for
from tests.browser.live.test_live_pages import signed_in  # noqa: F401 - a fixture

PAGE = "/sessions/ses_3/latency"
BARS = """(name) => {
  const label = [...document.querySelectorAll('.fall-name')].find((node) => node.textContent === name);
  const line = label.nextElementSibling;
  const { left, width } = line.getBoundingClientRect();
  return [...line.children].map((bar) => {
    const box = bar.getBoundingClientRect();
    return { from: (box.left - left) / width, to: (box.right - left) / width, text: bar.textContent };
  });
}"""


class Timed(FakeRest):
    """A REST API that tells these answers."""

    def __init__(self, change: Any) -> None:
        super().__init__(shelf())
        self._change = change
        self.asked: list[str] = []

    def _talk(self, method: str, talk_id: str, part: str) -> tuple[int, Any]:
        self.asked.append(part)
        status, told = super()._talk(method, talk_id, part)
        if part == "latency":
            told = json.loads(json.dumps(told))
            self._change(told)
        return status, told


@pytest.fixture
def opened(signed_in):  # noqa: F811
    def open_page(path=PAGE, api=None, **options):
        page = signed_in(path, api, **options)[0].page
        page.wait_for_selector("#body:not([hidden]), #empty:not([hidden]), #failure:not([hidden])")
        return page

    return open_page


def bars(page, lane: str) -> list[dict[str, float]]:
    """Left edge, width and label of the bars of a lane, as shares of its line."""
    return page.evaluate(BARS, lane)


def test_the_slowest_answer_is_open_and_its_bars_lie_where_their_times_are(opened) -> None:
    page = opened()
    assert page.locator(".answer").count() == 3
    assert page.locator("details[open] > .answer-head .answer-total").all_inner_texts() == ["1.30 s"]
    stages = timed(shelf()[2])["turns"][1]["stages"]
    end = next(one for one in stages if one["name"] == "playout")["from_ms"] * 1.25
    (listened,) = [one for one in stages if one["name"] == "endpoint"]
    (bar,) = bars(page, "End of the voice")
    assert bar["from"] == pytest.approx(0, abs=0.01)
    assert bar["to"] == pytest.approx(listened["to_ms"] / end, abs=0.01)
    spoken = [one for one in stages if one["name"] == "tts"]
    for bar, one in zip(bars(page, "Voice"), spoken, strict=False):
        assert bar["from"] == pytest.approx(one["from_ms"] / end, abs=0.01)
        assert bar["to"] == pytest.approx(min(1, one["to_ms"] / end), abs=0.01)


def test_the_whole_answer_shows_every_sentence(opened) -> None:
    page = opened()
    assert len(bars(page, "Heard")) == 1
    page.get_by_label("Show").select_option("whole")
    assert [bar["text"] for bar in bars(page, "Heard")] == ["1", "2"]
    assert bars(page, "Heard")[-1]["to"] == pytest.approx(1, abs=0.01)


def test_sentences_that_are_told_as_one_have_their_numbers(opened) -> None:
    def change(told: dict[str, Any]) -> None:
        told["turns"][1]["stages"].append(stage("playout", 6300, 12_000, piece=13, pieces=4))

    page = opened(api=Timed(change))
    page.get_by_label("Show").select_option("whole")
    assert [bar["text"] for bar in bars(page, "Heard")] == ["1", "2", "13–16"]  # noqa: RUF001


def test_keys_open_an_answer_and_its_table(opened) -> None:
    page = opened(PAGE + "#answer-5")
    assert page.locator("#answer-5 > details").evaluate("(details) => details.open")
    first = page.locator("#answer-1 > details > summary")
    first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#answer-1 .fall")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    table = page.get_by_role("table", name="Stages of the answer at 0:00")
    assert table.get_by_role("row").count() == 1 + 5
    assert table.get_by_role("row").nth(1).inner_text().split("\t")[:3] == [
        "Language model",
        "the answer",
        "30 ms",
    ]


def test_an_answer_is_told_in_words_to_who_cannot_see_its_bars(opened) -> None:
    summary = opened().locator("#answer-3 > details > summary")
    assert "Hi. My parcel came broken." in summary.inner_text()
    assert "interrupted" in summary.inner_text()
    assert summary.locator(".sr-only").inner_text() == (
        ": Listening 630 ms, Documents 30 ms, First word 160 ms, First sentence 260 ms, Voice 90 ms, "
        "Drawing 110 ms, Sending 20 ms"
    )


def test_figures_are_told_with_what_is_usual(opened) -> None:
    page = opened()
    assert page.locator(".wait dd").first.inner_text().startswith("1.18 s")
    rows = page.locator("#figures tr").all_inner_texts()
    assert rows[0].split("\t") == ["Answer heard after", "1.18 s", "1.77 s", "590 ms", "2.36 s", "3"]
    assert rows[3].split("\t")[1] == "61.4 fps"
    assert rows[4].split("\t")[0] == "a_figure_of_tomorrow"


def test_a_conversation_that_goes_on_shows_new_answers_and_keeps_what_is_open(opened) -> None:
    turns: list[Any] = []

    def change(told: dict[str, Any]) -> None:
        told["turns"] = told["turns"][: 1 + len(turns)]

    api = Timed(change)
    page = opened("/sessions/ses_1/latency", api)
    assert page.locator(".answer").count() == 1
    page.locator("#answer-1 > details > summary").focus()
    wait_for(lambda: api.asked.count("latency") == 2, page.wait_for_timeout, seconds=20)
    turns.append(1)
    wait_for(lambda: page.locator(".answer").count() == 2, page.wait_for_timeout, seconds=20)
    assert api.asked.count("transcript") == 2, "words are read with new answers alone"
    assert page.locator("#answer-1 > details").evaluate("(details) => details.open")
    assert page.evaluate("document.activeElement.closest('.answer').id") == "answer-1"


def test_an_answer_that_was_not_heard_or_has_no_stages_says_so(opened) -> None:
    def change(told: dict[str, Any]) -> None:
        told["turns"][0] |= {"waits": [], "stages": [stage("llm", 0, 20_000)], "status": "failed"}
        told["turns"][1] |= {"stages": []}

    page = opened(api=Timed(change))
    head = page.locator("#answer-1 > details > summary").inner_text()
    assert "not heard" in head
    assert "failed" in head
    page.get_by_text("The stages of this answer were not kept.").wait_for()


def test_what_is_not_there_or_has_no_answers_is_told(opened) -> None:
    page = opened("/sessions/ses_404/latency")
    page.get_by_text("There is no such conversation").wait_for()


def test_a_conversation_without_answers_says_so(opened) -> None:
    page = opened("/sessions/ses_6/latency")
    page.get_by_text("Nothing was answered in this conversation yet.").wait_for()


def test_markup_in_names_and_words_stays_text(opened) -> None:
    def change(told: dict[str, Any]) -> None:
        told["turns"][1]["stages"].append(
            stage("tool", 1, 2, label="<img src=x onerror=document.title='hit'>")
        )
        told["turns"][1]["stages"][0]["provider"] = "<b>hit</b>"

    page = opened(api=Timed(change))
    page.get_by_text("As a table").click()
    page.get_by_role("cell", name="<b>hit</b>").wait_for()
    assert page.title() == "Where the time went · Parley"


def test_a_conversation_leads_to_it_and_back(signed_in) -> None:  # noqa: F811
    page = signed_in("/sessions/ses_3")[0].page
    page.get_by_role("link", name="Latency").click()
    page.wait_for_url("**/sessions/ses_3/latency")
    page.get_by_role("link", name="Conversation with Koji").click()
    page.wait_for_url("**/sessions/ses_3")
