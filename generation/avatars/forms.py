"""The catalogue's forms in the staff admin."""

from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from generation import voices
from generation.avatars import services, sources
from generation.avatars.models import Avatar
from generation.avatars.services import AvatarFacts, Consent
from generation.avatars.sources import SourceFile
from project.errors import InvalidInput
from workers import profiles

SIDES = ("left", "top", "right", "bottom")
TOLD = ("name", "description", "default_voice", "ai_disclosure", "consent_by", "consent_text")


WIDGETS = {
    "description": UnfoldAdminTextareaWidget(attrs={"rows": 2}),
    "consent_text": UnfoldAdminTextareaWidget(attrs={"rows": 3}),
}


class MouthBoxWidget(forms.Widget):
    """Four percentages, which a script beside the picture reads and writes."""

    template_name = "admin/generation/mouth_box_widget.html"

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        box = value if isinstance(value, dict) else {}
        context["sides"] = [
            {
                "name": f"{name}_{side}",
                "side": side,
                "label": side.capitalize(),
                "value": round(box[side] * 100, 2) if isinstance(box.get(side), int | float) else "",
            }
            for side in SIDES
        ]
        return context

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:  # noqa: ARG002 - Django's signature
        told = {side: data.get(f"{name}_{side}", "").strip() for side in SIDES}
        return told if any(told.values()) else None

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:  # noqa: ARG002
        return all(f"{name}_{side}" not in data for side in SIDES)


class MouthBoxFormField(forms.Field):
    widget = MouthBoxWidget

    def to_python(self, value: Any) -> dict[str, float] | None:
        if value is None:
            return None
        try:
            return services.checked_mouth_box({side: float(value[side]) / 100 for side in SIDES})
        except ValueError as exc:
            raise forms.ValidationError("Give all four sides in percent, or none.", code="invalid") from exc
        except InvalidInput as exc:
            raise forms.ValidationError(str(exc), code=exc.code) from exc

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(initial != self.to_python(data))
        except forms.ValidationError:
            return True


def voice_choices() -> list[tuple[str, Any]]:
    """The voices that can be had now, by language."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for voice in voices.available():
        groups.setdefault(voice.language, []).append((voice.id, voice.name))
    return [("", "None"), *sorted(groups.items())]


def model_choices(avatar: Avatar | None = None) -> list[tuple[str, str]]:
    """The models that this installation has, and those that the avatar is prepared for already."""
    known = profiles.configs()
    asked = [row.model for row in avatar.preparations.all()] if avatar else []
    names = dict.fromkeys([*filter(profiles.is_installed, known), *asked])
    return [(name, known[name].name or name if name in known else name) for name in sorted(names)]


class ModelsField(forms.MultipleChoiceField):
    """The models beside the avatar's own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            required=False,
            label="Further models",
            widget=UnfoldAdminCheckboxSelectMultipleWidget,
            help_text="It is prepared for each of them too. Clips and sessions choose one.",
            **options,
        )


def disclosure() -> forms.BooleanField:
    return forms.BooleanField(
        required=False,
        initial=True,
        label="AI disclosure",
        widget=UnfoldBooleanSwitchWidget,
        help_text="Say that the person is computer-made",
    )


class AvatarChangeForm(forms.ModelForm):  # type: ignore[type-arg]
    mouth_box = MouthBoxFormField(
        required=False,
        label="Mouth",
        help_text="In percent of the picture. Drag the frame, or type. Empty: found by itself.",
    )
    default_voice = forms.ChoiceField(choices=voice_choices, required=False, widget=UnfoldAdminSelectWidget)
    models = ModelsField()
    ai_disclosure = disclosure()

    class Meta:
        model = Avatar
        fields = [*TOLD, "mouth_box"]
        widgets = WIDGETS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        avatar = self.instance
        asked = [row.model for row in avatar.preparations.all()]
        offered = [one for one in model_choices(avatar) if one[0] != avatar.model]
        self.fields["models"] = ModelsField(choices=offered, initial=asked)

    def models_wanted(self) -> list[str] | None:
        """All models, its own first; None where nobody changed them."""
        if "models" not in self.changed_data:
            return None
        return [self.instance.model, *self.cleaned_data["models"]]


class AvatarAddForm(forms.ModelForm):  # type: ignore[type-arg]
    """A picture or a short video becomes an avatar; both are checked by decoding them."""

    image = forms.FileField(
        required=False,
        label="Portrait",
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": "image/png,image/jpeg,image/webp"}),
        help_text="PNG, JPEG or WebP. A frontal face, lips closed, at least 512 pixels high works best.",
    )
    video = forms.FileField(
        required=False,
        label="or a short video",
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": "video/mp4,video/quicktime,video/webm"}),
        help_text="MP4, MOV or WebM of at most 30 seconds; its first 10 are used.",
    )
    drawn = forms.BooleanField(
        required=False,
        label="A drawing without a detectable face",
        widget=UnfoldBooleanSwitchWidget,
        help_text="You mark the mouth by hand on the next page.",
    )
    model = forms.ChoiceField(
        choices=model_choices,
        initial="viseme",
        widget=UnfoldAdminSelectWidget,
    )
    models = ModelsField(choices=model_choices, initial=services.standing_models)
    default_voice = forms.ChoiceField(choices=voice_choices, required=False, widget=UnfoldAdminSelectWidget)
    ai_disclosure = disclosure()
    name = forms.CharField(max_length=120, widget=UnfoldAdminTextInputWidget)
    description = forms.CharField(
        required=False, max_length=2000, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2})
    )

    source: SourceFile | None = None

    class Meta:
        model = Avatar
        fields = [*TOLD, "model"]
        widgets = {"consent_text": WIDGETS["consent_text"]}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        image, video = cleaned.get("image"), cleaned.get("video")
        if not image and not video and not {"image", "video"} & set(self.errors):
            raise forms.ValidationError("Choose a portrait or a short video.", code="source_required")
        if image and video:
            raise forms.ValidationError("Choose a portrait or a video, not both.", code="source_required")
        field = "image" if image else "video"
        try:
            self.source = self._checked(image, video, drawn=cleaned.get("drawn", False))
        except InvalidInput as error:
            self.add_error(field, forms.ValidationError(str(error), code=error.code))
        return cleaned

    def _checked(self, image: Any, video: Any, *, drawn: bool) -> SourceFile:
        source = sources.image_source(image.read()) if image else sources.video_source(video.read())
        if not drawn and self.cleaned_data.get("model") == "viseme":
            sources.check_face(source)
        return source

    def facts(self) -> AvatarFacts:
        told = self.cleaned_data
        consent = Consent(told["consent_by"], told["consent_text"]) if told["consent_by"] else None
        return AvatarFacts(
            name=services.checked_name(told["name"]),
            description=told["description"],
            model=told["model"],
            models=told["models"],
            default_voice=told["default_voice"],
            ai_disclosure=told["ai_disclosure"],
            consent=consent,
        )
