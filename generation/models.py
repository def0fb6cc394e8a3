"""Everything the app `generation` stores, in one place for Django."""

from generation.avatars.models import Avatar, AvatarPreparation
from generation.clips.models import Clip, ClipFragment, ClipStream, ClipUtterance
from generation.providers.models import ClonedVoice, VoiceConsent, VoiceListing
from generation.uploads.models import Upload

__all__ = [
    "Avatar",
    "AvatarPreparation",
    "Clip",
    "ClipFragment",
    "ClipStream",
    "ClipUtterance",
    "ClonedVoice",
    "Upload",
    "VoiceConsent",
    "VoiceListing",
]
