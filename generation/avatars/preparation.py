"""Preparation of one avatar for one model: source in, bundle, idle loop and preview out.

Safe to run twice and at any moment: the claim is fenced, and each claim writes under a version of
its own.
"""

import hashlib
import io
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
from django.db import DatabaseError, connection
from numpy.typing import NDArray
from PIL import Image

from generation.avatars import claims, packages, sources
from generation.avatars.claims import Claim, LeaseLost
from generation.avatars.footage import footage_frames
from generation.avatars.models import Avatar
from project.errors import InvalidInput
from storage import keys, s3
from storage.errors import StorageError
from workers import profiles
from workers.adapters import registry
from workers.adapters.avatar.base import Box, Footage, PreparedAvatar, Source, Still
from workers.adapters.avatar.runtime import Runtime
from workers.adapters.errors import AdapterError, PreparationError
from workers.gpu import current
from workers.rendering.live import encode_idle_loops

RENEW_EVERY_FRAMES = 25
RENEW_SECONDS = 15.0
PREVIEW_SIDE = 720
# The preparer's own percentages make up the first part of ours; encoding the idle loop the rest.
PREPARER_SHARE = 80

_log = logging.getLogger(__name__)


def prepare(row_id: str) -> bool:
    """Prepare an avatar, or it for one more model, if it wants it; return whether it became ready."""
    claim = claims.claim(row_id)
    if claim is None:
        return False
    try:
        with _kept(claim):
            return _prepare(claim)
    except LeaseLost:
        _log.info("Preparation of %s was taken over or called off", row_id)
    except (PreparationError, InvalidInput) as error:
        claim.fail(error.code, str(error))
    except AdapterError as error:
        _give_up(claim, error.code, str(error), retryable=error.retryable)
    except StorageError as error:
        _give_up(claim, error.code, str(error), retryable=error.retryable)
    except Exception:  # noqa: BLE001 - see below
        # Whatever a picture managed to break ends in a clear state, not in a lost message.
        _log.exception("Preparation of %s failed", row_id)
        last = claim.row.attempts >= claims.MAX_ATTEMPTS
        _give_up(
            claim,
            "internal_error",
            "Something went wrong while preparing. It was logged.",
            retryable=not last,
        )
    return False


@contextmanager
def _kept(claim: Claim) -> Iterator[None]:
    """Prolong the lease from a thread: on a busy machine a single step may outlast it."""
    done = threading.Event()

    def keep() -> None:
        while not done.wait(RENEW_SECONDS):
            try:
                claim.renew()
            except (LeaseLost, DatabaseError) as error:
                # The worker sees a lost lease at its next write; a busy database gets another try.
                _log.info("The lease on %s was not prolonged: %r", claim.row.pk, error)
        connection.close()

    thread = threading.Thread(target=keep, name="avatar-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _give_up(claim: Claim, code: str, message: str, *, retryable: bool) -> None:
    if retryable and claim.row.attempts < claims.MAX_ATTEMPTS:
        claim.release()
    else:
        claim.fail(code, message)


def _prepare(claim: Claim) -> bool:
    avatar = claim.avatar
    data = s3.store().get_bytes(avatar.source_key)
    claim.renew(progress=2)
    source = _source(avatar, data)
    prepared = _run_preparer(claim, source)
    results = _store(claim, prepared)
    made_by = claims.maker(profiles.config(claim.row.model))
    return claim.succeed(made_by=made_by, **results, **_facts(prepared))


def _source(avatar: Avatar, data: bytes) -> Source:
    if avatar.source_kind == "video":
        return Footage(footage_frames(data), fps=25.0)
    return Still(sources.image_source(data).first)


def _run_preparer(claim: Claim, source: Source) -> PreparedAvatar:
    """Prepare; an imported drawing without a face falls back to the mouth its package names."""
    avatar = claim.avatar
    config = profiles.config(claim.row.model)
    preparer = registry.preparer(config, Runtime(current.host(), config.endpoint))

    def progress(percent: int) -> None:
        claim.renew(progress=min(PREPARER_SHARE, percent * PREPARER_SHARE // 100))

    box = _box(avatar.mouth_box)
    crop = _imported_crop(avatar) if config.preparer == "plates" else None
    more: dict[str, Any] = {"model_crop": crop} if crop else {}
    try:
        return preparer.prepare(source, mouth_box=box, progress=progress, **more)
    except PreparationError as error:
        hint = _box(avatar.metadata.get("mouth_hint"))
        if error.code != "no_face" or box is not None or hint is None:
            raise
        return preparer.prepare(source, mouth_box=hint, progress=progress, **more)


def _imported_crop(avatar: Avatar) -> Box | None:
    """What the model of an imported package looked at: better than any detector's guess."""
    manifest = avatar.metadata.get("imported", {}).get("manifest", {})
    theirs = manifest.get("metadata")
    return _box(packages.model_crop(theirs)) if isinstance(theirs, dict) else None


def _store(claim: Claim, prepared: PreparedAvatar) -> dict[str, Any]:
    store = s3.store()
    names = {name: claim.key(name) for name in keys.AVATAR_FILES}
    store.put_bytes(names["bundle.bin"], prepared.bundle, "application/octet-stream")
    store.put_bytes(names["preview.jpg"], _jpeg(prepared.preview, PREVIEW_SIDE), "image/jpeg")
    store.put_bytes(names["portrait.png"], _png(prepared.preview), "image/png")
    idle, low = encode_idle_loops(_renewing(claim, prepared), width=prepared.width, height=prepared.height)
    store.put_bytes(names["idle.mp4"], idle.data, "video/mp4")
    store.put_bytes(names["idle_low.mp4"], low.data, "video/mp4")
    return {
        "bundle_key": names["bundle.bin"],
        "bundle_sha256": hashlib.sha256(prepared.bundle).hexdigest(),
        "idle_key": names["idle.mp4"],
        "preview_key": names["preview.jpg"],
    }


def _renewing(claim: Claim, prepared: PreparedAvatar) -> Iterator[NDArray[np.uint8]]:
    """The idle loop's frames; the lease is prolonged while they are drawn."""
    for number, frame in enumerate(prepared.idle):
        if number % RENEW_EVERY_FRAMES == 0:
            share = number / max(1, prepared.idle_frames)
            claim.renew(progress=PREPARER_SHARE + int((99 - PREPARER_SHARE) * share))
        yield frame


def _facts(prepared: PreparedAvatar) -> dict[str, Any]:
    findings = {
        "mouth_box": asdict(prepared.mouth_box),
        "landmarks": [[round(float(x), 5), round(float(y), 5)] for x, y in prepared.landmarks],
        "warnings": list(prepared.warnings),
    }
    return {
        "width": prepared.width,
        "height": prepared.height,
        "has_alpha": prepared.has_alpha,
        "findings": findings,
    }


def _box(box: Any) -> Box | None:
    return Box(**box) if box else None


def _jpeg(picture: NDArray[np.uint8], side: int) -> bytes:
    image = Image.fromarray(np.ascontiguousarray(picture[:, :, 2::-1]))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=86, optimize=True)
    return out.getvalue()


def _png(picture: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture[:, :, 2::-1])).save(out, "PNG", compress_level=6)
    return out.getvalue()
