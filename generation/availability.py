"""Which models can be used now, and why the others cannot.

A model can be used where this installation is configured for it and a worker says that it draws
with it. While the broker is away nobody knows about workers: work is accepted then, and waits.
"""

from collections.abc import Collection, Mapping
from typing import Any, Literal

import redis

from workers import presence, profiles
from workers.adapters.avatar.base import Profile
from workers.presence import Worker

Use = Literal["clips", "sessions"]

UNKNOWN = "There is no such model."
NOT_INSTALLED = "It is not part of this installation."
BROKER_AWAY = "The broker is away; work waits until it is back."


def workers() -> list[Worker] | None:
    """The workers that are there; None while the broker is away."""
    try:
        return presence.present()
    except redis.RedisError:
        return None


def refusal(model: str, *, use: Use) -> str | None:
    """Why somebody who asks for this model by name is refused; None when it can be used."""
    if (reason := not_configured(model)) is not None:
        return reason
    here = workers()
    return None if here is None else absence(profiles.load_profile(model), here, use)


def not_configured(model: str) -> str | None:
    """Why this installation cannot draw with a model at all; None when it can."""
    made = profiles.configs().get(model)
    if made is None:
        return UNKNOWN
    if not profiles.is_installed(model):
        return made.missing or NOT_INSTALLED
    return None


def absence(profile: Profile, here: Collection[Worker], use: Use, *, told: bool = False) -> str | None:
    """Why none of these workers can draw with a model; None when one can.

    `told` says whether what a worker has to say of its trouble is for the reader.
    """
    queue = queue_of(profile, use)
    if any(worker.slots.get(queue) and not _down(worker, profile.id) for worker in here):
        return None
    problem = next((problem for worker in here if (problem := problem_of(worker, profile.id))), "")
    if problem:
        return f"No worker can draw with {profile.id} at the moment" + (f": {problem}" if told else ".")
    what = "clips" if use == "clips" else "live sessions"
    return (
        f"No worker draws {what} with {profile.id} (queue {queue}) at the moment; work waits until one does."
    )


def queue_of(profile: Profile, use: Use) -> str:
    return profile.queue if use == "clips" else profile.live_queue


def problem_of(worker: Worker, model: str) -> str:
    """What went wrong there when it last drew with a model, or tried to; empty while all is well."""
    return str(_said(worker, model).get("problem") or "")


def _down(worker: Worker, model: str) -> bool:
    """Whether a worker knows that it cannot draw with a model; one trouble alone does not say so."""
    return bool(_said(worker, model).get("down"))


def _said(worker: Worker, model: str) -> Mapping[str, Any]:
    return worker.models.get(model) or {}
