"""Which model a clip or a session is drawn with, and why one cannot be had."""

from generation import availability
from generation.availability import Use
from generation.avatars import selectors
from generation.avatars.models import Avatar, AvatarStatus
from generation.avatars.selectors import Prepared
from project.errors import InvalidInput


def choose(avatar: Avatar, model: str, *, use: Use) -> Prepared:
    """How the avatar was prepared for `model`, or for its first one where none is named.

    A model that is named must be at work now; an avatar's own may wait for its workers. Raises
    InvalidInput (`model_not_available`, `avatar_not_prepared_for_model`, `avatar_not_ready`).
    """
    reason = availability.refusal(model, use=use) if model else availability.not_configured(avatar.model)
    if reason is not None:
        raise _bad("model", "model_not_available", f"{model or avatar.model}: {reason}")
    made = selectors.prepared(avatar, model or avatar.model)
    if made is None:
        told = ", ".join(selectors.models_of(avatar)) or "none yet"
        detail = f"This avatar is not prepared for {model}. It is ready for: {told}."
        raise _bad("model", "avatar_not_prepared_for_model", detail)
    if not made.ready:
        raise _not_ready(avatar, made)
    return made


def _not_ready(avatar: Avatar, made: Prepared) -> InvalidInput:
    if made.model == avatar.model:
        return _bad("avatar", "avatar_not_ready", f"This avatar is {made.status}.")
    detail = f"This avatar is being prepared for {made.model} ({made.progress}%)."
    if made.status == AvatarStatus.FAILED:
        detail = f"This avatar could not be prepared for {made.model}: {made.failure_message}"
    return _bad("model", "avatar_not_prepared_for_model", detail)


def _bad(name: str, code: str, detail: str) -> InvalidInput:
    return InvalidInput(detail, code=code, pointer=f"/{name}")
