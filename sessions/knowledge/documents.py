"""A persona's documents: taking them, finding them, removing them. Every call asks whose persona it is."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError, transaction
from django.db.models import QuerySet, Sum
from django.utils import timezone

from project.accounts.models import User
from project.errors import Conflict, InvalidInput, LimitReached, NotFound
from project.ids import new_id
from sessions import personas
from sessions.knowledge import passages, reading
from sessions.knowledge.models import DocumentStatus, KnowledgeDocument, Passage
from sessions.models import Persona
from storage import keys
from storage.errors import StorageError
from storage.s3 import store
from workers import dispatch

# A document that is being removed: nobody sees it, and `upkeep` goes on where this was cut short.
REMOVING = "removing"
AT_ONCE = 1_000

_log = logging.getLogger(__name__)


def knowing(user: User, persona_id: str) -> Persona:
    """Find the persona whose documents this user may see. Raises `NotFound`.

    What is everybody's is for staff alone: its documents are not what a customer was given.
    """
    persona = personas.persona_get(user, persona_id)
    if persona.owner_id != user.pk and not user.is_staff:
        raise NotFound("There is no such persona.", code="persona_not_found")
    return persona


def document_list(persona: Persona) -> QuerySet[KnowledgeDocument]:
    return KnowledgeDocument.objects.filter(persona=persona).exclude(failure_code=REMOVING)


def document_get(persona: Persona, document_id: str) -> KnowledgeDocument:
    """Find a document of a persona. Raises `NotFound`."""
    found = document_list(persona).filter(pk=document_id).first()
    if found is None:
        raise NotFound("There is no such document.", code="document_not_found")
    return found


def read_file(file: UploadedFile[Any]) -> bytes:
    """The bytes of an upload. Raises `InvalidInput`."""
    if (file.size or 0) > settings.MAX_DOCUMENT_BYTES:
        raise _too_large()
    data: bytes = file.read()
    return data


def document_create(persona: Persona, name: str, data: bytes) -> tuple[KnowledgeDocument, bool]:
    """Take a document; False where the persona has these very bytes already.

    One that could not be read before is tried again. Raises `InvalidInput` or `LimitReached`.
    """
    if not data.strip():
        raise InvalidInput("The document is empty.", code="file_empty", pointer="/file")
    if len(data) > settings.MAX_DOCUMENT_BYTES:
        raise _too_large()
    kind = reading.kind_of(name, data)
    if kind is None:
        message = "Send text, Markdown or a PDF."
        raise InvalidInput(message, code="unsupported_document", pointer="/file", status=415)
    digest = hashlib.sha256(data).hexdigest()
    if (known := _known(persona, digest)) is not None:
        return known, False
    _check_limits(persona, len(data))
    document = KnowledgeDocument(
        id=new_id("doc"), persona=persona, name=_name(name), kind=kind, bytes=len(data), sha256=digest
    )
    document.key = keys.document_original(document.pk)
    document.enqueued_at = timezone.now()
    store().put_bytes(document.key, data, "application/octet-stream")
    try:
        with transaction.atomic():
            document.save(force_insert=True)
            dispatch.document(document.pk)
    except IntegrityError:  # the same file came twice at once
        _remove_objects(document.pk)
        if (known := _known(persona, digest)) is not None:
            return known, False
        raise Conflict("This persona was deleted meanwhile.", code="persona_deleted") from None
    return document, True


def document_delete(document: KnowledgeDocument) -> None:
    """Remove a document: its passages and vectors, its place in the index, its file."""
    rows = KnowledgeDocument.objects.filter(pk=document.pk)
    # Found no more from here on; whoever prepares it finds that the lease is gone.
    rows.update(status=DocumentStatus.FAILED, failure_code=REMOVING, lease_token="", lease_until=None)
    remove_passages(document.pk)
    with transaction.atomic():
        rows.delete()
        passages.counted(document.persona_id)
    _remove_objects(document.pk)


def erase(found: Iterable[KnowledgeDocument]) -> int:
    """Remove documents, one by one; return how many there were."""
    removed = 0
    for document in found:
        document_delete(document)
        removed += 1
    return removed


def remove_passages(document_id: str) -> None:
    """Delete passages a few at a time, so that others get to write in between."""
    rows = Passage.objects.filter(document=document_id)
    while ids := list(rows.values_list("pk", flat=True)[:AT_ONCE]):
        Passage.objects.filter(pk__in=ids).delete()


def _known(persona: Persona, digest: str) -> KnowledgeDocument | None:
    """The document with these bytes; one that failed is prepared again."""
    found = document_list(persona).filter(sha256=digest).first()
    if found is not None and found.status == DocumentStatus.FAILED:
        with transaction.atomic():
            rows = KnowledgeDocument.objects.filter(pk=found.pk, status=DocumentStatus.FAILED)
            again = rows.exclude(failure_code=REMOVING).update(
                status=DocumentStatus.PREPARING,
                failure_code="",
                failure_message="",
                attempts=0,
                next_attempt_at=None,
                enqueued_at=timezone.now(),
            )
            if again:
                dispatch.document(found.pk)
        found.refresh_from_db()
    return found


def _check_limits(persona: Persona, size: int) -> None:
    count = KnowledgeDocument.objects.filter(persona=persona).count()
    if count >= settings.PERSONA_MAX_DOCUMENTS:
        message = f"A persona has at most {settings.PERSONA_MAX_DOCUMENTS} documents."
        raise LimitReached(
            message, code="too_many_documents", limit=settings.PERSONA_MAX_DOCUMENTS, used=count
        )
    if persona.owner_id is None:
        return
    mine = KnowledgeDocument.objects.filter(persona__owner=persona.owner_id)
    used = mine.aggregate(n=Sum("bytes"))["n"] or 0
    if used + size > settings.ACCOUNT_MAX_DOCUMENT_BYTES:
        raise LimitReached(
            "The documents of this account have no more room.",
            code="documents_full",
            limit=settings.ACCOUNT_MAX_DOCUMENT_BYTES,
            used=used,
        )


def _too_large() -> InvalidInput:
    message = f"A document has at most {settings.MAX_DOCUMENT_BYTES} bytes."
    return InvalidInput(message, code="too_large", pointer="/file", status=413)


def _name(name: str) -> str:
    """The last part of a file's name, as it can be shown and spoken of."""
    last = name.replace("\\", "/").rpartition("/")[2]
    shown = " ".join("".join(c if c.isprintable() else " " for c in last).split())
    return shown[:200] or "document"


def _remove_objects(document_id: str) -> None:
    try:
        store().delete_prefix(keys.document(document_id))
    except StorageError as error:
        _log.warning("The file of %s is removed later: %s", document_id, error)
