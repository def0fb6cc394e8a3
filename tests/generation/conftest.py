"""The cast of the clip tests: Alice who owns things, Mallory who does not, a broker and a voice."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from generation import voice_samples, voices
from generation.avatars.models import Avatar
from generation.clips import services
from generation.clips.models import Clip, ClipFragment, ClipStream
from generation.clips.wishes import Wish
from project.accounts.models import User
from tests.support.cast import alice, api, broker, mallory, objects  # noqa: F401 - fixtures
from tests.support.clips import Broker, Ears, ToneVoice, ready_avatar
from tests.support.objects import MemoryStore

SCRIPT = "Good morning to all of you. This is the second sentence of it. And here is the end."


@pytest.fixture(autouse=True)
def _no_voice_failed_yet() -> None:
    voice_samples._failed.clear()


@pytest.fixture
def voice(monkeypatch: pytest.MonkeyPatch) -> ToneVoice:
    made = ToneVoice()
    monkeypatch.setattr(voices, "synthesizer", lambda chosen, wanted=(), alone=False: made)
    return made


@pytest.fixture
def ears(monkeypatch: pytest.MonkeyPatch) -> Ears:
    made = Ears()
    monkeypatch.setattr(voices, "recognizer", lambda wanted=(): made)
    return made


@pytest.fixture
def avatar(objects: MemoryStore, transactional_db: None) -> Avatar:
    """A test card in the shared catalogue."""
    return ready_avatar(objects)


@pytest.fixture
def make(alice: User, avatar: Avatar, broker: Broker, voice: ToneVoice) -> Callable[..., Clip]:
    """Accept a clip of Alice's; its first message then waits in the broker."""

    def accept(**wish: Any) -> Clip:
        told = {"script": SCRIPT} | wish if not {"upload", "audio_url"} & set(wish) else wish
        return services.clip_create(alice, Wish(avatar=avatar.pk, **told))

    return accept


@pytest.fixture
def forget() -> Callable[[Clip], None]:
    """Let time pass: every lease of a clip lapses, every wait is over, every message is old."""

    def pass_time(clip: Clip) -> None:
        past = timezone.now() - timedelta(minutes=1)
        for rows in (
            Clip.objects.filter(pk=clip.pk),
            ClipFragment.objects.filter(clip=clip),
            ClipStream.objects.filter(clip=clip),
        ):
            rows.update(enqueued_at=past)
            rows.exclude(lease_until=None).update(lease_until=past)
            rows.exclude(next_attempt_at=None).update(next_attempt_at=past)

    return pass_time
