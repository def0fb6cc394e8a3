"""The speech stage: from script or sound to a timeline, with fragments planned as it grows.

Each utterance is stored before its row is written, and its row before anything that follows is
synthesised; a start after a crash finds both, pushes their sound into the soundtrack again and goes
on behind them. The plan depends on the sound alone, so it continues where it was.
"""

import logging
import tempfile
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from generation import hearing
from generation.clips import leases, outcome, plan, sources, states, tracing
from generation.clips.leases import Lease, LeaseLost, StopWork
from generation.clips.models import Clip, ClipFragment, ClipStage, ClipStatus, ClipStream, ClipUtterance
from generation.clips.outcome import ClipFailure
from generation.clips.sources import Take
from storage import keys
from storage.s3 import store
from workers import dispatch, presence
from workers.adapters.avatar.base import Profile
from workers.adapters.errors import AdapterError
from workers.profiles import load_profile
from workers.rendering.aac import AacEncoder

PCM_TYPE = "audio/l16; rate=48000; channels=1"
# Speech of unknown length may turn out longer than its estimate; more than this is a runaway.
LENGTH_TOLERANCE = 1.2

_log = logging.getLogger(__name__)


class _Leaving(Exception):
    """This worker was asked to end, and a long script would keep it for minutes."""


def speak(clip_id: str) -> None:
    """Make the sound of a clip, unless it is made, taken, or not wanted any more.

    A worker that was asked to end hands the clip over after the sentence under way.
    """
    if presence.leaving():
        dispatch.speak(clip_id)
        return
    clip = Clip.objects.select_related("upload").filter(pk=clip_id).first()
    if clip is None or clip.status in states.TERMINAL:
        return
    if clip.cancel_requested_at is not None:
        outcome.cancel_if_idle(clip_id)
        return
    lease = leases.take(
        Clip,
        clip_id,
        clip_id,
        Q(status__in=states.UNFINISHED, stage__in=("", ClipStage.SPEECH), cancel_requested_at=None),
        status=ClipStatus.RUNNING,
        stage=ClipStage.SPEECH,
        started_at=Coalesce(F("started_at"), timezone.now()),
        revision=F("revision") + 1,
    )
    if lease is None or outcome.worn_out(lease, clip.attempts + 1):
        return
    with leases.keeper.holding(lease), tracing.stage("speech", clip_id, clip.enqueued_at):
        try:
            _Timeline(clip, lease).make()
        except LeaseLost:
            _log.info("the speech of %s was taken over", clip_id)
        except _Leaving:
            lease.release()
            dispatch.speak(clip_id)
        except StopWork:
            lease.release()
            outcome.cancel_if_idle(clip_id)
        except Exception as error:  # noqa: BLE001 - whatever it was, the row must say what comes next
            outcome.failed_attempt(lease, error, retries=clip.retries, attempts=clip.attempts + 1)


