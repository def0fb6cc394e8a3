"""Nobody gets at another's things: keys, lists, uploads, files, previews and browsers."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest

from project.bench.stack import EmbeddedStack
from tests.bad_input import cast
from tests.bad_input.access import filled, patterns
from tests.bad_input.cast import Victim
from tests.stack.customers import PASSWORD, client, customer, refused
from tests.stack.test_bad_input import CLIPS, ended
from tests.support.media import voice, wav
from tests.support.pictures import plain


@pytest.fixture(scope="module")
def victim(stack: EmbeddedStack, avatar: str) -> Victim:
    return cast.victim(stack, avatar, "victim@example.com")


@pytest.fixture(scope="module")
def stranger(stack: EmbeddedStack) -> Iterator[httpx.Client]:
    with client(stack, customer(stack, "stranger@example.com")) as stranger:
        yield stranger


@pytest.fixture
def nobody(stack: EmbeddedStack) -> Iterator[httpx.Client]:
    with client(stack) as nobody:
        yield nobody


# --- Keys and lists (every address: test_access.py) ---------------------------------------------


def test_a_wrong_key_is_worth_nothing(stack: EmbeddedStack, victim: Victim) -> None:
    prefix = "_".join(victim.key.split("_")[:2])
    for key in ("x", prefix, f"{prefix}_", f"{prefix}_{'0' * 64}", victim.key[:-1], victim.key + "0"):
        with client(stack, key) as wrong:
            refused(
                wrong.get(f"{CLIPS}/{victim.names['clip_id']}"), 401, wrong.get("/api/v1/me").json()["code"]
            )


def test_lists_hold_ones_own_alone(stranger: httpx.Client, victim: Victim) -> None:
    clip = victim.names["clip_id"]
    for query in ("", f"?ids={clip}", "?status=succeeded", "?q=mine", f"?avatar={victim.names['avatar_id']}"):
        assert stranger.get(CLIPS + query).json()["results"] == []
    assert stranger.get("/api/v1/webhook-endpoints").json()["results"] == []
    assert stranger.get("/api/v1/sessions").json()["results"] == []
    assert stranger.get("/api/v1/recordings").json()["results"] == []
    personas = [persona["id"] for persona in stranger.get("/api/v1/personas").json()["results"]]
    assert victim.names["persona_id"] not in personas
    keys = [key["id"] for key in stranger.get("/api/v1/api-keys").json()["results"]]
    assert victim.names["key_id"] not in keys


def test_anothers_upload_cannot_be_used(stack: EmbeddedStack, stranger: httpx.Client, victim: Victim) -> None:
    with client(stack, victim.key) as owner:
        sound = owner.post("/api/v1/uploads", files={"file": ("a.wav", wav(voice(1.0)))}).json()["id"]
        scene = owner.post("/api/v1/uploads", files={"file": ("a.png", plain())}).json()["id"]
    wish = {"avatar": victim.names["avatar_id"]}
    refused(stranger.post(CLIPS, json={**wish, "upload": sound}), 400, "upload_not_found", "/upload")
    answer = stranger.post(CLIPS, json={**wish, "script": "Hi.", "background": {"upload": scene}})
    refused(answer, 400, "upload_not_found", "/background/upload")


def test_a_key_of_one_account_cannot_replay_anothers_answer(
    stack: EmbeddedStack, stranger: httpx.Client, victim: Victim
) -> None:
    wish, headers = {"avatar": victim.names["avatar_id"], "script": "Mine."}, {"Idempotency-Key": "same-key"}
    with client(stack, victim.key) as owner:
        mine = owner.post(CLIPS, json=wish, headers=headers).json()["id"]
        theirs = stranger.post(CLIPS, json=wish, headers=headers)
        assert theirs.json()["id"] != mine
        assert "Idempotency-Replayed" not in theirs.headers
        owner.post(f"{CLIPS}/{mine}/cancel")
    stranger.post(f"{CLIPS}/{theirs.json()['id']}/cancel")


# --- Files and previews -----------------------------------------------------------------------------


def _changed(url: str, **changes: str | None) -> str:
    query = {**dict(parse_qsl(urlsplit(url).query)), **changes}
    kept = {name: value for name, value in query.items() if value is not None}
    return urlsplit(url)._replace(query=urlencode(kept)).geturl()


def test_an_object_needs_its_whole_signature(victim: Victim) -> None:
    result = victim.clip["result"]
    assert isinstance(result, dict)
    for name in ("video_url", "poster_url", "srt_url", "vtt_url"):
        url = result[name]
        given = dict(parse_qsl(urlsplit(url).query))
        assert httpx.get(url).status_code == 200
        signature = given["X-Amz-Signature"]
        other = signature[:-1] + ("0" if signature[-1] != "0" else "1")
        for bad in (
            url.partition("?")[0],
            _changed(url, **{"X-Amz-Signature": other}),
            _changed(url, **{"X-Amz-Signature": None}),
            _changed(url, **{"X-Amz-Expires": "604800"}),
            _changed(url, **{"X-Amz-Date": "20200101T000000Z"}),
            url.replace("/result/", "/other/"),
        ):
            assert httpx.get(bad).status_code in (400, 403), bad
        for method in ("PUT", "DELETE", "POST"):
            assert httpx.request(method, url).status_code in (400, 403, 405)
        assert 0 < int(given["X-Amz-Expires"]) <= 3600


def test_a_link_that_has_lapsed_opens_nothing(stack: EmbeddedStack, victim: Victim) -> None:
    code = (
        "from storage.s3 import store; from generation.clips.models import Clip; "
        f"key = Clip.objects.get(pk={victim.names['clip_id']!r}).video_key; "
        "print('URL', store().presign_get(key, 1, 'a.mp4', 'video/mp4', inline=True))"
    )
    printed = stack.manage("shell", "-c", code)
    url = next(line.split()[1] for line in printed.splitlines() if line.startswith("URL "))
    time.sleep(2)
    assert httpx.get(url).status_code in (400, 403)


def test_the_bucket_tells_a_stranger_nothing(victim: Victim) -> None:
    result = victim.clip["result"]
    assert isinstance(result, dict)
    parts = urlsplit(result["video_url"])
    origin, bucket = f"{parts.scheme}://{parts.netloc}", parts.path.split("/")[1]
    for path in ("/", f"/{bucket}", f"/{bucket}?list-type=2", f"/{bucket}/clips/", f"/{bucket}/?acl"):
        for method in ("GET", "PUT", "DELETE", "POST"):
            assert httpx.request(method, origin + path).status_code in (400, 403, 405), (method, path)


def test_a_preview_token_opens_one_clip_alone(
    stack: EmbeddedStack, nobody: httpx.Client, victim: Victim, avatar: str
) -> None:
    url = str(victim.clip["preview_url"])
    token = dict(parse_qsl(urlsplit(url).query))["token"]
    with client(stack, victim.key) as owner:
        second = owner.post(CLIPS, json={"avatar": avatar, "script": "Also mine."}).json()["id"]
        ended(owner, second)
    base = f"{CLIPS}/{victim.names['clip_id']}/preview"
    below = (".m3u8", "/video.m3u8", "/audio.m3u8", "/video/init.mp4", "/video/0.m4s")
    for end in below:
        assert nobody.get(base + end, params={"token": token}).status_code == 200, end
        for bad in ("", "x", token[:-1], token + "x", token.swapcase()):
            assert nobody.get(base + end, params={"token": bad}).status_code in (401, 403), (end, bad)
        other = f"{CLIPS}/{second}/preview{end}"
        assert nobody.get(other, params={"token": token}).status_code in (401, 403), other
    # It opens the preview, and nothing else of the same clip.
    for end in ("", "/video", "/events", "/poster"):
        path = f"{CLIPS}/{victim.names['clip_id']}{end}"
        assert nobody.get(path, params={"token": token}).status_code == 401, path


# --- Browsers -------------------------------------------------------------------------------------


def _policy(answer: httpx.Response) -> dict[str, list[str]]:
    parts = [part.split() for part in answer.headers["content-security-policy"].split(";") if part.strip()]
    return {part[0]: part[1:] for part in parts}


@contextmanager
def _signed_in(stack: EmbeddedStack, email: str, password: str) -> Iterator[httpx.Client]:
    with client(stack) as browser:
        browser.get("/login/")
        form = {"username": email, "password": password, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        answer = browser.post("/login/", data=form, headers={"Referer": f"{stack.base_url}/login/"})
        assert answer.status_code == 302, answer.text
        yield browser


@pytest.fixture(scope="module")
def admin(stack: EmbeddedStack) -> Iterator[httpx.Client]:
    with _signed_in(stack, *stack.admin) as admin:
        yield admin


PAGES = (
    "/",
    "/account/",
    "/account/password/",
    "/admin/",
    "/admin/generation/avatar/add/",
    "/admin/accounts/user/",
)


@pytest.mark.parametrize("page", [*PAGES, "/login/", "/api/docs/"])
def test_a_page_is_strict_with_browsers(admin: httpx.Client, nobody: httpx.Client, page: str) -> None:
    answer = (nobody if page in ("/login/", "/api/docs/") else admin).get(page)
    assert answer.status_code == 200, answer.headers
    policy = _policy(answer)
    assert "'unsafe-inline'" not in policy["script-src"]
    assert not [source for source in policy["script-src"] if source in ("*", "data:", "https:", "http:")]
    assert policy["object-src"] == policy["base-uri"] == policy["frame-ancestors"] == ["'none'"]
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    scripts = re.findall(r"<script(?![^>]*\bsrc=)([^>]*)>", answer.text)
    inline = [attributes for attributes in scripts if "nonce" not in attributes and "json" not in attributes]
    assert inline == []
    assert not re.search(r"<[^>]+\son(click|load|error|submit|change)=", answer.text)


def test_cookies_stay_with_the_browser(stack: EmbeddedStack) -> None:
    with client(stack) as browser:
        browser.get("/login/")
        token = browser.cookies["csrftoken"]
        form = {"username": stack.admin[0], "password": stack.admin[1], "csrfmiddlewaretoken": token}
        cookies = browser.post("/login/", data=form).headers.get_list("set-cookie")
    login = next(cookie for cookie in cookies if cookie.startswith("parley_login="))
    assert "HttpOnly" in login
    assert all("SameSite=Lax" in cookie for cookie in cookies)


def test_a_signed_in_browser_needs_the_csrf_token(stack: EmbeddedStack, admin: httpx.Client) -> None:
    refused(admin.post("/api/v1/me/rotate-callback-secret"), 403, "csrf_failed")
    refused(admin.post(CLIPS, json={"avatar": "lena", "script": "Hi."}), 403, "csrf_failed")
    refused(admin.post(CLIPS, json={}, headers={"X-CSRFToken": "x" * 64}), 403, "csrf_failed")
    for page in ("/account/password/", "/logout/", "/admin/accounts/user/add/", "/login/"):
        assert admin.post(page, data={"a": "b"}).status_code == 403, page
    right = {"X-CSRFToken": admin.cookies["csrftoken"], "Origin": "https://evil.example"}
    assert admin.post(CLIPS, json={}, headers=right).status_code == 403
    right["Origin"] = stack.base_url
    assert admin.post(CLIPS, json={}, headers=right).status_code == 400


def test_a_customer_is_no_admin(stack: EmbeddedStack, victim: Victim) -> None:
    assert victim.key
    with _signed_in(stack, "victim@example.com", PASSWORD) as browser:
        for path in [
            filled(pattern, victim.names) for pattern in patterns() if pattern.startswith("/admin/")
        ]:
            if "login" in path or "logout" in path:
                continue
            assert browser.get(path).status_code in (302, 403, 404), path
        assert browser.get("/").status_code == 200


def test_the_login_sends_nobody_elsewhere(stack: EmbeddedStack) -> None:
    with client(stack) as browser:
        for target in ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"):
            browser.get("/login/")
            form = {"username": stack.admin[0], "password": stack.admin[1], "next": target}
            form["csrfmiddlewaretoken"] = browser.cookies["csrftoken"]
            answer = browser.post("/login/", params={"next": target}, data=form)
            assert answer.headers["location"] == "/", target
            browser.cookies.clear()


def test_another_host_name_is_refused(stack: EmbeddedStack) -> None:
    with client(stack, Host="evil.example") as browser:
        assert browser.get("/login/").status_code == 400
