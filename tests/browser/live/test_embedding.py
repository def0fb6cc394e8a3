"""The element in a page of another site, under a strict content policy of that site."""

import json

import pytest

from tests.browser.live.fake_session import CONSENT, SESSION, TOKEN, wait_for

PAGE = """<!doctype html><html lang="en"><head><title>Shop</title>
<script type="module" src="{url}/static/live/parley-widget.js"></script></head>
<body><h1>Shop</h1><parley-avatar src="/start" label="Talk with Lena"></parley-avatar></body></html>"""


@pytest.fixture
def shop(fake, tab):
    """A site of its own origin, whose server hands out a session."""

    def open_shop(**options):
        made = tab(**options)
        page = made.page
        site = f"http://localhost:{fake.port}/shop"  # another host than the service's
        socket = fake.url.replace("http", "ws")
        policy = f"default-src 'none'; script-src {fake.url}; img-src data:; "
        policy += f"connect-src 'self' {fake.url} {socket}"
        headers = {"Content-Security-Policy": policy, "Content-Type": "text/html"}
        fake.site["/shop"] = PAGE.format(url=fake.url), headers
        access = {"join_url": f"{fake.url}/live/{SESSION}#{TOKEN}"}
        fake.site["/start"] = json.dumps(access), {"Content-Type": "application/json"}
        page.goto(site)
        return made

    return open_shop


def test_a_customer_talks_in_the_page_of_a_shop(fake, shop) -> None:
    made = shop()
    page = made.page
    page.get_by_role("button", name="Talk with Lena").click()
    page.get_by_text(CONSENT).wait_for()
    assert fake.joins == []  # told before anything is joined
    page.get_by_role("button", name="Agree and start").click()
    page.locator("parley-avatar .state").get_by_text("Connected").wait_for()
    wait_for(lambda: fake.microphone_frames > 3, page.wait_for_timeout)
    page.get_by_label("Write a message").fill("From a shop")
    page.get_by_role("button", name="Send").click()
    page.get_by_text("You said: From a shop.").wait_for()
    clock = "document.querySelector('parley-avatar').shadowRoot.querySelector('video').currentTime"
    wait_for(lambda: page.evaluate(clock) > 0.5, page.wait_for_timeout)
    assert made.unnamed() == []
    assert made.broken_rules() == []


def test_the_page_hears_what_happens_and_can_begin_again(fake, shop) -> None:
    fake.record = False
    page = shop(width=390, height=844).page
    page.evaluate(
        "(() => { globalThis.told = []; for (const name of ['state', 'transcript', 'ended'])"
        " addEventListener(`parley-${name}`, (e) => told.push(name)); })()"
    )
    page.get_by_role("button", name="Talk with Lena").click()
    page.locator("parley-avatar .state").get_by_text("Connected").wait_for()
    fake.emit(type="transcript.final", turn=1, text="Hello")
    page.get_by_role("button", name="End", exact=True).click()
    page.get_by_text("You ended the conversation.").wait_for()
    assert {"state", "transcript", "ended"} == set(page.evaluate("told"))
    assert page.get_by_role("button", name="Talk with Lena").is_visible()


def test_an_element_that_is_taken_out_leaves(fake, shop) -> None:
    fake.record = False
    page = shop().page
    page.get_by_role("button", name="Talk with Lena").click()
    page.locator("parley-avatar .state").get_by_text("Connected").wait_for()
    page.evaluate("document.querySelector('parley-avatar').remove()")
    wait_for(lambda: not fake.sockets, page.wait_for_timeout)
    page.wait_for_timeout(1500)
    assert len(fake.joins) == 1


def test_a_refused_start_is_told(fake, shop) -> None:
    fake.known = False
    page = shop().page
    page.get_by_role("button", name="Talk with Lena").click()
    page.get_by_text("This link is not valid").wait_for()
    assert page.get_by_role("button", name="Talk with Lena").is_enabled()
