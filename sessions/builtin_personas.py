"""The personas that come with the product: `configs/personas/*.yaml`, kept in step with their files.

What staff changed or archived stays theirs: only personas that nobody touched follow their files.
"""

from pathlib import Path
from typing import Any

import yaml
from django.conf import settings
from django.db import transaction

from sessions import abilities
from sessions.models import Persona
from sessions.personas import DEFAULT

FOLDER = Path(__file__).resolve().parents[1] / "configs" / "personas"
TEXTS = ("name", "description", "language", "system_prompt", "greeting", "knowledge", "apology", "voice")
NUMBERS = ("max_tokens", "max_answer_seconds", "max_history_turns")
LISTS = {"tools": abilities.tools, "topics": abilities.topics}


def read(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """Return the columns of each file; `ValueError` names a file with something else in it."""
    return [_columns(path) for path in sorted(folder.glob("*.yaml"))]


def load(folder: Path = FOLDER) -> list[tuple[str, str]]:
    """Bring the table in step; return (slug, what happened) for each. Safe to run at any start."""
    wanted = set(settings.BUILTIN_PERSONAS)
    chosen = [one for one in read(folder) if "all" in wanted or one["slug"] in wanted]
    # Newest first is the catalogue's order, so whoever answers by default is made last.
    chosen.sort(key=lambda one: one["slug"] == DEFAULT)
    return [(one["slug"], _load(one)) for one in chosen]


def _load(columns: dict[str, Any]) -> str:
    with transaction.atomic():
        persona = Persona.objects.select_for_update().filter(owner=None, slug=columns["slug"]).first()
        if persona is None:
            Persona.objects.create(builtin=True, **columns)
            return "created"
        if not persona.builtin or persona.archived_at is not None:
            return "left as it is"
        changed = {name: value for name, value in columns.items() if getattr(persona, name) != value}
        for name, value in changed.items():
            setattr(persona, name, value)
        if changed:
            persona.save()
        return "updated" if changed else "unchanged"


def _columns(path: Path) -> dict[str, Any]:
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(told, dict) or not {"slug", "name"} <= set(told) <= {"slug", *TEXTS, *NUMBERS, *LISTS}:
        raise ValueError(f"{path.name} is no persona: slug and name are needed, and nothing unknown")
    texts = {name: str(told.get(name) or "").strip() for name in TEXTS}
    numbers = {name: int(told[name]) for name in NUMBERS if told.get(name) is not None}
    lists = {name: check(told.get(name) or []) for name, check in LISTS.items()}
    return {"slug": str(told["slug"]), **texts, **numbers, **lists}
