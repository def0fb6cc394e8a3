"""What the calls take and give: for parsing, and for the OpenAPI document."""

from typing import Any

from rest_framework import serializers

from generation.clips import wishes
from generation.clips.models import ClipStage, ClipStatus
from generation.providers.clones import GENDERS, SHOWN


class BackgroundField(serializers.JSONField):
    """`"#rrggbb"` or `{"upload": "upl_..."}`."""


class SpeedField(serializers.FloatField):
    """From half to double; `true` is no number, though Python thinks so."""

    def __init__(self, **options: Any) -> None:
        slowest, fastest = wishes.SPEEDS
        super().__init__(min_value=slowest, max_value=fastest, **options)

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool):
            self.fail("invalid")
        return float(super().to_internal_value(data))


class ProviderChain(serializers.ListField):
    """Ids of providers: the next one takes over while nothing was delivered."""

    child = serializers.CharField(max_length=60)


class ClipProviders(serializers.DictField):
    """`{"tts": [...], "stt": [...]}`; empty or left out: the installation's."""

    child = ProviderChain()


class ClipWish(serializers.Serializer[Any]):
    """One of `script`, `upload` and `audio_url` says what is heard."""

    avatar = serializers.CharField(max_length=80, help_text="Id or slug")
    voice = serializers.CharField(max_length=120, required=False, allow_blank=True)
    model = serializers.CharField(max_length=40, required=False, allow_blank=True)
    script = serializers.CharField(
        required=False, allow_blank=True, trim_whitespace=False, help_text="Plain text; see docs/clips.md"
    )
    upload = serializers.CharField(max_length=40, required=False, help_text="Id of an audio upload")
    audio_url = serializers.CharField(max_length=2000, required=False)
    speed = SpeedField(required=False, default=1.0)
    aspect_ratio = serializers.ChoiceField(choices=wishes.ASPECT_RATIOS, required=False)
    background = BackgroundField(required=False, allow_null=True)
    captions = serializers.ChoiceField(choices=wishes.CAPTIONS, required=False, default="sidecar")
    callback_url = serializers.CharField(max_length=2000, required=False, allow_blank=True)
    providers = ClipProviders(required=False, allow_null=True)
    metadata = serializers.DictField(required=False)

    def wish(self, at: str = "") -> wishes.Wish:
        told = {name: value for name, value in self.validated_data.items() if value is not None}
        return wishes.Wish(**told, at=at)


class BatchWish(serializers.Serializer[Any]):
    clips = ClipWish(many=True, allow_empty=False, max_length=100)  # type: ignore[call-arg]  # for many


class EstimateWish(serializers.Serializer[Any]):
    script = serializers.CharField(allow_blank=True, trim_whitespace=False)
    voice = serializers.CharField(max_length=120, required=False, allow_blank=True)
    speed = SpeedField(required=False, default=1.0)


class Estimate(serializers.Serializer[Any]):
    duration_ms = serializers.IntegerField()


class Fragments(serializers.Serializer[Any]):
    total = serializers.IntegerField(allow_null=True)
    done = serializers.IntegerField()


