"""What a session and a live render worker say to each other.

A request travels inside a Celery message, a reply through the stream of the process that asked. Both are
JSON with bytes beside it: those of a request lie under a key of their own, since a message holds text, and
Celery copies it about.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NotRequired, TypedDict

from workers.adapters.avatar.base import SAMPLES_PER_FRAME, Phone
from workers.rendering.encode import LIVE_CRF

REPLIES = "live:replies:"
EPOCH = "live:epoch:"
WARM = "live:warm"  # a channel, and the sorted set of what went through it lately
TAKEN = "live:taken:"
SOUND = "live:sound:"
DONE = b"done"
OPENING = -1
EVERYTHING = 2**53  # an epoch that no session reaches


class WireError(ValueError):
    """Bytes that are no request or reply of ours."""


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """One fragment that a session wants now.

    The same `epoch` and `number` asked again is the same fragment. `incarnation` names one process's
    time with the session: another one starts its numbers anew. `reply_to` is the stream of replies.
    `start_frame` is the phase of the avatar's motion. `pcm16k` is s16le mono at 16 kHz of
    `lookback + frames * 640 + lookahead` samples; `phones` are timed in ms relative to the first
    frame. `published_at` and `deadline_at` are Unix seconds. `attempt` counts from 1. `first` says that
    the idle loop is shown before it, `last` that the reply is over behind it. `account` is whose
    session it is.

    Of a stateful model the numbers of an epoch are drawn in order, from 0; the session has all of them
    before `since`. Number `OPENING`, without frames, only has the session's stream opened.
    """

    session: str
    incarnation: str
    epoch: int
    number: int
    reply_to: str
    model: str
    bundle_key: str
    bundle_sha256: str
    width: int
    height: int
    start_frame: int
    frames: int
    pcm16k: bytes
    lookback: int
    lookahead: int
    published_at: float = 0.0
    deadline_at: float = 0.0
    phones: tuple[Phone, ...] = ()
    crf: float = LIVE_CRF
    attempt: int = 1
    first: bool = False
    last: bool = False
    account: str = ""
    since: int = 0

    @property
    def name(self) -> str:
        """What tells it from every other request, however often it is sent."""
        return f"{self.session}:{self.incarnation}:{self.epoch}:{self.number}"

    @property
    def member(self) -> str:
        """Who holds the slot; also what one stream of a stateful model is kept for."""
        return member(self.session, self.incarnation)

    @property
    def opens(self) -> bool:
        return self.number == OPENING

    @property
    def taken_key(self) -> str:
        """Where a worker says that it is at it, or done."""
        return TAKEN + self.name

    @property
    def sound_key(self) -> str:
        """Where its sound lies."""
        return SOUND + self.name

    @property
    def epoch_key(self) -> str:
        """Where the last epoch that is over can be read."""
        return epoch_key(self.session, self.incarnation)


class Fields(TypedDict):
    """What whoever wants a fragment says of it: see `RenderRequest`."""

    epoch: int
    number: int
    model: str
    bundle_key: str
    bundle_sha256: str
    width: int
    height: int
    start_frame: int
    frames: int
    pcm16k: bytes
    lookback: int
    lookahead: int
    phones: NotRequired[tuple[Phone, ...]]
    crf: NotRequired[float]
    first: NotRequired[bool]
    last: NotRequired[bool]
    account: NotRequired[str]


@dataclass(frozen=True, slots=True)
class RenderReply:
    """One fragment, or why there is none.

    `data` is an MP4 of `frames` pictures, H.264 alone. `render_ms` is the worker's time from hearing
    to bytes, `queue_ms` what passed between publishing and pick-up. `seam` says that the stream which
    drew what came before was lost.
    """

    session: str
    incarnation: str
    epoch: int
    number: int
    data: bytes
    frames: int
    render_ms: float
    queue_ms: float
    worker: str
    error_code: str = ""
    retryable: bool = False
    attempt: int = 1
    seam: bool = False


def member(session: str, incarnation: str) -> str:
    return f"{session}:{incarnation}"


def epoch_key(session: str, incarnation: str) -> str:
    return f"{EPOCH}{session}:{incarnation}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """An avatar that a session is about to use."""

    model: str
    bundle_key: str
    bundle_sha256: str


def dump_wanted(wanted: Wanted) -> str:
    return json.dumps([wanted.model, wanted.bundle_key, wanted.bundle_sha256])


def load_wanted(text: bytes) -> Wanted:
    """Read what `dump_wanted` wrote. Raises `WireError`."""
    try:
        return Wanted(*map(str, json.loads(text)))
    except (ValueError, TypeError) as error:
        raise WireError(f"no avatar: {error}") from error


def dump_request(request: RenderRequest) -> str:
    """Return a request as text for a message, without its sound."""
    head = {name: getattr(request, name) for name in _REQUEST_HEAD}
    head["phones"] = [(p.symbol, p.start_ms, p.end_ms) for p in request.phones]
    return json.dumps(head)


def load_request(text: str) -> RenderRequest:
    """Read a request, without its sound. Raises `WireError`."""
    try:
        head = json.loads(text)
        head["phones"] = tuple(Phone(*phone) for phone in head["phones"])
        return RenderRequest(**head, pcm16k=b"")
    except (ValueError, TypeError, KeyError) as error:
        raise WireError(f"no render request: {error}") from error


def with_sound(request: RenderRequest, sound: bytes) -> RenderRequest:
    """Join a request and its sound. Raises `WireError` where they do not belong together."""
    samples = request.lookback + request.frames * SAMPLES_PER_FRAME + request.lookahead
    if request.frames < 1 or len(sound) != samples * 2:
        raise WireError(f"{len(sound)} bytes of sound for {request.frames} frames")
    return replace(request, pcm16k=sound)


def dump_reply(reply: RenderReply) -> dict[Any, Any]:
    """Return the fields of a stream entry."""
    head = asdict(reply)
    data = head.pop("data")
    return {b"head": json.dumps(head).encode(), b"data": data}


def load_reply(entry: dict[bytes, Any]) -> RenderReply:
    """Read a stream entry. Raises `WireError`."""
    try:
        return RenderReply(**json.loads(entry[b"head"]), data=bytes(entry[b"data"]))
    except (ValueError, TypeError, KeyError) as error:
        raise WireError(f"no render reply: {error}") from error


_REQUEST_HEAD = [f.name for f in fields(RenderRequest) if f.name not in ("pcm16k", "phones")]
