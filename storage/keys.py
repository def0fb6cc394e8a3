"""Where every object lives. Keys of one clip or session sort in playing order.

>>> fragment("clip_1", 9) < fragment("clip_1", 10) < fragment("clip_1", 100_000)
True
>>> utterance("clip_1", 2) < utterance("clip_1", 10)
True
>>> avatar_version("avt_1", 9) < avatar_version("avt_1", 10)
True

An owner's objects share a prefix that ends in a slash, so that deleting one owner never touches another
whose id merely starts alike.

>>> fragment("clip_1", 0).startswith(clip("clip_1"))
True
>>> fragment("clip_12", 0).startswith(clip("clip_1"))
False
"""

CLIPS = "clips/"
UPLOADS = "uploads/"
AVATARS = "avatars/"
SESSIONS = "sessions/"
DOCUMENTS = "documents/"
CLONES = "clones/"
# Prefixes whose objects belong to a row; an object without its row is an orphan.
OWNED = (CLIPS, UPLOADS, AVATARS, SESSIONS, CLONES)

AVATAR_FILES = ("bundle.bin", "idle.mp4", "idle_low.mp4", "preview.jpg", "portrait.png")
RESULT_FILES = ("video.mp4", "poster.jpg", "captions.srt", "captions.vtt")
RECORDING_FILES = ("video.mp4", "session.vtt")


def upload(upload_id: str) -> str:
    """Prefix of everything of an upload.

    >>> upload("upl_1")
    'uploads/upl_1/'
    """
    return f"{UPLOADS}{_safe(upload_id)}/"


def upload_original(upload_id: str, extension: str) -> str:
    """The bytes as they came; `extension` without its dot.

    >>> upload_original("upl_1", "wav")
    'uploads/upl_1/original.wav'
    """
    return f"{upload(upload_id)}original.{_safe(extension)}"


def upload_audio(upload_id: str) -> str:
    """The decoded sound: 48 kHz mono s16le.

    >>> upload_audio("upl_1")
    'uploads/upl_1/audio.pcm'
    """
    return f"{upload(upload_id)}audio.pcm"


def avatar(avatar_id: str) -> str:
    """Prefix of everything of an avatar.

    >>> avatar("avt_1")
    'avatars/avt_1/'
    """
    return f"{AVATARS}{_safe(avatar_id)}/"


def avatar_source(avatar_id: str, extension: str) -> str:
    """The picture or video it was made from.

    >>> avatar_source("avt_1", "png")
    'avatars/avt_1/source.png'
    """
    return f"{avatar(avatar_id)}source.{_safe(extension)}"


def avatar_version(avatar_id: str, version: int) -> str:
    """Prefix of one preparation; clips keep the version they started with.

    >>> avatar_version("avt_1", 3)
    'avatars/avt_1/v0003/'
    """
    return f"{avatar(avatar_id)}v{version:04d}/"


def avatar_file(avatar_id: str, version: int, name: str) -> str:
    """One of AVATAR_FILES.

    >>> avatar_file("avt_1", 3, "idle.mp4")
    'avatars/avt_1/v0003/idle.mp4'
    """
    return avatar_version(avatar_id, version) + _safe(name)


def preparation_file(avatar_id: str, preparation_id: str, version: int, name: str) -> str:
    """One of AVATAR_FILES, made for one of the avatar's further models.

    >>> preparation_file("avt_1", "prep_1", 2, "bundle.bin")
    'avatars/avt_1/prep_1/v0002/bundle.bin'
    """
    return f"{avatar(avatar_id)}{_safe(preparation_id)}/v{version:04d}/{_safe(name)}"


def preview_beside(bundle_key: str) -> str:
    """The still picture that was prepared with a bundle.

    >>> preview_beside("avatars/avt_1/prep_1/v0002/bundle.bin")
    'avatars/avt_1/prep_1/v0002/preview.jpg'
    """
    folder, _, _ = bundle_key.rpartition("/")
    return f"{folder}/preview.jpg"


def idle_low(idle_key: str) -> str:
    """The lower rendition beside an idle loop. Avatars of earlier versions have none.

    >>> idle_low("avatars/avt_1/v0003/idle.mp4")
    'avatars/avt_1/v0003/idle_low.mp4'
    """
    folder, _, _ = idle_key.rpartition("/")
    return f"{folder}/idle_low.mp4"


def clip(clip_id: str) -> str:
    """Prefix of everything of a clip.

    >>> clip("clip_1")
    'clips/clip_1/'
    """
    return f"{CLIPS}{_safe(clip_id)}/"


