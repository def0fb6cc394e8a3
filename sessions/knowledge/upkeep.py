"""Finds documents whose message or worker was lost, removals that were cut short, and files without a row."""

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from generation.clips.leases import free
from sessions.knowledge import documents, embeddings
from sessions.knowledge.models import DocumentStatus, KnowledgeDocument
from storage import keys, orphans
from storage.s3 import store
from workers import dispatch

GRACE = timedelta(seconds=4)  # from sending a message to its claim, on a busy machine
ORPHAN_AGE = timedelta(days=1)
AT_ONCE = 200

_log = logging.getLogger(__name__)


def reconcile() -> int:
    """Enqueue again what has to be prepared and waits in no queue; return how many messages were sent.

    Raises what the broker raises.
    """
    stale = Q(enqueued_at=None) | Q(enqueued_at__lt=timezone.now() - GRACE)
    rows = KnowledgeDocument.objects.filter(free() & stale & _unfinished()).order_by("created_at")[:AT_ONCE]
    if not rows:
        return 0
    waiting = dispatch.waiting(dispatch.MEDIA_QUEUE)
    return sum(_send(row) for row in rows if dispatch.identity(dispatch.DOCUMENT, row.pk) not in waiting)


def _unfinished() -> Q:
    """Documents to be read, and those whose passages lack the vectors of whoever makes them now."""
    unread = Q(status=DocumentStatus.PREPARING)
    made_by = embeddings.embedder()
    if made_by is None:
        return unread
    return unread | Q(status=DocumentStatus.READY) & ~Q(embedding_model=embeddings.label(made_by))


def _send(document: KnowledgeDocument) -> bool:
    with transaction.atomic():
        rows = KnowledgeDocument.objects.filter(free(), pk=document.pk, enqueued_at=document.enqueued_at)
        ours = rows.exclude(status=DocumentStatus.FAILED).update(enqueued_at=timezone.now())
        if ours:
            dispatch.document(document.pk)
    return bool(ours)


def collect_orphans() -> int:
    """Go on with removals that were cut short, and delete files without a row; return how many files."""
    documents.erase(KnowledgeDocument.objects.filter(failure_code=documents.REMOVING)[:AT_ONCE])
    found = 0
    for _, document_id, names in orphans.old_owners(timezone.now() - ORPHAN_AGE, below=(keys.DOCUMENTS,)):
        if KnowledgeDocument.objects.filter(pk=document_id).exists():
            continue
        found += len(names)
        _log.info("%s has no row: %d objects", document_id, len(names))
        store().delete(names)
    return found
