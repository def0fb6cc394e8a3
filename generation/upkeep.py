"""Periodic work over the whole catalogue: what expires, and what lost its row."""

import logging
from datetime import timedelta

from django.db.models import Model, Q
from django.utils import timezone

from generation.avatars import claims, versions
from generation.avatars.models import Avatar
from generation.clips import states
from generation.clips.models import Clip
from generation.providers.models import ClonedVoice
from generation.uploads.models import Upload
from project.api import idempotency
from project.webhooks import services as webhooks
from storage import keys, orphans
from storage.s3 import store

AT_ONCE = 200
ORPHAN_AGE = timedelta(days=1)
# A clip's row says `410 Gone` for a while after its files went.
ROWS_KEPT = timedelta(days=30)

TABLES: dict[str, type[Model]] = {
    keys.CLIPS: Clip,
    keys.UPLOADS: Upload,
    keys.AVATARS: Avatar,
    keys.CLONES: ClonedVoice,
}

_log = logging.getLogger(__name__)


def expire() -> None:
    """Remove what had its time. Each step can be cut short and goes on the next time."""
    purge_clips()
    forget_clips()
    remove_uploads()
    idempotency.expire()
    webhooks.expire()


def purge_clips() -> int:
    """Delete the files of expired clips; their rows answer 410 from then on."""
    due = Clip.objects.filter(status__in=states.TERMINAL, purged_at=None, expires_at__lte=timezone.now())
    purged = 0
    for clip_id in due.order_by("expires_at").values_list("pk", flat=True)[:AT_ONCE]:
        store().delete_prefix(keys.clip(clip_id))
        purged += Clip.objects.filter(pk=clip_id).update(purged_at=timezone.now())
    return purged


def forget_clips() -> int:
    """Delete rows whose files went long ago."""
    old = Clip.objects.filter(purged_at__lte=timezone.now() - ROWS_KEPT)
    ids = list(old.values_list("pk", flat=True)[:AT_ONCE])
    Clip.objects.filter(pk__in=ids).delete()
    return len(ids)


def remove_uploads() -> int:
    """Delete uploads that had their time, unless a clip that is being made still needs them."""
    due = Upload.objects.filter(expires_at__lte=timezone.now())
    removed = 0
    for upload_id in due.values_list("pk", flat=True)[:AT_ONCE]:
        needed = Clip.objects.filter(
            Q(upload=upload_id) | Q(background_upload=upload_id), status__in=states.UNFINISHED
        )
        if needed.exists():
            continue
        store().delete_prefix(keys.upload(upload_id))
        removed += Upload.objects.filter(pk=upload_id).delete()[0]
    return removed


def collect_orphans(*, dry_run: bool = False) -> int:
    """Delete objects without a row that nobody has touched for a day; return how many there were."""
    found = 0
    for top, owner_id, names in orphans.old_owners(timezone.now() - ORPHAN_AGE, below=TABLES):
        if _has_row(top, owner_id):
            continue
        found += len(names)
        _log.info("%s%s has no row: %d objects%s", top, owner_id, len(names), " (kept)" if dry_run else "")
        if not dry_run:
            store().delete(names)
    if not dry_run:
        versions.collect_old()
    return found


def reconcile_preparations() -> int:
    """Enqueue lost preparations of avatars again."""
    return claims.reconcile()


def _has_row(top: str, owner_id: str) -> bool:
    table = TABLES[top]
    rows = table._default_manager.filter(pk=owner_id)
    return rows.filter(purged_at=None).exists() if table is Clip else rows.exists()
