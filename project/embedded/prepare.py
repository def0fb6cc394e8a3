"""The step between empty parts and a service: the bucket, the first accounts, avatars and personas.

A child of the supervisor, and the only module here that loads Django.
"""

import io
import json
import os
import sys
import time
from pathlib import Path

import django

PATIENCE_SECONDS = 60
PAUSE_SECONDS = 0.1
PROBE_KEY = "probe/writable"


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    django.setup()
    from django.core.management import call_command  # noqa: PLC0415 - after setup

    _wait_for_storage()
    made = io.StringIO()
    call_command("bootstrap", "--json", "--keep-file", sys.argv[2], stdout=made)
    call_command("load_builtin_avatars")
    call_command("load_builtin_personas")
    target = Path(sys.argv[1])
    target.touch(mode=0o600)
    target.write_text(json.dumps(_last_object(made.getvalue())))
    return 0


def _wait_for_storage() -> None:
    """Return once the bucket takes and gives back an object: the S3 port answers before its volumes do."""
    from storage.errors import StorageError  # noqa: PLC0415
    from storage.s3 import store  # noqa: PLC0415

    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            store().ensure_bucket()
            store().put_bytes(PROBE_KEY, b"ok", "text/plain")
            store().get_bytes(PROBE_KEY)
            return
        except StorageError as error:
            if time.monotonic() > deadline or error.code == "storage_denied":
                raise
            time.sleep(PAUSE_SECONDS)


def _last_object(printed: str) -> dict[str, str | None]:
    """The JSON line of the command; what it says before that is for people."""
    lines = [line for line in printed.splitlines() if line.startswith("{")]
    return dict(json.loads(lines[-1])) if lines else {}


if __name__ == "__main__":
    sys.exit(main())
