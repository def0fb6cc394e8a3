"""From signing in to a downloaded video, on the real stack: nothing is faked."""

import io
import re
from pathlib import Path

import av
import pytest

from project.bench.stack import EmbeddedStack
from tests.support import pictures

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

MINUTES = 60_000  # milliseconds, as Playwright counts
# Long enough that the preview plays while the rest is still being drawn.
SCRIPT = (
    "Good morning to everybody. This video was made in a browser, from the first word to the last. "
    "You can watch it while it is still being drawn. The voice was made first, sentence by sentence. "
    "Then the pictures followed, piece by piece. At the end they were joined, and here they are."
)


@pytest.fixture(scope="module")
def stack(chromium, tmp_path_factory):
    """One stack for the module; its catalogue gets a small avatar that is ready soon."""
    # Only one of the built-in avatars: all of them take a minute to prepare.
    with EmbeddedStack(tmp_path_factory.mktemp("home"), env={"BUILTIN_AVATARS": "lena"}) as running:
        with running.client as client:
            picture = pictures.encoded(pictures.portrait().resize((256, 320)))
            made = client.post("/api/v1/avatars", data={"name": "Robin"}, files={"image": ("r.png", picture)})
            assert made.status_code == 202, made.text
            path = f"/api/v1/avatars/{made.json()['id']}"
            running.wait_until(
                lambda: client.get(path).json()["status"] != "preparing", "Robin is prepared", 400
            )
            assert client.get(path).json()["status"] == "ready"
        yield running


@pytest.fixture
def signed_in(stack, tab):
    def open_tab(path="/", **options):
        made = tab(accept_downloads=True, **options)
        page = made.page
        email, password = stack.admin
        page.goto(f"{stack.base_url}/login/?next={path}")
        page.get_by_label("E-mail address").fill(email)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{stack.base_url}{path}")
        return made

    return open_tab


def choose_robin(page) -> None:
    page.wait_for_selector(".avatar")
    page.get_by_role("radio", name="Robin").first.check()
    page.get_by_role("textbox", name="Script").fill(SCRIPT)


@pytest.mark.parametrize("width", [1440, 390])
def test_a_script_becomes_a_video_that_plays_and_downloads(signed_in, width) -> None:
    made = signed_in(width=width, height=860)
    page = made.page
    choose_robin(page)
    page.get_by_text(re.compile("^About .* second")).wait_for()
    previews = []
    page.on("response", lambda answer: previews.append(answer.url) if "/preview/" in answer.url else None)
    page.get_by_role("button", name="Generate video").click()
    page.get_by_text("Live preview").wait_for(timeout=4 * MINUTES)
    page.wait_for_selector("#downloads:visible", timeout=4 * MINUTES)
    for kind in ("video", "audio"):
        assert any(f"/{kind}/0.m4s" in url for url in previews), f"the preview had no {kind}"
    page.wait_for_selector("#stage-video[src]")
    assert (
        page.evaluate(
            "new Promise((ok) => { const v = document.getElementById('stage-video');"
            " v.readyState ? ok(v.videoWidth) : v.onloadeddata = () => ok(v.videoWidth); })"
        )
        == 256
    )
    with page.expect_download() as saving:
        page.locator("#downloads [data-download=video]").click()
    video = Path(saving.value.path()).read_bytes()
    with av.open(io.BytesIO(video)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        assert container.duration / av.time_base > 2
    assert page.locator(".clip").first.get_by_text("Finished").is_visible()
    assert made.overflow() <= 0
    assert made.unnamed() == []
    assert made.broken_rules() == []


def test_a_voice_can_be_heard_before_it_is_chosen(signed_in) -> None:
    made = signed_in()
    made.page.wait_for_selector("#voice optgroup", state="attached")
    made.page.get_by_role("button", name="Listen").click()
    made.page.get_by_role("button", name="Stop").wait_for(timeout=MINUTES)
    assert made.broken_rules() == []


def test_a_clip_can_be_cancelled_from_the_page(signed_in) -> None:
    page = signed_in().page
    choose_robin(page)
    page.get_by_role("textbox", name="Script").fill("A sentence that goes on for a while. " * 40)
    page.get_by_role("button", name="Generate video").click()
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.wait_for_selector("#generate:visible", timeout=MINUTES)
    page.locator(".clip").first.get_by_text("Cancelled").wait_for()


def test_the_mouth_is_dragged_in_the_admin_and_prepared_again(signed_in, stack) -> None:
    made = signed_in("/admin/")
    page = made.page
    page.goto(f"{stack.base_url}/admin/generation/avatar/")
    page.get_by_role("link", name="Robin").first.click()
    canvas = page.locator("#avatar-canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.05, box["y"] + box["height"] * 0.05)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.1, steps=5)
    page.mouse.up()
    left = float(page.locator("[data-side=left]").input_value())
    right = float(page.locator("[data-side=right]").input_value())
    assert left == pytest.approx(5, abs=1.5)
    assert right == pytest.approx(20, abs=1.5)
    canvas.focus()
    page.keyboard.press("ArrowRight")
    assert float(page.locator("[data-side=left]").input_value()) == pytest.approx(left + 0.5, abs=0.05)
    page.locator("[data-mouth-found]").click()
    page.get_by_role("button", name="Save and prepare again").click()
    page.wait_for_load_state()
    with stack.client as client:
        robin = next(a for a in client.get("/api/v1/avatars").json()["results"] if a["name"] == "Robin")
        assert robin["mouth_box_corrected"] is True
        path = f"/api/v1/avatars/{robin['id']}"
        stack.wait_until(
            lambda: client.get(path).json()["status"] != "preparing", "Robin is ready again", 300
        )
        assert client.get(path).json()["status"] == "ready"
        assert client.get(path).json()["version"] >= 2
    assert made.broken_rules() == []


def test_a_picture_without_a_face_is_refused_in_the_admin(signed_in, stack) -> None:
    page = signed_in("/admin/").page
    page.goto(f"{stack.base_url}/admin/generation/avatar/add/")
    picture = {"name": "wall.png", "mimeType": "image/png", "buffer": pictures.plain()}
    page.locator("input[type=file][name=image]").set_input_files(picture)
    page.locator("input[name=name]").fill("Wall")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("No face was found").first.wait_for()


def test_a_key_is_made_shown_once_used_and_revoked(signed_in, stack) -> None:
    made = signed_in("/account/")
    page = made.page
    page.get_by_role("button", name="New key").click()
    dialog = page.get_by_role("dialog", name="New API key")
    dialog.get_by_label("Name", exact=True).fill("From a test")
    dialog.get_by_role("button", name="Make key").click()
    page.wait_for_selector("#secret-dialog[open]")
    key = page.locator("#secret-text").inner_text()
    page.get_by_role("button", name="Done").click()
    with stack.client as client:
        headers = {"Authorization": f"Bearer {key}"}
        assert client.get("/api/v1/me", headers=headers).json()["api_key"]["name"] == "From a test"
        page.get_by_role("button", name="Revoke: From a test").click()
        page.locator("#confirm-yes").click()
        page.get_by_role("row").filter(has_text="From a test").get_by_text("Revoked").wait_for()
        assert client.get("/api/v1/me", headers=headers).status_code == 401
    assert key not in page.content()
    assert made.broken_rules() == []
