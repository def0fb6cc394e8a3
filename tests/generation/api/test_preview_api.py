import io
import re

import av
import pytest

from generation.clips import tokens

pytestmark = pytest.mark.django_db(transaction=True)

SCRIPT = "This is the first sentence of several. " * 6


@pytest.fixture
def visitor():
    """Somebody without any key: a player."""
    from rest_framework.test import APIClient

    return APIClient()


@pytest.fixture
def clip(make):
    return make(script=SCRIPT)


def preview(clip, path="preview.m3u8") -> str:
    return f"/api/v1/clips/{clip.pk}/{path}?token={tokens.preview(clip.pk)}"


def entries(playlist: str) -> list[str]:
    return [line for line in playlist.splitlines() if line and not line.startswith("#")]


def fetch(visitor, clip, kind: str) -> tuple[bytes, str]:
    """Put a stream together as a player does."""
    playlist = visitor.get(preview(clip, f"preview/{kind}.m3u8")).content.decode()
    init = re.search(r'MAP:URI="([^"]+)"', playlist)[1]
    base = f"/api/v1/clips/{clip.pk}/preview/"
    return b"".join(visitor.get(base + uri).content for uri in [init, *entries(playlist)]), playlist


def test_nothing_can_be_watched_before_the_first_fragment(visitor, clip, api, alice) -> None:
    early = visitor.get(preview(clip))
    assert (early.status_code, early.json()["code"]) == (409, "preview_not_ready")
    assert api(alice).get(f"/api/v1/clips/{clip.pk}").json()["preview_url"] is None


def test_the_preview_grows_while_the_clip_renders(visitor, clip, broker, api, alice) -> None:
    broker.step()
    broker.step()
    first = visitor.get(preview(clip, "preview/video.m3u8")).content.decode()
    assert len(entries(first)) == 1
    assert "#EXT-X-ENDLIST" not in first
    assert api(alice).get(f"/api/v1/clips/{clip.pk}").json()["preview_url"].endswith(tokens.preview(clip.pk))
    broker.step()
    assert len(entries(visitor.get(preview(clip, "preview/video.m3u8")).content.decode())) == 2
    broker.run()
    last = visitor.get(preview(clip, "preview/video.m3u8")).content.decode()
    assert last.startswith(first.rstrip("\n"))
    assert last.endswith("#EXT-X-ENDLIST\n")


def test_a_gap_is_not_played_over(visitor, clip, broker) -> None:
    broker.step()
    broker.step()
    broker.messages.rotate(-1)
    broker.step()
    assert len(entries(visitor.get(preview(clip, "preview/video.m3u8")).content.decode())) == 1


def test_what_a_player_gets_decodes_to_the_whole_clip(visitor, clip, broker) -> None:
    broker.run()
    clip.refresh_from_db()
    video, _ = fetch(visitor, clip, "video")
    with av.open(io.BytesIO(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) == clip.duration_ms // 40
    audio, _ = fetch(visitor, clip, "audio")
    with av.open(io.BytesIO(audio)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert abs(samples - clip.duration_ms * 48) <= 2048


def test_any_page_may_play_it_and_segments_are_kept(visitor, clip, broker) -> None:
    broker.run()
    for path in ("preview.m3u8", "preview/video.m3u8", "preview/video/0.m4s", "preview/audio/init.mp4"):
        answer = visitor.get(preview(clip, path))
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "immutable" in visitor.get(preview(clip, "preview/video/0.m4s")).headers["Cache-Control"]
    assert visitor.get(preview(clip, "preview/video/99.m4s")).status_code == 404


def test_a_token_opens_its_own_clip_only_and_lapses(visitor, clip, make, broker, monkeypatch) -> None:
    other = make()
    broker.run()
    token = tokens.preview(clip.pk)
    assert visitor.get(f"/api/v1/clips/{clip.pk}/preview.m3u8?token={token}").status_code == 200
    assert visitor.get(f"/api/v1/clips/{other.pk}/preview.m3u8?token={token}").status_code == 401
    assert visitor.get(f"/api/v1/clips/{clip.pk}/preview.m3u8?token={token[:-2]}xx").status_code == 401
    now = tokens.time.time()
    monkeypatch.setattr(tokens.time, "time", lambda: now + 8 * 3600)
    assert visitor.get(f"/api/v1/clips/{clip.pk}/preview.m3u8?token={token}").status_code == 401


def test_a_token_does_not_open_anything_else(visitor, clip, broker) -> None:
    broker.run()
    token = tokens.preview(clip.pk)
    for path in ("", "/video", "/events"):
        assert visitor.get(f"/api/v1/clips/{clip.pk}{path}?token={token}").status_code == 401


def test_the_owner_needs_no_token(api, alice, clip, broker) -> None:
    broker.run()
    answer = api(alice).get(f"/api/v1/clips/{clip.pk}/preview.m3u8")
    assert answer.status_code == 200
    assert "preview/video.m3u8?token=" in answer.content.decode()
