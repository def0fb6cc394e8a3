"""Every way to start background work. Names, not imports: tasks sit above us.

The row that a message points to is the truth, so a message that cannot be sent is only late:
the reconciler finds rows without a message and sends it again.
"""

import base64
import json
import logging
import threading
import time
from collections.abc import Iterable
from functools import cache, partial
from uuid import uuid4

import redis
from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError

from project import carrying

SPEAK = "workers.tasks.clips.speak"
RENDER_FRAGMENT = "workers.tasks.clips.render_fragment"
RENDER_STREAM = "workers.tasks.clips.render_stream"
ASSEMBLE = "workers.tasks.clips.assemble"
PREPARE_AVATAR = "workers.tasks.avatars.prepare"
DELIVER_DUE = "workers.tasks.webhooks.deliver_due"
DELIVER = "workers.tasks.webhooks.deliver"
RENDER_LIVE = "workers.tasks.live.render"
RECORDING = "workers.tasks.recordings.assemble"
DOCUMENT = "workers.tasks.documents.prepare"
CLONE_VOICE = "workers.tasks.voices.clone"
TASKS = (
    SPEAK,
    RENDER_FRAGMENT,
    RENDER_STREAM,
    ASSEMBLE,
    PREPARE_AVATAR,
    DELIVER_DUE,
    DELIVER,
    RENDER_LIVE,
    RECORDING,
    CLONE_VOICE,
)

SPEECH_QUEUE = "speech"
MEDIA_QUEUE = "media"
PREPARE_QUEUE = "prepare"
WEBHOOKS_QUEUE = "webhooks"
GENERAL_QUEUES = (SPEECH_QUEUE, MEDIA_QUEUE, PREPARE_QUEUE, WEBHOOKS_QUEUE, "maintenance")

SOCKET_TIMEOUT_SECONDS = 2
# One more try on a fresh connection: a broker that came back leaves dead sockets in the pool.
RETRY_ONCE = {"max_retries": 1, "interval_start": 0, "interval_step": 0}

_log = logging.getLogger(__name__)
_reachable = threading.Event()
_reachable.set()


def speak(clip_id: str) -> None:
    """Turn the clip's script into sound, and plan its fragments."""
    _after_commit(SPEAK, SPEECH_QUEUE, clip_id)


def render_fragment(clip_id: str, index: int, queue: str) -> None:
    """Draw and encode one fragment on the queue of its model."""
    _after_commit(RENDER_FRAGMENT, queue, clip_id, index)


def render_stream(clip_id: str, queue: str) -> None:
    """Draw what can be drawn of a clip, in order, on the queue of its stateful model."""
    _after_commit(RENDER_STREAM, queue, clip_id)


def assemble(clip_id: str) -> None:
    """Join the fragments of a clip and its sound."""
    _after_commit(ASSEMBLE, MEDIA_QUEUE, clip_id)


def recording(recording_id: str) -> None:
    """Join what was written down of a session."""
    _after_commit(RECORDING, MEDIA_QUEUE, recording_id)


def document(document_id: str) -> None:
    """Read a persona's document."""
    _after_commit(DOCUMENT, MEDIA_QUEUE, document_id)


def prepare_avatar(avatar_id: str) -> None:
    """Make an avatar ready."""
    _after_commit(PREPARE_AVATAR, PREPARE_QUEUE, avatar_id)


def clone_voice(voice_id: str) -> None:
    """Copy a voice at its provider, or remove the copy."""
    _after_commit(CLONE_VOICE, MEDIA_QUEUE, voice_id)


def webhooks_due() -> None:
    """Start a round of webhook deliveries."""
    _after_commit(DELIVER_DUE, WEBHOOKS_QUEUE)


def deliver_webhook(delivery_id: str) -> None:
    """Make one attempt at a delivery."""
    _after_commit(DELIVER, WEBHOOKS_QUEUE, delivery_id)


def worker_queue(worker: str) -> str:
    """The queue that one render worker takes from, and nobody else; `worker` is its name in `presence`."""
    return f"worker.{worker}"


def live_message(queue: str, request: str) -> tuple[str, str]:
    """Return (key, message) to push for a live render request.

    A session publishes from its event loop, over a connection that never blocks it, so the message is
    written here the way Celery's second protocol wants it, instead of by Celery's producer.
    """
    task_id = uuid4().hex
    headers = {"lang": "py", "task": RENDER_LIVE, "id": task_id, "root_id": task_id, "argsrepr": "(...)"}
    message = {
        "body": json.dumps([[request], {}, {}]),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers
        | {"ignore_result": True, "retries": 0, "timelimit": [None, None], "published_at": time.time()}
        | carrying.headers(),
        "properties": {
            "correlation_id": task_id,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "delivery_mode": 1,
            "delivery_tag": task_id,
            "priority": 0,
        },
    }
    return _prefixed(queue), json.dumps(message)


def waiting(queue: str) -> set[tuple[str, ...]]:
    """Return (task, arguments...) of every message that waits in a queue.

    Raises `redis.RedisError` while the broker is away.
    """
    raw = _broker().lrange(_prefixed(queue), 0, -1)
    return {_identity(message) for message in raw if isinstance(message, bytes)}


def depth(queue: str) -> int:
    """Count the messages in a queue. Raises `redis.RedisError` while the broker is away."""
    return int(_broker().llen(_prefixed(queue)))


def queued(queues: Iterable[str]) -> dict[str, tuple[int, float]]:
    """Return (messages, age of the oldest in seconds) of each queue; 0 where nothing waits.

    Raises `redis.RedisError` while the broker is away.
    """
    names = list(queues)
    asked = _broker().pipeline(transaction=False)
    for queue in names:
        asked.llen(_prefixed(queue))
        asked.lindex(_prefixed(queue), -1)
    answers = asked.execute()
    return {
        queue: (int(depth), _age(oldest))
        for queue, depth, oldest in zip(names, answers[::2], answers[1::2], strict=True)
    }


def _age(message: bytes | None) -> float:
    """For how long a message has waited; 0 where it does not say when it was sent."""
    try:
        published_at = json.loads(message or b"")["headers"]["published_at"]
        return max(0.0, time.time() - float(published_at))
    except (LookupError, TypeError, ValueError):
        return 0.0


def identity(task: str, *args: object) -> tuple[str, ...]:
    """What `waiting` says of a message with these arguments."""
    return (task, *map(str, args))


def _after_commit(task: str, queue: str, *args: object) -> None:
    transaction.on_commit(partial(_publish, task, queue, args))


def _publish(task: str, queue: str, args: tuple[object, ...]) -> None:
    try:
        current_app.signature(task, args=args).apply_async(queue=queue, retry=True, retry_policy=RETRY_ONCE)
    except (OperationalError, OSError) as error:
        if _reachable.is_set():
            _log.warning("The broker is away; work waits in the database (%s)", error)
        _reachable.clear()
    else:
        _reachable.set()


def _identity(message: bytes) -> tuple[str, ...]:
    envelope = json.loads(message)
    args = json.loads(base64.b64decode(envelope["body"]))[0]
    return identity(envelope["headers"]["task"], *args)


def _prefixed(queue: str) -> str:
    return f"{settings.CELERY_BROKER_TRANSPORT_OPTIONS.get('global_keyprefix', '')}{queue}"


def _broker() -> "redis.Redis":
    return _client(settings.CELERY_BROKER_URL)


@cache
def _client(url: str) -> "redis.Redis":
    """One for all threads: a new one for each question would be a new connection each time."""
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
    )
