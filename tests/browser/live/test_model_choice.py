"""Choosing on the gallery which model draws the face of a conversation."""

import pytest

from project.accounts.models import User
from tests.browser.conftest import PASSWORD
from tests.browser.live.fake_rest import FakeRest
from tests.browser.live.fake_session import SESSION
from tests.browser.test_models import NAMED, NO_SESSIONS, absent, model, so, sound, two_models

SIZES = [(1440, 900), (390, 844), (320, 640)]


@pytest.fixture
def gallery(fake, tab):
    def open_gallery(**options):
        User.objects.create_user("ada@example.com", PASSWORD)
        api = FakeRest()
        api.avatars[0] = two_models(0)
        api.models = [model("viseme"), model("wav2lip") | {"name": "Wav2Lip"}, absent("mock", clips=False)]
        made = tab(**options)
        page = made.page
        page.route("**/api/v1/**", api)
        page.goto(f"{fake.url}/login/?next=/live/")
        page.get_by_label("E-mail address").fill("ada@example.com")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_selector("#start:enabled")
        so(page, NAMED)
        return made, api

    return open_gallery


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_it_is_asked_only_where_a_face_is_ready_for_several(gallery, width, height) -> None:
    made, _ = gallery(width=width, height=height)
    options = made.page.locator("#model option").all()
    assert [option.is_disabled() for option in options] == [False, False, True]
    sound(made)
    made.page.locator("input[value=avt_1]").check(force=True)
    assert made.page.locator("#model-field").is_hidden()


def test_the_session_is_opened_with_the_model_that_was_chosen(gallery) -> None:
    made, api = gallery()
    made.page.locator("#model").select_option("wav2lip")
    made.page.locator("#start").click()
    made.page.wait_for_url(f"**/live/{SESSION}")
    body = next(body for method, path, body in api.calls if (method, path) == ("POST", "sessions"))
    assert (body["avatar"], body["model"]) == ("avt_0", "wav2lip")


def test_a_model_that_is_refused_says_why(gallery) -> None:
    made, api = gallery()
    made.page.locator("#model").select_option("wav2lip")
    detail = NO_SESSIONS.format("wav2lip", "wav2lip")
    error = {"pointer": "/model", "code": "model_not_available", "detail": detail}
    api.refuse = {"status": 400, "code": "model_not_available", "detail": detail, "errors": [error]}
    api.models = [model("viseme"), absent("wav2lip")]
    made.page.locator("#start").click()
    made.page.wait_for_selector("#failure:not([hidden])")
    assert "No worker draws live sessions with wav2lip" in made.page.locator("#failure").inner_text()
    so(made.page, "document.querySelector('#model').value === 'viseme'")