class ClipFailure(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()


class Result(serializers.Serializer[Any]):
    video_url = serializers.URLField(allow_null=True)
    poster_url = serializers.URLField(allow_null=True)
    srt_url = serializers.URLField(allow_null=True)
    vtt_url = serializers.URLField(allow_null=True)
    duration_ms = serializers.IntegerField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    fps = serializers.IntegerField()
    bytes = serializers.IntegerField()
    expires_at = serializers.DateTimeField(help_text="When the files are deleted")


class ClipWarning(serializers.Serializer[Any]):
    code = serializers.ChoiceField(choices=["render_seam"], help_text="The picture may jump here")
    at_ms = serializers.IntegerField()


class ClipOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    status = serializers.ChoiceField(choices=ClipStatus.choices)
    stage = serializers.ChoiceField(choices=ClipStage.choices, allow_null=True)
    progress = serializers.IntegerField(min_value=0, max_value=100)
    fragments = Fragments()
    avatar = serializers.CharField()
    voice = serializers.CharField(allow_null=True)
    model = serializers.CharField()
    script = serializers.CharField(allow_null=True)
    speed = serializers.FloatField()
    aspect_ratio = serializers.CharField(allow_null=True)
    captions = serializers.CharField()
    providers = ClipProviders()
    estimated_ms = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    cancel_requested_at = serializers.DateTimeField(allow_null=True)
    failure = ClipFailure(allow_null=True)
    warnings = ClipWarning(many=True)
    result = Result(allow_null=True)
    preview_url = serializers.URLField(allow_null=True)
    metadata = serializers.DictField()
    timings = serializers.DictField(required=False)


class ClipPage(serializers.Serializer[Any]):
    results = ClipOut(many=True)
    next = serializers.URLField(allow_null=True)


class BatchOut(serializers.Serializer[Any]):
    clips = ClipOut(many=True)


class FileIn(serializers.Serializer[Any]):
    file = serializers.FileField()


class UploadOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    kind = serializers.ChoiceField(choices=["audio", "image"])
    bytes = serializers.IntegerField()
    duration_ms = serializers.IntegerField(required=False)
    sample_rate = serializers.IntegerField(required=False)
    width = serializers.IntegerField(required=False)
    height = serializers.IntegerField(required=False)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()


class VoiceOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    provider = serializers.CharField()
    name = serializers.CharField()
    language = serializers.CharField()
    gender = serializers.CharField()
    preview_url = serializers.URLField(allow_null=True)
    cloned = serializers.BooleanField(help_text="A copy of your own")


class VoiceWish(serializers.Serializer[Any]):
    """A voice to be copied from a recording."""

    name = serializers.CharField(max_length=80)
    provider = serializers.CharField(max_length=60, help_text="One that copies voices")
    language = serializers.RegexField(
        r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=20, help_text="Such as en or ja-JP"
    )
    gender = serializers.ChoiceField(choices=GENDERS, required=False, default="neutral")
    file = serializers.FileField(help_text="5 to 120 seconds of one person speaking")
    consent = serializers.BooleanField(help_text="You agree to the words of `GET voices/consent`")
    consent_version = serializers.CharField(max_length=20, help_text="As `GET voices/consent` tells it")
    speaker = serializers.CharField(max_length=200, help_text="Full name of whose voice it is")


class VoiceConsentOut(serializers.Serializer[Any]):
    version = serializers.CharField()
    text = serializers.CharField()
    min_seconds = serializers.IntegerField()
    max_seconds = serializers.IntegerField()
    providers = serializers.ListField(
        child=serializers.DictField(), help_text="Those that copy voices here: `{id, name}`"
    )


class GivenConsent(serializers.Serializer[Any]):
    speaker = serializers.CharField()
    version = serializers.CharField()
    given_at = serializers.DateTimeField()


class ClonedVoiceOut(VoiceOut):
    status = serializers.ChoiceField(choices=SHOWN)
    failure = ClipFailure(allow_null=True)
    duration_ms = serializers.IntegerField(help_text="Of the recording")
    created_at = serializers.DateTimeField()
    ready_at = serializers.DateTimeField(allow_null=True)
    consent = GivenConsent()


class AnyVoiceOut(ClonedVoiceOut):
    """One voice, of whichever kind: only a copy tells how far it is and who agreed to it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in set(self.fields) - set(VoiceOut().fields):
            self.fields[name].required = False


class ClonedVoicePage(serializers.Serializer[Any]):
    results = ClonedVoiceOut(many=True)
    next = serializers.URLField(allow_null=True)


class Slots(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    free = serializers.IntegerField()


class ModelProfile(serializers.Serializer[Any]):
    fps = serializers.IntegerField()
    width = serializers.IntegerField(allow_null=True)
    height = serializers.IntegerField(allow_null=True)
    sample_rate = serializers.IntegerField()
    fragment_ms = serializers.IntegerField()


class ModelReasons(serializers.Serializer[Any]):
    clips = serializers.CharField(allow_null=True)
    sessions = serializers.CharField(allow_null=True)


class ModelWorker(serializers.Serializer[Any]):
    name = serializers.CharField()
    device = serializers.CharField()
    memory_mb = serializers.IntegerField(help_text="What its networks may take there")
    free_mb = serializers.IntegerField()
    fps = serializers.FloatField(allow_null=True, help_text="Frames a second while it draws; null: none yet")
    first_frame_ms = serializers.FloatField(allow_null=True)
    problem = serializers.CharField(help_text="What went wrong there last; empty while all is well")


class ModelMeasured(serializers.Serializer[Any]):
    render_fps = serializers.FloatField(allow_null=True)
    first_frame_ms = serializers.FloatField(allow_null=True)


class ModelOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    summary = serializers.CharField()
    licence = serializers.CharField(help_text="Of its weights")
    backend = serializers.CharField()
    configured = serializers.BooleanField(help_text="All that it needs of the settings is there")
    available = serializers.BooleanField(help_text="For clips, now")
    reason = serializers.CharField(allow_null=True, help_text="Why it is not available")
    reasons = ModelReasons(help_text="Why it cannot be used for clips and for live sessions; null: it can")
    queue = serializers.CharField()
    queue_depth = serializers.IntegerField(allow_null=True)
    slots = Slots()
    workers = ModelWorker(many=True, help_text="For staff; empty for others")
    measured = ModelMeasured(help_text="Of one worker, as measured while it drew")
    profile = ModelProfile()


class TranscriptionIn(serializers.Serializer[Any]):
    file = serializers.FileField()
    language = serializers.CharField(max_length=20, required=False, allow_blank=True)


class Segment(serializers.Serializer[Any]):
    start_ms = serializers.IntegerField()
    end_ms = serializers.IntegerField()
    text = serializers.CharField()


class Transcription(serializers.Serializer[Any]):
    text = serializers.CharField()
    segments = Segment(many=True)
    provider = serializers.CharField(help_text="Who understood it")
