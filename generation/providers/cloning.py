"""Has voices copied and removed at their providers. Every step may run twice, and go on later."""

import logging
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from generation.providers import accounts
from generation.providers.models import ClonedVoice, CloneStatus
from project.api import net
from project.errors import InvalidInput
from storage import keys
from storage.s3 import store
from workers import dispatch
from workers.adapters import bridge, registry
from workers.adapters.cloning.base import Cloned, Cloner
from workers.adapters.errors import AdapterError

LEASE = timedelta(minutes=10)
LINK_SECONDS = 900
CLONE_ATTEMPTS = 5
# Longer and longer, for about a month: what is to be removed is removed.
DELETE_ATTEMPTS = 40
LONGEST_WAIT = timedelta(days=1)
AT_ONCE = 50
# It may be made and billed by now, under a name that nobody knows: another try would make one more.
UNKNOWN = frozenset({"provider_timeout", "provider_truncated"})
DUE = (CloneStatus.PREPARING, CloneStatus.DELETING)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Held:
    """The right to work on one voice; every write asks for its token."""

    voice: ClonedVoice
    token: str

    @property
    def rows(self) -> QuerySet[ClonedVoice]:
        return ClonedVoice.objects.filter(pk=self.voice.pk, lease_token=self.token)

    def finish(self, status: CloneStatus, **changes: Any) -> bool:
        """Let go of it in another state. False where somebody else has it by now."""
        return (
            self.rows.filter(status=self.voice.status).update(
                status=status, lease_token="", lease_until=None, next_attempt_at=None, **changes
            )
            == 1
        )

    def later(self, error: AdapterError, most: int) -> bool:
        """Let go of it for a while. False where it was tried often enough."""
        if self.voice.attempts >= most:
            return False
        wait = min(timedelta(seconds=30) * 2 ** (self.voice.attempts - 1), LONGEST_WAIT)
        self.rows.update(
            lease_token="", lease_until=None, next_attempt_at=timezone.now() + wait, failure_code=error.code
        )
        return True


def work(voice_id: str) -> None:
    """Take the next step of one voice: copy it, or remove the copy. Nothing where there is none."""
    held = _take(voice_id)
    if held is None:
        return
    if held.voice.status == CloneStatus.DELETING:
        _remove(held)
    else:
        _copy(held)


def reconcile() -> None:
    """Go on with what lost its message or its worker, and with what has waited long enough."""
    gone = ClonedVoice.objects.filter(owner=None).exclude(status__in=(*DUE[1:], CloneStatus.DELETED))
    gone.update(status=CloneStatus.DELETING, attempts=0, next_attempt_at=None)
    for voice_id in ClonedVoice.objects.filter(_free(), status__in=DUE).values_list("pk", flat=True)[
        :AT_ONCE
    ]:
        dispatch.clone_voice(voice_id)


def _free() -> Q:
    now = timezone.now()
    unheld = Q(lease_until=None) | Q(lease_until__lt=now)
    return unheld & (Q(next_attempt_at=None) | Q(next_attempt_at__lte=now))


def _take(voice_id: str) -> _Held | None:
    token = secrets.token_hex(16)
    rows = ClonedVoice.objects.filter(_free(), pk=voice_id, status__in=DUE)
    if not rows.update(lease_token=token, lease_until=timezone.now() + LEASE):
        return None
    voice = ClonedVoice.objects.select_related("consent").get(pk=voice_id)
    voice.attempts += 1
    held = _Held(voice, token)
    held.rows.update(attempts=voice.attempts)
    return held


def _copy(held: _Held) -> None:
    voice = held.voice
    if voice.attempts > CLONE_ATTEMPTS:  # whoever tried did not live to say why not
        message = "The recording could not be copied."
        held.finish(CloneStatus.FAILED, failure_code="internal_error", failure_message=message)
        _forget_sound(voice)
        return
    try:
        made = _made(voice)
    except AdapterError as error:
        _log.warning("Copying voice %s at %s failed: %s", voice.pk, voice.provider, error.code)
        if error.code in UNKNOWN:
            _log.error("There may be a voice %s at %s that is nobody's: look there", voice.pk, voice.provider)
        again = error.retryable and error.code not in UNKNOWN
        if not (again and held.later(error, CLONE_ATTEMPTS)):
            held.finish(CloneStatus.FAILED, failure_code=error.code[:60], failure_message=str(error)[:500])
            _forget_sound(voice)
        return
    # Written down before anything else: a copy that nobody knows of can never be removed.
    done = {"provider_voice": made.provider_voice, "model": made.model, "failure_code": "", "attempts": 0}
    if held.finish(CloneStatus.READY, ready_at=timezone.now(), **done):
        _forget_sound(voice)
        return
    # Deleted meanwhile, or taken over: whoever removes it has to know its name; else it goes now.
    told = ClonedVoice.objects.filter(pk=voice.pk, status=CloneStatus.DELETING, provider_voice="")
    if not told.update(provider_voice=made.provider_voice, model=made.model):
        _delete(voice.provider, made.provider_voice)


def _made(voice: ClonedVoice) -> Cloned:
    cloner = _cloner(voice.provider)
    found = store().head(voice.sound_key) if voice.sound_key else None
    if found is None:
        message = "The recording is no longer there."
        raise AdapterError(message, provider=voice.provider, retryable=False, code="sound_expired")
    audio = store().get_bytes(voice.sound_key)
    link = public_link(voice.sound_key)
    return bridge.finished(
        lambda: cloner.clone(name=voice.pk, audio=audio, audio_url=link, language=voice.language)
    )


def public_link(key: str) -> str:
    """A link to an object that strangers can open for some minutes; "" where storage is not public."""
    link = store().presign_get(key, LINK_SECONDS, content_type="audio/wav")
    try:
        return net.check_url(link)
    except InvalidInput:
        return ""


def _remove(held: _Held) -> None:
    voice = held.voice
    _forget_sound(voice)
    try:
        if voice.provider_voice:
            _delete(voice.provider, voice.provider_voice)
    except AdapterError as error:
        _log.warning("Removing voice %s at %s failed: %s", voice.pk, voice.provider, error.code)
        if held.later(error, DELETE_ATTEMPTS):
            return
        _log.error("Voice %s stays at %s: remove it there", voice.pk, voice.provider)
    # The name of a copy that was made meanwhile is not lost: then it is taken up again.
    named = ClonedVoice.objects.filter(pk=voice.pk).exclude(provider_voice=voice.provider_voice)
    if named.exists():
        held.rows.update(lease_token="", lease_until=None, next_attempt_at=None)
        return
    held.finish(CloneStatus.DELETED, deleted_at=timezone.now())


def _delete(provider_id: str, provider_voice: str) -> None:
    cloner = _cloner(provider_id)
    bridge.finished(lambda: cloner.delete(provider_voice))


def _cloner(provider_id: str) -> Cloner:
    reached = accounts.endpoint(provider_id)
    if reached is None:
        message = "The provider is not configured."
        raise AdapterError(message, provider=provider_id, retryable=True, code="provider_not_configured")
    options = {"provider": provider_id, **accounts.known()[provider_id].cloning}
    return registry.cloner(options.pop("adapter"), reached, options)


def _forget_sound(voice: ClonedVoice) -> None:
    store().delete_prefix(keys.clone(voice.pk))
    ClonedVoice.objects.filter(pk=voice.pk).update(sound_key="")
