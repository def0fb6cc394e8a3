"""Personas: how an avatar behaves in a session."""

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django.utils.text import slugify

from generation import voices
from generation.avatars.models import Avatar
from generation.providers import Kind
from generation.providers import wishes as chains
from project.accounts.models import User
from project.errors import Conflict, InvalidInput, NotAllowed, NotFound
from project.ids import new_id
from sessions.models import Persona

# Who answers where neither the caller nor the avatar's metadata names somebody.
DEFAULT = "support"
MAX_PERSONAS = 200
PROVIDERS: tuple[Kind, ...] = ("tts", "stt", "llm")


def visible_to(user: User) -> QuerySet[Persona]:
    """One's own and everybody's; staff see all. Archived ones are left out."""
    personas = Persona.objects.filter(archived_at=None)
    return personas if user.is_staff else personas.filter(Q(owner=None) | Q(owner=user))


def find(user: User, reference: str) -> Persona | None:
    """Find a visible persona by its id, or by its slug: one's own before everybody's."""
    mine = Q(owner=None) | Q(owner=user)
    found = visible_to(user).filter(Q(pk=reference) | mine & Q(slug=reference))
    return found.order_by(F("owner").asc(nulls_last=True)).first()


def persona_get(user: User, reference: str) -> Persona:
    """Find a visible persona. Raises `NotFound`, for those of others too."""
    found = find(user, reference)
    if found is None:
        raise NotFound("There is no such persona.", code="persona_not_found")
    return found


def persona_list(user: User, *, query: str = "") -> QuerySet[Persona]:
    personas = Persona.objects.filter(Q(owner=None) | Q(owner=user), archived_at=None)
    return personas.filter(name__icontains=query) if query else personas


def changeable_by(user: User, persona: Persona) -> Persona:
    """Return the persona if this user may change it. Raises `NotAllowed`."""
    if persona.owner_id != user.pk and not user.is_staff:
        raise NotAllowed("Only staff accounts change what everybody uses.", code="persona_shared")
    return persona


def persona_create(owner: User, *, slug: str = "", **fields: Any) -> Persona:
    """Make a persona of one's own. Raises `InvalidInput` or `Conflict`. Called in a transaction."""
    _check_voice(owner, fields)
    fields = _checked_providers(fields)
    User.objects.select_for_update(no_key=True).get(pk=owner.pk)
    if Persona.objects.filter(owner=owner, archived_at=None).count() >= MAX_PERSONAS:
        raise Conflict(f"An account has at most {MAX_PERSONAS} personas.", code="too_many_personas")
    persona = Persona(id=new_id("psn"), owner=owner, **fields)
    persona.slug = slug or _free_slug(persona)
    return _saved(persona)


def persona_update(persona: Persona, changes: Mapping[str, Any], *, by: User | None = None) -> Persona:
    """Change some fields; `by` may use voices of their own. Raises `InvalidInput`.

    A built-in one follows its file no more.
    """
    _check_voice(by, changes)
    for name, value in _checked_providers(changes).items():
        setattr(persona, name, value)
    persona.builtin = False
    return _saved(persona)


def persona_archive(persona: Persona) -> None:
    """Take a persona out of use; sessions keep what they began with.

    Its slug becomes free, except that of a built-in one, which would be loaded again.
    """
    slug = persona.slug if persona.builtin else persona.pk.replace("_", "-")
    rows = Persona.objects.filter(pk=persona.pk, archived_at=None)
    rows.update(archived_at=timezone.now(), slug=slug)


def _saved(persona: Persona) -> Persona:
    try:
        with transaction.atomic():
            persona.save()
    except IntegrityError as error:
        raise InvalidInput(
            f"The slug {persona.slug!r} is taken.", code="slug_taken", pointer="/slug"
        ) from error
    return persona


def _free_slug(persona: Persona) -> str:
    """A slug from the name, made unique by the end of the id where it is taken."""
    slug = slugify(persona.name)[:60] or "persona"
    taken = Persona.objects.filter(Q(owner=None) | Q(owner=persona.owner), slug=slug).exists()
    return f"{slug}-{persona.pk[-8:]}" if taken else slug


def _check_voice(user: User | None, fields: Mapping[str, Any]) -> None:
    if fields.get("voice"):
        try:
            voices.get(fields["voice"], user)
        except InvalidInput as error:
            raise InvalidInput(str(error), code=error.code, pointer="/voice") from error


def _checked_providers(fields: Mapping[str, Any]) -> dict[str, Any]:
    told = dict(fields)
    if "providers" in told:
        told["providers"] = chains.check(told["providers"], PROVIDERS)
    return told


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
        "max_answer_seconds": kept.max_answer_seconds,
        "max_history_turns": kept.max_history_turns,
        "providers": kept.providers,
        "tools": kept.tools,
        "topics": kept.topics,
    }
