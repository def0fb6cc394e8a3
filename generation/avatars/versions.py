"""The objects of replaced, abandoned and dropped preparations, deleted once nobody reads them."""

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from generation.avatars.models import Avatar, AvatarStatus
from storage import keys, s3

# Objects of replaced versions stay this long: somebody may have just begun to read them.
KEEP_VERSIONS = timedelta(hours=2)


def collect_old() -> int:
    """Delete the objects of old versions that no clip or session still reads; return how many."""
    store, deleted = s3.store(), 0
    long_ago = timezone.now() - KEEP_VERSIONS
    settled = Avatar.objects.filter(status=AvatarStatus.READY, updated_at__lt=long_ago)
    for pk in settled.values_list("pk", flat=True).iterator():
        # Objects first, then rows: of what is prepared meanwhile no object is listed, or its row says so.
        listed = [found.key for found in store.list(keys.avatar(pk))]
        avatar = settled.filter(pk=pk).prefetch_related("preparations").first()
        if avatar is None or any(row.updated_at >= long_ago for row in avatar.preparations.all()):
            continue
        kept = _kept(avatar)
        old = [key for key in listed if key != avatar.source_key and _folder(key) not in kept]
        deleted += store.delete(old)
    return deleted


def _kept(avatar: Avatar) -> set[str]:
    """The folders of what is shown, and of what clips and sessions began with."""
    rows = list(avatar.preparations.all())
    names = [avatar.bundle_key, avatar.preview_key, *(row.bundle_key for row in rows)]
    # What is being prepared writes into a folder that no row names yet.
    names += [
        keys.preparation_file(avatar.pk, row.pk, row.version, "bundle.bin")
        for row in rows
        if row.status == AvatarStatus.PREPARING
    ]
    names += avatar.clips.filter(finished_at=None).values_list("bundle_key", flat=True)
    # The recording of a session is joined with the idle loop after its end.
    talking = Q(sessions__ended_at=None) | Q(sessions__recording__status="assembling")
    live = Avatar.objects.filter(talking, pk=avatar.pk, sessions__isnull=False)
    names += live.values_list("sessions__bundle_key", flat=True)
    return set(map(_folder, names))


def _folder(key: str) -> str:
    return key.rpartition("/")[0]