def utterances(clip_id: str) -> str:
    """
    >>> utterances("clip_1")
    'clips/clip_1/utterances/'
    """
    return f"{clip(clip_id)}utterances/"


def utterance(clip_id: str, index: int) -> str:
    """The sound of one utterance: 48 kHz mono s16le.

    >>> utterance("clip_1", 7)
    'clips/clip_1/utterances/00007.pcm'
    """
    return f"{utterances(clip_id)}{index:05d}.pcm"


def utterance_timings(clip_id: str, index: int) -> str:
    """Its phones and words, as JSON.

    >>> utterance_timings("clip_1", 7)
    'clips/clip_1/utterances/00007.json'
    """
    return f"{utterances(clip_id)}{index:05d}.json"


def fragments(clip_id: str) -> str:
    """
    >>> fragments("clip_1")
    'clips/clip_1/fragments/'
    """
    return f"{clip(clip_id)}fragments/"


def fragment(clip_id: str, index: int) -> str:
    """The encoded video of one chunk.

    >>> fragment("clip_1", 42)
    'clips/clip_1/fragments/000042.mp4'
    """
    return f"{fragments(clip_id)}{index:06d}.mp4"


def clip_audio(clip_id: str) -> str:
    """The whole sound, encoded before assembly.

    >>> clip_audio("clip_1")
    'clips/clip_1/audio.m4a'
    """
    return f"{clip(clip_id)}audio.m4a"


def result(clip_id: str, name: str) -> str:
    """One of RESULT_FILES.

    >>> result("clip_1", "video.mp4")
    'clips/clip_1/result/video.mp4'
    """
    return f"{clip(clip_id)}result/{_safe(name)}"


def session(session_id: str) -> str:
    """Prefix of everything that is kept of a session.

    >>> session("ses_1")
    'sessions/ses_1/'
    """
    return f"{SESSIONS}{_safe(session_id)}/"


def recording_parts(session_id: str) -> str:
    """Prefix of what was written down while the session went on.

    >>> recording_parts("ses_1")
    'sessions/ses_1/parts/'
    """
    return f"{session(session_id)}parts/"


def recording_part(session_id: str, fence: int, number: int) -> str:
    """A few seconds of a session; `fence` is its host's, so that no host writes over another's.

    >>> recording_part("ses_1", 2, 17)
    'sessions/ses_1/parts/000002-000017.part'
    """
    return f"{recording_parts(session_id)}{fence:06d}-{number:06d}.part"


def part_of(key: str) -> tuple[int, int]:
    """Return fence and number of a part.

    >>> part_of("sessions/ses_1/parts/000002-000017.part")
    (2, 17)
    """
    fence, _, number = key.rpartition("/")[2].removesuffix(".part").partition("-")
    return int(fence), int(number)


def recording(session_id: str, name: str) -> str:
    """One of RECORDING_FILES.

    >>> recording("ses_1", "video.mp4")
    'sessions/ses_1/recording/video.mp4'
    """
    return f"{session(session_id)}recording/{_safe(name)}"


def clone(voice_id: str) -> str:
    """Prefix of everything of a copied voice.

    >>> clone("vcl_1")
    'clones/vcl_1/'
    """
    return f"{CLONES}{_safe(voice_id)}/"


def clone_sound(voice_id: str) -> str:
    """The recording that a voice is copied from: 24 kHz mono WAV.

    >>> clone_sound("vcl_1")
    'clones/vcl_1/sound.wav'
    """
    return f"{clone(voice_id)}sound.wav"


def document(document_id: str) -> str:
    """Prefix of everything of a persona's document.

    >>> document("doc_1")
    'documents/doc_1/'
    """
    return f"{DOCUMENTS}{_safe(document_id)}/"


def document_original(document_id: str) -> str:
    """The bytes as they came.

    >>> document_original("doc_1")
    'documents/doc_1/original'
    """
    return f"{document(document_id)}original"


def owner(key: str) -> tuple[str, str]:
    """Split a key into its top prefix and the id of the row it belongs to.

    >>> owner("clips/clip_1/fragments/000042.mp4")
    ('clips/', 'clip_1')
    """
    top, _, rest = key.partition("/")
    return f"{top}/", rest.partition("/")[0]


def _safe(part: str) -> str:
    """Refuse a part that would leave its folder: keys are built from ids, never from what people type.

    >>> _safe("../other")
    Traceback (most recent call last):
    ValueError: Not a part of an object key: '../other'
    """
    if not part or part.startswith(".") or not all(c.isalnum() or c in "_-." for c in part):
        raise ValueError(f"Not a part of an object key: {part!r}")
    return part
