import pytest

from generation.clips.models import Clip
from generation.clips.wishes import Wish
from project.accounts.models import Role, User
from tests.support.clips import ready_avatar

pytestmark = pytest.mark.django_db(transaction=True)

SCRIPT = "Good morning to all of you. And here is the end."


@pytest.fixture
def client(api, alice):
    return api(alice)


@pytest.fixture
def post(client, avatar, broker, voice):
    def create(**wish):
        headers = wish.pop("headers", {})
        body = {"avatar": avatar.pk, "script": SCRIPT} | wish
        body = {name: value for name, value in body.items() if value is not ...}
        return client.post("/api/v1/clips", body, format="json", headers=headers)

    return create


def test_a_new_clip_is_accepted_and_says_where_it_is(post, client) -> None:
    answer = post(metadata={"order": 7})
    assert answer.status_code == 202
    clip = answer.json()
    assert answer.headers["Location"] == f"/api/v1/clips/{clip['id']}"
    assert answer.headers["Retry-After"] == "1"
    assert (clip["status"], clip["progress"], clip["fragments"]) == ("queued", 0, {"total": None, "done": 0})
    assert client.get(answer.headers["Location"]).json()["metadata"] == {"order": 7}


def test_it_is_accepted_while_the_broker_is_away(post, broker) -> None:
    broker.away = True
    assert post().status_code == 202


def test_a_finished_clip_has_links_and_says_where_the_time_went(post, client, broker) -> None:
    clip_id = post().json()["id"]
    broker.run()
    clip = client.get(f"/api/v1/clips/{clip_id}").json()
    assert clip["status"] == "succeeded"
    assert clip["result"]["video_url"].startswith("http")
    assert (clip["result"]["width"], clip["result"]["height"], clip["result"]["fps"]) == (160, 192, 25)
    assert clip["timings"]["finished_ms"] >= clip["timings"]["first_fragment_ms"] > 0


@pytest.mark.parametrize(
    ("wish", "code", "pointer"),
    [
        ({"script": ...}, "nothing_to_say", "/script"),
        ({"script": "  \n "}, "nothing_to_say", "/script"),
        ({"script": "🎉 😀"}, "nothing_to_say", "/script"),
        ({"script": "[pause 2s]"}, "nothing_to_say", "/script"),
        ({"script": "a" * 20_001}, "script_too_long", "/script"),
        ({"avatar": "avt_unknown"}, "avatar_not_found", "/avatar"),
        ({"voice": "nobody"}, "voice_not_found", "/voice"),
        ({"model": "wav2lip-9"}, "model_not_available", "/model"),
        ({"model": "viseme"}, "avatar_not_prepared_for_model", "/model"),
        ({"speed": 2.1}, "max_value", "/speed"),
        ({"speed": "fast"}, "invalid", "/speed"),
        ({"aspect_ratio": "3:1"}, "invalid_choice", "/aspect_ratio"),
        ({"captions": "loud"}, "invalid_choice", "/captions"),
        ({"background": "blue"}, "invalid_background", "/background"),
        ({"background": "#00ff00"}, "background_needs_transparency", "/background"),
        ({"background": {"upload": "upl_x"}}, "upload_not_found", "/background/upload"),
        ({"upload": "upl_x"}, "too_many_sources", "/upload"),
        ({"upload": "upl_x", "script": ...}, "upload_not_found", "/upload"),
        ({"audio_url": "http://127.0.0.1/a.wav", "script": ...}, "address_not_allowed", "/audio_url"),
        ({"audio_url": "file:///etc/passwd", "script": ...}, "invalid_url", "/audio_url"),
        ({"callback_url": "http://169.254.169.254/"}, "address_not_allowed", "/callback_url"),
        ({"metadata": {"long": "x" * 9000}}, "metadata_too_large", "/metadata"),
        ({"metadata": 5}, "not_a_dict", "/metadata"),
    ],
)
def test_a_wish_that_cannot_be_met_says_which_field_is_to_blame(post, wish, code, pointer) -> None:
    answer = post(**wish)
    assert answer.status_code == 400
    problem = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert [(e["code"], e["pointer"]) for e in problem["errors"]] == [(code, pointer)]
    assert not Clip.objects.exists()