class _Timeline:
    """The clip's sound as far as it is known."""

    def __init__(self, clip: Clip, lease: Lease) -> None:
        self.clip, self.lease = clip, lease
        self.profile = plan.hearing(_profile(clip.model))
        self.samples = 0
        self.utterances = 0
        self.planned = ClipFragment.objects.filter(clip=clip).count()
        # Captions in the picture have to be known before anything is drawn.
        self.held = not clip.script and clip.captions == "burned"
        self.limit = int(settings.MAX_CLIP_SECONDS * plan.TIMELINE_RATE * LENGTH_TOLERANCE)

    def make(self) -> None:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="parley-speech-") as folder:
            path = Path(folder) / "audio.m4a"
            with AacEncoder(path) as soundtrack:
                self._resume(soundtrack)
                with closing(self._takes()) as takes:
                    for take in takes:
                        self.lease.check()
                        self._add(take, soundtrack)
                        if presence.leaving():
                            raise _Leaving
                if self.held:
                    self._caption()
                self._complete(soundtrack)
                if not self.held:
                    self._caption()
            store().put_file(keys.clip_audio(self.clip.pk), path, "audio/mp4")
        outcome.speech_finished(
            self.lease,
            fragments_total=self.planned,
            audio_key=keys.clip_audio(self.clip.pk),
            duration_ms=plan.whole_frames(self.samples) * 40,
            timings={"speech_ms": round((time.monotonic() - begun) * 1000)},
        )

    def _takes(self) -> Generator[Take, None, None]:
        return sources.takes(self.clip, self.utterances, skip_samples=self.samples)

    def _resume(self, soundtrack: AacEncoder) -> None:
        """Go over what an earlier start stored."""
        for row in ClipUtterance.objects.filter(clip=self.clip).order_by("index"):
            self._sound(soundtrack, row.start_sample, store().get_bytes(row.pcm_key), row.pause_samples)
            self.utterances += 1

    def _add(self, take: Take, soundtrack: AacEncoder) -> None:
        start = self.samples + take.lead_samples
        end = start + len(take.pcm) // 2
        # The next utterance begins where a 16 kHz sample does.
        pause = take.pause_samples + -(end + take.pause_samples) % plan.MODEL_STEP
        if end + pause > self.limit:
            raise ClipFailure("clip_too_long", f"A clip has at most {settings.MAX_CLIP_SECONDS} seconds.")
        key = keys.utterance(self.clip.pk, self.utterances)
        store().put_bytes(key, take.pcm, PCM_TYPE)
        samples = len(take.pcm) // 2
        with transaction.atomic():
            self.lease.write(revision=F("revision") + 1, progress=Greatest(F("progress"), 1))
            ClipUtterance.objects.create(
                clip=self.clip,
                index=self.utterances,
                text=take.text,
                start_sample=start,
                samples=samples,
                pause_samples=pause,
                pcm_key=key,
                timings=take.timings,
            )
            if not self.held:
                self._plan(end + pause, complete=False)
        self._sound(soundtrack, start, take.pcm, pause)
        self.utterances += 1

    def _sound(self, soundtrack: AacEncoder, start: int, pcm: bytes, pause: int) -> None:
        soundtrack.push(bytes(2 * (start - self.samples)) + pcm + bytes(2 * pause))
        self.samples = start + len(pcm) // 2 + pause

    def _caption(self) -> None:
        """Recognise what is said in given sound; what cannot be recognised has no captions."""
        if self.clip.script or self.clip.cues:
            return
        try:
            cues = hearing.recognise_clip(self.clip)
        except AdapterError as error:
            if error.retryable and self.held:
                raise
            _log.warning("%s has no captions: %s", self.clip.pk, error)
            return
        self.clip.cues = cues
        self.lease.write(cues=cues)

    def _complete(self, soundtrack: AacEncoder) -> None:
        """Plan what remains, and fill the last frame with silence."""
        if not self.samples:
            raise ClipFailure("nothing_to_say", "There is nothing in this clip to be heard.")
        with transaction.atomic():
            self.lease.write(revision=F("revision") + 1)
            self._plan(self.samples, complete=True)
        soundtrack.push(bytes(2 * (plan.whole_frames(self.samples) * plan.SAMPLES_PER_FRAME - self.samples)))

    def _plan(self, samples: int, *, complete: bool) -> None:
        now = timezone.now()
        rows = [
            ClipFragment(
                clip=self.clip,
                index=span.index,
                start_frame=span.start,
                frames=span.frames,
                key=keys.fragment(self.clip.pk, span.index),
                enqueued_at=now,
            )
            for span in plan.spans(self.profile, self.planned, samples, complete=complete)
        ]
        ClipFragment.objects.bulk_create(rows)
        if rows and not self.profile.stateless:
            ClipStream.objects.update_or_create(clip=self.clip, defaults={"enqueued_at": now})
            dispatch.render_stream(self.clip.pk, self.profile.queue)
        elif self.profile.stateless:
            for row in rows:
                dispatch.render_fragment(self.clip.pk, row.index, self.profile.queue)
        self.planned += len(rows)


def _profile(model: str) -> Profile:
    """Raises `AdapterError`: a model whose file was taken away may come back."""
    try:
        return load_profile(model)
    except KeyError:
        message = f"This installation has no model {model} any more."
        raise AdapterError(
            message, provider=model, retryable=True, code=outcome.MODEL_NOT_AVAILABLE
        ) from None
