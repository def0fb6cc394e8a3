"""Nobody gets at another's things: every address is tried, found by walking the resolver, not by a list."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from project.bench.stack import EmbeddedStack
from tests.stack.customers import PASSWORD, client, customer, refused
from tests.stack.test_bad_input import CLIPS, ended
from tests.support.media import voice, wav
from tests.support.pictures import plain

FAVICON = "/static/web/favicon.svg"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")

# What anybody may see: signing in, what the service is called, that it lives, how its API looks.
PUBLIC = {
    *((method, path) for method in ("GET", "HEAD", "OPTIONS") for path in ("/login/", "/admin/login/")),
    *(("POST", "/login/"), ("OPTIONS", "/logout/")),
    *(
        (method, path)
        for method in ("GET", "HEAD")
        for path in ("/livez", "/readyz", "/api/schema/", "/api/docs/")
    ),
}
# What every customer sees, of their own or of the shared catalogue.
OWN = {
    *(("GET", path) for path in ("/api/v1/me", "/api/v1/models", "/api/v1/voices", "/api/v1/avatars")),
    *(
        ("GET", f"/api/v1/{name}")
        for name in (
            *("clips", "api-keys", "webhook-endpoints", "callback-deliveries"),
            *("sessions", "recordings", "personas", "providers"),
        )
    ),
    ("POST", "/api/v1/me/rotate-callback-secret"),
}


def public(names: dict[str, str]) -> set[tuple[str, str]]:
    """With the page of a call: whoever is sent there has a token, and nothing is on it without."""
    call = f"/live/{names['session_id']}"
    pages = {(method, call + slash) for method in ("GET", "HEAD") for slash in ("", "/")}
    return PUBLIC | pages | {("OPTIONS", f"{call}/info")}  # which origins may ask with a token


@dataclass(frozen=True)
class Victim:
    """A customer with one of everything, and the addresses of it."""

    key: str
    clip: dict[str, object]
    names: dict[str, str]


@pytest.fixture(scope="module")
def victim(stack: EmbeddedStack, avatar: str) -> Victim:
    key = customer(stack, "victim@example.com")
    with client(stack, key) as api:
        made = api.post(CLIPS, json={"avatar": avatar, "script": "This is mine."})
        assert made.status_code == 202, made.text
        clip = ended(api, made.json()["id"])
        assert clip["status"] == "succeeded", clip
        hook = api.post("/api/v1/webhook-endpoints", json={"url": "http://127.0.0.2:9/hook"}).json()
        api.post(f"/api/v1/webhook-endpoints/{hook['id']}/test")
        sent = api.get(f"/api/v1/webhook-endpoints/{hook['id']}/deliveries").json()["results"]
        own_key = api.get("/api/v1/api-keys").json()["results"][0]["id"]
        session = api.post("/api/v1/sessions", json={"avatar": avatar}).json()["id"]
        persona = api.post("/api/v1/personas", json={"name": "Mine alone"}).json()["id"]
        written = {"name": "mine.txt", "text": "The code of my door is one two three four."}
        document = api.post(f"/api/v1/personas/{persona}/documents", json=written).json()["id"]
    delivery = sent[0]["id"] if sent else "whd_0"
    names = {"clip_id": clip["id"], "endpoint_id": hook["id"], "delivery_id": delivery, "key_id": own_key}
    names |= {"session_id": session, "recording_id": "rec_0"}
    names |= {"persona_id": persona, "document_id": document}
    return Victim(key, clip, {**names, "avatar_id": avatar, "kind": "video", "index": "0"})


@pytest.fixture(scope="module")
def stranger(stack: EmbeddedStack) -> Iterator[httpx.Client]:
    with client(stack, customer(stack, "stranger@example.com")) as stranger:
        yield stranger


@pytest.fixture
def nobody(stack: EmbeddedStack) -> Iterator[httpx.Client]:
    with client(stack) as nobody:
        yield nobody


# --- Every address -------------------------------------------------------------------------------


def patterns() -> list[str]:
    """Every address of the service, with <names> where something is filled in."""
    return sorted(set(_walk(get_resolver().url_patterns, "/")))


def _walk(entries: list[URLPattern | URLResolver], before: str) -> Iterator[str]:
    for entry in entries:
        text = before + _plain(str(entry.pattern))
        if isinstance(entry, URLResolver):
            yield from _walk(entry.url_patterns, text)
        else:
            yield text


def _plain(pattern: str) -> str:
    """Turn `path` converters and regular expressions into <names>."""
    text = re.sub(r"<\w+:(\w+)>", r"<\1>", pattern)
    text = re.sub(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)", r"<\1>", text)
    return text.removeprefix("^").removesuffix("$").removesuffix(r"\Z").replace("\\", "")


def addresses(names: dict[str, str]) -> list[str]:
    return [re.sub(r"<(\w+)>", lambda found: names.get(found[1], "1"), each) for each in patterns()]


def test_the_walk_finds_the_addresses() -> None:
    found = patterns()
    assert len(found) > 60
    for known in (
        "/api/v1/clips/<clip_id>/preview/<kind>/<index>.m4s",
        "/api/v1/webhook-endpoints/<endpoint_id>/deliveries/<delivery_id>/replay",
        "/admin/accounts/user/",
        "/account/",
        "/metrics",
    ):
        assert known in found


def _told(client: httpx.Client, method: str, path: str) -> int:
    """The status of an answer; one that streams on is not waited for."""
    body: dict[str, dict[str, str]] = {"json": {}} if method in ("POST", "PUT", "PATCH") else {}
    with client.stream(method, path, **body) as answer:  # type: ignore[arg-type]
        return answer.status_code


def test_nobody_sees_or_does_anything_without_a_key(nobody: httpx.Client, victim: Victim) -> None:
    asked = [(method, path) for path in addresses(victim.names) for method in METHODS]
    told = {each: _told(nobody, *each) for each in asked if each not in public(victim.names)}
    assert [each for each, status in told.items() if status >= 500] == []
    assert [each for each, status in told.items() if status < 300] == []
    # A page sends its visitors to the login, and nowhere else.
    for (method, path), status in told.items():
        if 300 <= status < 400:
            target = nobody.request(method, path).headers["location"]
            at_login = urlsplit(target).path in ("/login/", "/admin/login/")
            assert at_login or path in ("/favicon.ico", "/admin/login/") or path.startswith("/admin/"), (
                path,
                target,
            )


def test_a_wrong_key_is_worth_nothing(stack: EmbeddedStack, victim: Victim) -> None:
    prefix = "_".join(victim.key.split("_")[:2])
    for key in ("x", prefix, f"{prefix}_", f"{prefix}_{'0' * 64}", victim.key[:-1], victim.key + "0"):
        with client(stack, key) as wrong:
            refused(
                wrong.get(f"{CLIPS}/{victim.names['clip_id']}"), 401, wrong.get("/api/v1/me").json()["code"]
            )


def test_anothers_things_do_not_exist(stranger: httpx.Client, victim: Victim, stack: EmbeddedStack) -> None:
    asked = [(method, path) for path in addresses(victim.names) for method in METHODS[:5]]
    shared = f"/api/v1/avatars/{victim.names['avatar_id']}"
    told = {
        each: _told(stranger, *each)
        for each in asked
        if each not in public(victim.names) | OWN | {("GET", shared)}
        and not each[1].startswith("/api/v1/voices/")
    }
    assert [each for each, status in told.items() if status >= 500] == []
    assert [each for each, status in told.items() if status < 300] == []
    things = ("clip_id", "endpoint_id", "delivery_id", "key_id", "session_id", "persona_id", "document_id")
    theirs = [victim.names[name] for name in things]
    for (method, path), status in told.items():
        if any(name in path for name in theirs) and path.startswith("/api/"):
            assert status in (404, 405), (method, path, status)
    with client(stack, victim.key) as owner:  # and nothing of it was done
        assert owner.get(f"{CLIPS}/{victim.names['clip_id']}").json()["status"] == "succeeded"
        assert owner.get(f"/api/v1/webhook-endpoints/{victim.names['endpoint_id']}").status_code == 200
        session = owner.get(f"/api/v1/sessions/{victim.names['session_id']}").json()
        assert (session["status"], session["avatar"]) == ("created", victim.names["avatar_id"])
        persona = owner.get(f"/api/v1/personas/{victim.names['persona_id']}").json()
        assert persona["name"] == "Mine alone"
        documents = owner.get(f"/api/v1/personas/{persona['id']}/documents").json()["results"]
        assert [document["id"] for document in documents] == [victim.names["document_id"]]


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
        for path in [path for path in addresses(victim.names) if path.startswith("/admin/")]:
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
