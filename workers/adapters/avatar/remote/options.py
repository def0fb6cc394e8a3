"""What a model's file says about a server, checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from workers.adapters.avatar.base import FPS, SAMPLES_PER_FRAME, Profile
from workers.adapters.avatar.remote.client import Deadlines


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """`options` of a backend in `configs/models/<id>.yaml`."""

    path: str = ""
    """Below the address that the operator gives; empty where that is the whole of it."""
    model: str = ""
    """What the server calls the model, where a session has to name it."""
    listed: str = ""
    """Its name in OmniRT's list of models; empty where the server has no such list."""
    exclusive: bool = False
    """Whether the server has one session for everybody, so that it is used under a lease."""
    watch_scene: bool = True
    """Whether pictures of an exclusive server are compared with those before: is it still our portrait?"""
    progressive: bool = False
    """Whether the pictures of a chunk may come one by one."""
    lease_wait_seconds: float = 2.0
    """So long a live session waits for the lease; clips come again later."""
    prompt: str = ""
    seed: int = 9999
    sends_size: bool = False
    """Whether the server is told how large the portrait is."""
    sends_chunk: bool = False
    """Whether the server is told how much to draw at a time."""
    postprocess: str = ""
    template_mode: str = ""
    template_video: str = ""
    """Sent along when a session begins, where they are set: what OmniRT's models take."""
    init: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else is sent along."""
    crossfade_frames: int = 6
    """So many frames blend from the idle loop into speech and back."""
    preroll_chunks: int = 0
    """So many chunks a session that was lost hears again."""
    renew_seconds: float = 0.0
    """After so much sound the session begins anew, for servers that grow slower with it; 0: never."""
    renews_on_reset: bool = False
    """Whether the session begins anew when what was said so far is to be forgotten, as by an interruption."""
    deadlines: Deadlines = field(default_factory=Deadlines)


def read(options: Mapping[str, Any], where: str) -> RemoteOptions:
    """Raises `ValueError` naming the field that is wrong, and `where` it stands."""
    given = dict(options)
    kinds = {item.name: type(item.default) for item in fields(RemoteOptions) if item.name not in _OTHER}
    for name, value in given.items():
        kind = kinds.get(name)
        if kind is None and name not in _OTHER:
            raise ValueError(f"{where}: options.{name} is unknown")
        if kind is not None and not _fits(value, kind):
            raise ValueError(f"{where}: options.{name} must be {_NAMES[kind]}")
        if name in _LIMITS and not _LIMITS[name](value):
            raise ValueError(f"{where}: options.{name} is out of range")
    if "deadlines" in given:
        given["deadlines"] = _deadlines(given["deadlines"], where)
    if not isinstance(given.get("init", {}), Mapping):
        raise ValueError(f"{where}: options.init must be a mapping")  # noqa: TRY004 - of the file
    given["init"] = plain(given.get("init", {}))
    return RemoteOptions(**given)


def beginning(options: RemoteOptions, profile: Profile) -> dict[str, Any]:
    """What a session is begun with, beside the portrait."""
    named = {theirs: getattr(options, ours) for ours, theirs in _NAMED.items()}
    said: dict[str, Any] = {name: value for name, value in named.items() if value}
    if options.sends_chunk:
        frames = profile.chunk_frames
        said |= {"fps": FPS, "slice_len": frames, "motion_frames_num": 1, "frame_num": frames + 1}
        said["chunk_samples"] = frames * SAMPLES_PER_FRAME
    return {**said, **options.init}


def plain(value: Any) -> Any:
    """What JSON can hold, of what a configuration froze."""
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


_NAMED = {
    "postprocess": "wav2lip_postprocess_mode",
    "template_mode": "template_mode",
    "template_video": "template_video",
}
_OTHER = {"init", "deadlines"}
_NAMES = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}
_LIMITS: dict[str, Callable[[Any], bool]] = {
    "path": lambda path: path == "" or path.startswith("/"),
    "crossfade_frames": lambda count: 0 <= count <= 25,
    "preroll_chunks": lambda count: 0 <= count <= 8,
    "renew_seconds": lambda seconds: seconds == 0 or seconds >= 10,
    "lease_wait_seconds": lambda seconds: 0 <= seconds <= 60,
}


def _fits(value: Any, kind: type) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    return isinstance(value, int | float if kind is float else kind)


def _deadlines(given: Any, where: str) -> Deadlines:
    names = {item.name for item in fields(Deadlines)}
    if not isinstance(given, Mapping) or set(given) - names:
        raise ValueError(f"{where}: options.deadlines may hold {', '.join(sorted(names))}")
    for name, value in given.items():
        if not _fits(value, float) or not 0 < value <= 3600:
            raise ValueError(f"{where}: options.deadlines.{name} must be seconds, at most 3600")
    return Deadlines(**given)