def test_text_from_right_to_left_is_taken(post) -> None:
    assert post(script="مرحبا بالعالم 123").status_code == 202


def test_avatars_of_others_do_not_exist_for_me(post, mallory, objects) -> None:
    hers = ready_avatar(objects, owner=mallory)
    answer = post(avatar=hers.pk)
    assert answer.json()["errors"][0]["code"] == "avatar_not_found"


@pytest.mark.parametrize(
    ("change", "code"),
    [({"status": "preparing"}, "avatar_not_ready"), ({"archived": True}, "avatar_archived")],
)
def test_avatars_that_cannot_speak_are_refused(post, avatar, change, code) -> None:
    from django.utils import timezone

    fields = {"archived_at": timezone.now()} if change.pop("archived", False) else change
    type(avatar).objects.update(**fields)
    assert post().json()["errors"][0]["code"] == code


def test_the_same_key_makes_one_clip(post) -> None:
    headers = {"Idempotency-Key": "first"}
    first, second = post(headers=headers), post(headers=headers)
    assert first.json()["id"] == second.json()["id"]
    assert second.headers["Idempotency-Replayed"] == "true"
    assert Clip.objects.count() == 1
    other = post(headers=headers, script="Something else.")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


PATHS = ("", "/video", "/poster", "/captions.srt", "/captions.vtt", "/preview.m3u8", "/preview/video.m3u8")


@pytest.mark.parametrize("path", PATHS)
def test_clips_of_others_do_not_exist_for_me(post, api, mallory, broker, path) -> None:
    clip_id = post().json()["id"]
    broker.run()
    answer = api(mallory).get(f"/api/v1/clips/{clip_id}{path}")
    assert answer.status_code == 404
    assert api(mallory).post(f"/api/v1/clips/{clip_id}/cancel").status_code == 404
    assert api(mallory).delete(f"/api/v1/clips/{clip_id}").status_code == 404
    assert api(mallory).get("/api/v1/clips").json()["results"] == []


def test_an_operator_may_look_at_everybodys_clip(post, api, db) -> None:
    olga = User.objects.create_user("olga@example.com", role=Role.OPERATOR)
    assert api(olga).get(f"/api/v1/clips/{post().json()['id']}").status_code == 200


