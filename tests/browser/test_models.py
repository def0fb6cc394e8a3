"""The page of models, and choosing one, in every size and theme."""

from typing import Any

import pytest

from project.accounts.models import Role, User
from tests.browser.conftest import PASSWORD
from tests.browser.fake_api import FakeApi, avatar
from tests.browser.live.fake_session import wait_for
from tests.browser.test_pages import CONTRAST

SIZES = [(1440, 900), (390, 844), (320, 640)]
NO_CLIPS = "No worker draws clips with {} at the moment (queue batch.{})."
NAMED = "document.querySelector('#model option:nth-child(2)')?.text === 'Wav2Lip'"
NO_SESSIONS = "No worker draws live sessions with {} at the moment (queue live.{})."


def so(page: Any, expression: str) -> None:
    """Wait until something is true in a page. Playwright's own waiting evaluates strings within the page,
    which its content security policy forbids wherever the first look is not enough."""
    wait_for(lambda: page.evaluate(expression), page.wait_for_timeout, 20)


def model(name: str, **facts: Any) -> dict[str, Any]:
    return {
        "id": name,
        "name": name.title(),
        "summary": "Makes the mouth of a portrait or a filmed person move with the voice.",
        "licence": "Research and other non-commercial use",
        "backend": "local",
        "configured": True,
        "available": True,
        "reason": None,
        "reasons": {"clips": None, "sessions": None},
        "queue": f"batch.{name}",
        "queue_depth": 0,
        "slots": {"total": 8, "free": 8},
        "workers": [],
        "measured": {"render_fps": None, "first_frame_ms": None},
        "profile": {"fps": 25, "width": None, "height": None, "sample_rate": 16000, "fragment_ms": 3000},
        **facts,
    }


def absent(name: str, *, clips: bool = True, sessions: bool = True) -> dict[str, Any]:
    why = {
        "clips": NO_CLIPS.format(name, name) if clips else None,
        "sessions": NO_SESSIONS.format(name, name) if sessions else None,
    }
    return model(name, reasons=why, available=not clips, reason=why["clips"], slots={"total": 0, "free": 0})


def worker(name: str, **facts: Any) -> dict[str, Any]:
    return {
        "name": name,
        "device": "NVIDIA H200 (cuda:0)",
        "memory_mb": 141_000,
        "free_mb": 120_400,
        "fps": 412.6,
        "first_frame_ms": 84.2,
        "problem": "",
        **facts,
    }


def catalogue() -> list[dict[str, Any]]:
    missing = "FLASHTALK_URL is not set."
    broken = "The file wav2lip/wav2lip256-with-a-name-that-goes-on-and-on-and-on.pth is not there."
    none = {"total": 0, "free": 0}
    return [
        absent("mock"),
        absent("musetalk", clips=False),
        model(
            "wav2lip",
            queue_depth=124,
            slots={"total": 16, "free": 3},
            measured={"render_fps": 412.6, "first_frame_ms": 84.2},
            workers=[worker("gpu0@render-1"), worker("gpu1@render-1", fps=None, problem=broken)],
        ),
        model("viseme", measured={"render_fps": 61.3, "first_frame_ms": 118.0}),
        model(
            "flashtalk",
            configured=False,
            backend="direct_ws",
            reason=missing,
            reasons={"clips": missing, "sessions": missing},
            slots=none,
        ),
    ]


@pytest.fixture
def signed_in(live_server, tab):
    def open_page(path="/models/", models=None, api=None, role=Role.CUSTOMER, **options):
        User.objects.create_user("ada@example.com", PASSWORD, role=role)
        api = api or FakeApi()
        api.models = catalogue() if models is None else models
        made = tab(**options)
        made.page.route("**/api/v1/**", api)
        made.page.goto(f"{live_server.url}/login/?next={path}")
        made.page.get_by_label("E-mail address").fill("ada@example.com")
        made.page.get_by_label("Password").fill(PASSWORD)
        made.page.get_by_role("button", name="Sign in").click()
        made.page.wait_for_url(f"{live_server.url}{path}")
        return made, api

    return open_page


def sound(made) -> None:
    assert made.overflow() <= 0
    assert made.page.evaluate(CONTRAST) == []
    assert made.unnamed() == []
    assert made.broken_rules() == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_page_of_models_fits_and_can_be_read(signed_in, width, height, theme) -> None:
    made, _ = signed_in(role=Role.ADMIN, width=width, height=height, theme=theme)
    made.page.wait_for_selector("[data-model=viseme]")
    sound(made)


def test_those_that_can_be_used_come_first_and_the_others_say_why(signed_in) -> None:
    made, _ = signed_in(role=Role.ADMIN)
    page = made.page
    page.wait_for_selector("[data-model=viseme]")
    shown = page.eval_on_selector_all("#here > li", "nodes => nodes.map(node => node.dataset.model)")
    assert shown == ["wav2lip", "viseme", "musetalk", "mock"]
    tags = page.eval_on_selector_all("#here .tag", "nodes => nodes.map(node => node.textContent)")
    assert tags == ["Ready", "Ready", "Clips only", "Not available"]
    wav2lip = page.locator("[data-model=wav2lip]").inner_text()
    for text in ("124", "3 of 16", "412.6", "84", "gpu1@render-1", "is not there", "117.6 GB of 137.7 GB"):
        assert text in wav2lip, text
    assert "live sessions with musetalk" in page.locator("[data-model=musetalk]").inner_text()
    assert "No worker draws with it" in page.locator("[data-model=mock]").inner_text()
    assert "FLASHTALK_URL is not set." in page.locator("#others").inner_text()
    assert page.locator("#summary").inner_text() == "2 of 5 ready"


