"""What the catalogue's calls take and give, for parsing and for the OpenAPI document."""

from typing import Any

from rest_framework import serializers

from generation.avatars.models import AvatarStatus
from generation.avatars.services import checked_mouth_box
from project.errors import InvalidInput


class MouthBoxField(serializers.JSONField):
    """{left, top, right, bottom} in fractions of the picture."""

    def to_internal_value(self, data: Any) -> Any:
        try:
            return checked_mouth_box(data)
        except InvalidInput as error:
            raise serializers.ValidationError(str(error), code=error.code) from error


class ConsentIn(serializers.Serializer[Any]):
    by = serializers.CharField(max_length=200)
    text = serializers.CharField(max_length=5000, allow_blank=True, required=False)
    at = serializers.DateTimeField(required=False, allow_null=True)


class ModelsField(serializers.ListField):
    """Ids of models, each once."""

    child = serializers.CharField(max_length=40)

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=50, **options)

    def to_internal_value(self, data: Any) -> list[str]:
        return list(dict.fromkeys(super().to_internal_value(data)))


class AvatarChange(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=120, required=False)
    description = serializers.CharField(max_length=2000, allow_blank=True, required=False)
    default_voice = serializers.CharField(max_length=120, allow_blank=True, required=False)
    mouth_box = MouthBoxField(required=False, allow_null=True)
    ai_disclosure = serializers.BooleanField(required=False)
    consent = ConsentIn(required=False, allow_null=True)
    metadata = serializers.DictField(required=False)
    models = ModelsField(
        required=False, help_text="All models to prepare it for; the one it was made with stays among them"
    )


class AvatarCreate(AvatarChange):
    name = serializers.CharField(max_length=120)
    model = serializers.CharField(
        max_length=40, required=False, help_text="Its first model: `viseme`, or the first of `models`"
    )
    slug = serializers.SlugField(max_length=60, required=False)
    image = serializers.FileField(required=False)
    video = serializers.FileField(required=False)


class Failure(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()


class PrepareIn(serializers.Serializer[Any]):
    models = ModelsField(required=False, help_text="Only for these of its models; left out: for all")


class PreparationOut(serializers.Serializer[Any]):
    model = serializers.CharField()
    status = serializers.ChoiceField(choices=AvatarStatus.choices)
    progress = serializers.IntegerField(min_value=0, max_value=100)
    failure = Failure(allow_null=True)
    width = serializers.IntegerField(allow_null=True)
    height = serializers.IntegerField(allow_null=True)
    has_alpha = serializers.BooleanField()


class AvatarOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    slug = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    status = serializers.ChoiceField(choices=AvatarStatus.choices)
    progress = serializers.IntegerField(min_value=0, max_value=100)
    failure = Failure(allow_null=True)
    models = serializers.ListField(child=serializers.CharField(), help_text="Those it is ready for")
    preparations = PreparationOut(many=True, help_text="For its first model, then for the others")
    default_voice = serializers.CharField(allow_null=True)
    preview_url = serializers.URLField(allow_null=True)
    idle_url = serializers.URLField(allow_null=True)
    width = serializers.IntegerField(allow_null=True)
    height = serializers.IntegerField(allow_null=True)
    fps = serializers.IntegerField()
    has_alpha = serializers.BooleanField()
    ai_disclosure = serializers.BooleanField()
    shared = serializers.BooleanField(help_text="In the shared catalogue, not somebody's own")
    mouth_box = serializers.JSONField(help_text="{left, top, right, bottom}, 0 to 1; null before preparation")
    mouth_box_corrected = serializers.BooleanField()
    warnings = serializers.ListField(child=serializers.CharField())
    consent = ConsentIn(allow_null=True)
    metadata = serializers.DictField()
    version = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class AvatarList(serializers.Serializer[Any]):
    results = AvatarOut(many=True)
    next = serializers.URLField(allow_null=True)