def test_an_unchanged_clip_is_not_sent_again(post, client, broker) -> None:
    url = f"/api/v1/clips/{post().json()['id']}"
    tag = client.get(url).headers["ETag"]
    assert client.get(url, headers={"If-None-Match": tag}).status_code == 304
    broker.run()
    changed = client.get(url, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


def test_files_are_found_at_a_link_once_they_are_there(post, client, broker) -> None:
    clip_id = post().json()["id"]
    early = client.get(f"/api/v1/clips/{clip_id}/video")
    assert (early.status_code, early.json()["code"]) == (409, "clip_not_finished")
    broker.run()
    for path in ("video", "poster", "captions.srt", "captions.vtt"):
        answer = client.get(f"/api/v1/clips/{clip_id}/{path}")
        assert answer.status_code == 302
        assert "X-Amz-Expires" in answer.headers["Location"]
    assert "kind=attachment" in client.get(f"/api/v1/clips/{clip_id}/video?download=1").headers["Location"]


def test_expired_files_are_gone(post, client, broker) -> None:
    from datetime import timedelta

    from django.utils import timezone

    clip_id = post().json()["id"]
    broker.run()
    Clip.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    for path in ("video", "poster", "preview.m3u8"):
        answer = client.get(f"/api/v1/clips/{clip_id}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (410, "clip_expired")
    assert client.get(f"/api/v1/clips/{clip_id}").json()["result"]["video_url"] is None


def test_cancel_answers_by_how_far_it_was(post, client, broker) -> None:
    queued = post().json()["id"]
    first = client.post(f"/api/v1/clips/{queued}/cancel")
    assert (first.status_code, first.json()["status"]) == (200, "canceled")
    assert client.post(f"/api/v1/clips/{queued}/cancel").status_code == 200
    done = post().json()["id"]
    broker.run()
    late = client.post(f"/api/v1/clips/{done}/cancel")
    assert (late.status_code, late.json()["code"]) == (409, "clip_finished")


def test_delete_waits_for_the_end(post, client, broker) -> None:
    clip_id = post().json()["id"]
    early = client.delete(f"/api/v1/clips/{clip_id}")
    assert (early.status_code, early.json()["code"]) == (409, "clip_running")
    broker.run()
    assert client.delete(f"/api/v1/clips/{clip_id}").status_code == 204
    assert client.get(f"/api/v1/clips/{clip_id}").status_code == 404


def test_a_batch_is_taken_as_a_whole(client, avatar, broker, voice) -> None:
    clip = {"avatar": avatar.pk, "script": SCRIPT}
    answer = client.post("/api/v1/clips/batch", {"clips": [clip] * 3}, format="json")
    assert answer.status_code == 202
    ids = [made["id"] for made in answer.json()["clips"]]
    broker.run()
    states = client.get(f"/api/v1/clips?ids={','.join(ids)}&status=succeeded").json()
    assert sorted(row["id"] for row in states["results"]) == sorted(ids)
    bad = client.post("/api/v1/clips/batch", {"clips": [clip, clip | {"voice": "x"}]}, format="json")
    assert bad.json()["errors"][0]["pointer"] == "/clips/1/voice"
    many = client.post("/api/v1/clips/batch", {"clips": [clip] * 101}, format="json")
    assert many.status_code == 400
    assert Clip.objects.count() == 3


def test_the_list_can_be_searched_and_paged(client, alice, avatar, broker, voice) -> None:
    from generation.clips import services

    for text in ("The red fox jumps.", "The blue whale swims.", "The red deer runs."):
        services.clip_create(alice, Wish(avatar=avatar.pk, script=text))
    found = client.get("/api/v1/clips?q=red").json()["results"]
    assert [row["script"] for row in found] == ["The red deer runs.", "The red fox jumps."]
    page = client.get("/api/v1/clips?limit=2").json()
    rest = client.get(page["next"]).json()
    assert len(page["results"]) == 2
    assert [row["script"] for row in rest["results"]] == ["The red fox jumps."]
    middle = page["results"][1]["created_at"]
    assert len(client.get(f"/api/v1/clips?created_after={middle}").json()["results"]) in (1, 2)
    assert client.get(f"/api/v1/clips?avatar={avatar.slug}").json()["results"]
    assert client.get("/api/v1/clips?status=queued,running").json()["results"]


@pytest.mark.parametrize("query", ["status=gone", "created_after=yesterday", "ids=" + ",".join("x" * 101)])
def test_filters_that_mean_nothing_are_refused(client, query) -> None:
    assert client.get(f"/api/v1/clips?{query}").status_code == 400


def test_the_length_of_a_script_can_be_estimated(client) -> None:
    short = client.post("/api/v1/clips/estimate", {"script": "Hello there."}, format="json").json()
    body = {"script": "Hello there.", "speed": 2.0, "voice": "en-joe"}
    fast = client.post("/api/v1/clips/estimate", body, format="json").json()
    assert short["duration_ms"] > fast["duration_ms"] > 0
    assert client.post("/api/v1/clips/estimate", {"script": ""}, format="json").json() == {"duration_ms": 0}


def test_without_a_key_nothing_is_answered(client, api, db) -> None:
    from rest_framework.test import APIClient

    for path in ("clips", "voices", "models", "clips/clip_x", "clips/clip_x/preview.m3u8"):
        assert APIClient().get(f"/api/v1/{path}").status_code == 401
