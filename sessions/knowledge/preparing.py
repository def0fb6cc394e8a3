"""Prepares one document: file in, passages and their vectors out.

Safe to run twice and at any moment: the row is claimed under a lease, and nothing is found before the
last write says that it is ready.
"""

import logging
import secrets
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError
from django.db.models import F
from django.utils import timezone

from generation.clips.leases import LEASE, Lease, LeaseLost, StopWork, free, keeper
from sessions.knowledge import documents, embeddings, passages, reading
from sessions.knowledge.errors import MESSAGES, Unreadable, unreadable
from sessions.knowledge.models import DocumentStatus, KnowledgeDocument, Passage
from storage.errors import ObjectMissing, StorageError
from storage.s3 import store
from workers.adapters.errors import AdapterError

MAX_ATTEMPTS = 4
LONGEST_WAIT_SECONDS = 300
# A provider of vectors that failed is asked again; until then passages are found by their words.
VECTORS_AGAIN = timedelta(minutes=5)

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class DocumentLease(Lease):
    """Removing a document takes the lease away, so it is always wanted by whoever holds it."""

    def wanted(self) -> bool:
        return True


def prepare(document_id: str) -> None:
    """Read a document, unless somebody does or did; then have vectors made of its passages."""
    lease = _take(document_id)
    if lease is None:
        return
    document = KnowledgeDocument.objects.select_related("persona").get(pk=document_id)
    try:
        with keeper.holding(lease):
            if document.status == DocumentStatus.PREPARING:
                _read(document, lease)
            _embed(document, lease)
    except (LeaseLost, StopWork):
        _log.info("%s was taken over or removed", document_id)
    except Unreadable as error:
        _fail(lease, error.code, str(error))
    except (StorageError, DatabaseError) as error:
        _again(document, lease, error)
    except Exception as error:  # noqa: BLE001 - whatever a file broke, the row must say what comes next
        _log.exception("%s could not be prepared", document_id)
        _again(document, lease, error)


def _take(document_id: str) -> DocumentLease | None:
    token = secrets.token_hex(16)
    rows = KnowledgeDocument.objects.filter(free(), pk=document_id).exclude(status=DocumentStatus.FAILED)
    taken = rows.update(lease_token=token, lease_until=timezone.now() + LEASE, attempts=F("attempts") + 1)
    return DocumentLease(KnowledgeDocument, document_id, document_id, token) if taken else None


def _read(document: KnowledgeDocument, lease: Lease) -> None:
    if document.attempts > MAX_ATTEMPTS:
        raise unreadable("document_unreadable")  # it killed the worker each time
    try:
        data = store().get_bytes(document.key, limit=settings.MAX_DOCUMENT_BYTES)
    except ObjectMissing:
        raise unreadable("original_missing") from None
    language = document.persona.language
    found, count = reading.read(document.kind, data, language=language, check=lease.check)
    others = Passage.objects.filter(document__persona=document.persona_id).exclude(document=document).count()
    if others + len(found) > settings.PERSONA_MAX_PASSAGES:
        raise unreadable("too_many_passages")
    documents.remove_passages(document.pk)
    passages.write(document, found, check=lease.check)
    passages.published(
        document, lease.rows, status=DocumentStatus.READY, passages=len(found), pages=count, attempts=0,
        ready_at=timezone.now(), failure_code="", failure_message="", embedding_model="",
    )  # fmt: skip


def _embed(document: KnowledgeDocument, lease: Lease) -> None:
    """Have vectors made where somebody makes them; a failure leaves the document as it is."""
    changes: dict[str, object] = {"attempts": 0, "next_attempt_at": None}
    try:
        embeddings.embed(document, lease.rows, lease.check)
    except AdapterError as error:
        _log.warning("No vectors for %s yet: %s", document.pk, error)
        changes["next_attempt_at"] = timezone.now() + VECTORS_AGAIN
    lease.release(**changes)


def _fail(lease: Lease, code: str, message: str) -> None:
    lease.rows.update(
        status=DocumentStatus.FAILED, failure_code=code, failure_message=message,
        lease_token="", lease_until=None,
    )  # fmt: skip
    documents.remove_passages(str(lease.pk))


def _again(document: KnowledgeDocument, lease: Lease, error: Exception) -> None:
    """Try again later, a few times. What was published stays."""
    gone_on = not isinstance(error, StorageError) or error.retryable
    if document.status == DocumentStatus.PREPARING and (document.attempts >= MAX_ATTEMPTS or not gone_on):
        _fail(lease, "internal_error", MESSAGES["internal_error"])
        return
    wait = min(LONGEST_WAIT_SECONDS, 2**document.attempts)
    lease.rows.update(
        lease_token="", lease_until=None, next_attempt_at=timezone.now() + timedelta(seconds=wait)
    )
