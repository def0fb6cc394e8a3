"""Whether the providers that somebody wishes for can be had."""

from collections.abc import Mapping, Sequence
from typing import Any

from generation.providers import accounts
from generation.providers.accounts import Kind
from project.errors import InvalidInput

MAX_CHAIN = 8
DOES: dict[Kind, str] = {"tts": "speaks", "stt": "understands speech", "llm": "answers"}


def check(wish: Any, kinds: Sequence[Kind], *, pointer: str = "/providers") -> dict[str, list[str]]:
    """Return `{"tts": [...], ...}` as it is kept. Raises `InvalidInput` with a code and a pointer."""
    if not wish:
        return {}
    if not isinstance(wish, Mapping):
        raise InvalidInput("providers is an object of lists.", code="invalid", pointer=pointer)
    for kind in wish:
        if kind not in kinds:
            detail = f"providers has the fields {', '.join(kinds)}."
            raise InvalidInput(detail, code="invalid", pointer=f"{pointer}/{kind}")
    return {
        kind: _chain(wish[kind], kind, f"{pointer}/{kind}") for kind in kinds if wish.get(kind) is not None
    }


def _chain(names: Any, kind: Kind, pointer: str) -> list[str]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidInput("Give a list of provider ids.", code="invalid", pointer=pointer)
    if len(names) > MAX_CHAIN:
        detail = f"At most {MAX_CHAIN} providers follow each other."
        raise InvalidInput(detail, code="invalid", pointer=pointer)
    for at, name in enumerate(names):
        _check(name, kind, f"{pointer}/{at}")
    return list(dict.fromkeys(names))


def _check(name: str, kind: Kind, pointer: str) -> None:
    if not accounts.can(name, kind):
        detail = f"There is no provider {name[:60]!r} that {DOES[kind]}."
        raise InvalidInput(detail, code="provider_unknown", pointer=pointer)
    if not accounts.is_configured(name):
        detail = f"The provider {name!r} is not configured here."
        raise InvalidInput(detail, code="provider_not_configured", pointer=pointer)
