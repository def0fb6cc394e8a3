"""Objects that may have lost their row: left by a crash between a write and its commit."""

from collections.abc import Collection, Iterator
from datetime import datetime
from itertools import groupby

from storage import keys
from storage.s3 import ListedObject, ObjectStore, store


def old_objects(older_than: datetime, *, objects: ObjectStore | None = None) -> Iterator[ListedObject]:
    """Every owned object last written before `older_than`, in the order of its key."""
    source = objects or store()
    for prefix in keys.OWNED:
        for found in source.list(prefix):
            if found.modified_at < older_than:
                yield found


def old_owners(
    older_than: datetime, *, below: Collection[str] = keys.OWNED, objects: ObjectStore | None = None
) -> Iterator[tuple[str, str, list[str]]]:
    """Group the old objects by the row they belong to: (top prefix, id, keys).

    The caller asks `below` the prefixes of its rows, and knows which ids still exist. An id is left
    out while any of its objects is young, for then somebody may be at work on it.
    """
    source = objects or store()
    for prefix in below:
        for (top, owner_id), group in groupby(source.list(prefix), key=lambda o: keys.owner(o.key)):
            members = list(group)
            if all(member.modified_at < older_than for member in members):
                yield top, owner_id, [member.key for member in members]
