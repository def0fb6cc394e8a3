"""Personas: how an avatar behaves in a session."""

from typing import Any

from django.db.models import Q, QuerySet

from generation.avatars.models import Avatar
from project.accounts.models import User
from project.errors import NotFound
from sessions.models import Persona

# Who answers where neither the caller nor the avatar's metadata names somebody.
DEFAULT = "support"


def visible_to(user: User) -> QuerySet[Persona]:
    """One's own and everybody's; staff see all. Archived ones are left out."""
    personas = Persona.objects.filter(archived_at=None)
    return personas if user.is_staff else personas.filter(Q(owner=None) | Q(owner=user))


def find(user: User, reference: str) -> Persona | None:
    """Find a visible persona by its id or its slug."""
    return visible_to(user).filter(Q(pk=reference) | Q(slug=reference)).first()


def persona_get(user: User, reference: str) -> Persona:
    """Find a visible persona. Raises `NotFound`, for those of others too."""
    found = find(user, reference)
    if found is None:
        raise NotFound("There is no such persona.", code="persona_not_found")
    return found


def default_for(user: User, avatar: Avatar) -> Persona | None:
    """Return the avatar's own persona, else the service's; None where there is neither."""
    own = avatar.metadata.get("persona")
    named = [own, DEFAULT] if isinstance(own, str) and own else [DEFAULT]
    return next((found for name in named if (found := find(user, name)) is not None), None)


def snapshot(persona: Persona | None) -> dict[str, Any]:
    """Copy what a conversation needs, so that it stays as it began."""
    kept = persona or Persona(name="")
    return {
        "name": kept.name,
        "language": kept.language if persona else "",
        "system_prompt": kept.system_prompt,
        "greeting": kept.greeting,
        "knowledge": kept.knowledge,
        "apology": kept.apology,
        "max_tokens": kept.max_tokens,
        "max_history_turns": kept.max_history_turns,
    }