def test_an_answer_that_fails_is_said_and_the_next_one_clears_it(signed_in) -> None:
    made, api = signed_in(models=[])
    page = made.page
    so(page, "!document.querySelector('#here[aria-busy]')")
    working = api.answer
    api.answer = lambda *_: (503, {"status": 503, "code": "unavailable", "detail": "Away for a moment."})
    page.reload()
    page.wait_for_selector("#failure:not([hidden])")
    assert "Away for a moment." in page.locator("#failure").inner_text()
    api.answer, api.models = working, catalogue()
    page.wait_for_selector("[data-model=viseme]")
    assert page.locator("#failure").is_hidden()


def two_models(index: int, **facts: Any) -> dict[str, Any]:
    """A face that is ready for three; only with its first one can something stand behind it."""
    made = avatar(index) | facts
    models = ["viseme", "wav2lip", "mock"]
    first = {"status": "ready", "progress": 100, "failure": None, "width": 512, "height": 640}
    made["preparations"] = [
        first | {"model": name, "has_alpha": made["has_alpha"] and name == "viseme"} for name in models
    ]
    return made | {"models": models}


def choosable() -> list[dict[str, Any]]:
    """Models that say nothing but whether they can be used."""
    return [model("viseme"), model("wav2lip") | {"name": "Wav2Lip"}, absent("mock")]


@pytest.fixture
def studio(signed_in):
    def open_studio(**options):
        api = FakeApi(avatars=[two_models(0), avatar(1), two_models(3, has_alpha=True)])
        made, api = signed_in("/", models=choosable(), api=api, **options)
        made.page.wait_for_selector("#avatars .avatar")
        so(made.page, "document.querySelector('#model option:nth-child(2)')?.text === 'Wav2Lip'")
        return made, api

    return open_studio


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_face_that_is_ready_for_several_models_lets_people_choose(studio, width, height) -> None:
    made, _ = studio(width=width, height=height)
    options = made.page.locator("#model option").all()
    assert [option.inner_text() for option in options] == ["Viseme", "Wav2Lip", "Mock (not available now)"]
    assert [option.is_disabled() for option in options] == [False, False, True]
    assert "mouth of a portrait" in made.page.locator("#model-hint").inner_text()
    sound(made)
    made.page.locator("input[value=avt_1]").check(force=True)
    assert made.page.locator("#model-field").is_hidden()


def test_the_studio_asks_for_the_model_that_was_chosen_and_for_no_other(studio) -> None:
    made, api = studio()
    page = made.page
    page.locator("#script").fill("Hello to all of you.")
    page.locator("#generate").click()
    page.wait_for_selector("#stop:not([hidden])")
    first = next(body for method, path, body in api.calls if (method, path) == ("POST", "clips"))
    assert "model" not in first  # its own model needs no asking for
    page.reload()
    so(page, NAMED)
    page.locator("#model").select_option("wav2lip")
    page.locator("#script").fill("Hello to all of you.")
    page.locator("#generate").click()
    page.wait_for_selector("#stop:not([hidden])")
    chosen = [body for method, path, body in api.calls if (method, path) == ("POST", "clips")][-1]
    assert (chosen["avatar"], chosen["model"]) == ("avt_0", "wav2lip")


def test_the_choice_is_remembered_for_faces_that_have_it(studio) -> None:
    made, _ = studio()
    page = made.page
    page.locator("#model").select_option("wav2lip")
    page.locator("input[value=avt_1]").check(force=True)
    page.locator("input[value=avt_3]").check(force=True)
    assert page.locator("#model").input_value() == "wav2lip"
    page.reload()
    so(page, "document.querySelector('#model')?.value === 'wav2lip'")


def test_a_background_is_offered_where_the_chosen_model_leaves_room_for_one(studio) -> None:
    made, _ = studio()
    page = made.page
    page.locator("input[value=avt_3]").check(force=True)
    assert page.locator("#background").is_visible()
    page.locator("#model").select_option("wav2lip")
    assert page.locator("#background").is_hidden()


def test_a_model_that_went_away_meanwhile_is_said_and_no_longer_offered(studio) -> None:
    made, api = studio()
    page = made.page
    page.locator("#model").select_option("wav2lip")
    page.locator("#script").fill("Hello to all of you.")
    detail = NO_CLIPS.format("wav2lip", "wav2lip")
    error = {"pointer": "/model", "code": "model_not_available", "detail": detail}
    api.refuse = {"status": 400, "code": "model_not_available", "detail": detail, "errors": [error]}
    api.models = [model("viseme"), absent("wav2lip")]
    page.locator("#generate").click()
    page.wait_for_selector("#failure:not([hidden])")
    assert "No worker draws clips with wav2lip" in page.locator("#failure").inner_text()
    so(page, "document.querySelector('#model').value === 'viseme'")
    assert page.locator("#model option[value=wav2lip]").is_disabled()
