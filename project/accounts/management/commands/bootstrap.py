"""`manage.py bootstrap`: the first admin and the first API key."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from project.accounts.bootstrap import EMAIL, Credentials, bootstrap


class Command(BaseCommand):
    help = "Create the first admin and a full-scope API key where they are missing. Safe to repeat."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", default=EMAIL, help=f"of the admin, if there is none ({EMAIL})")
        parser.add_argument("--json", action="store_true", help="print one line of JSON")
        parser.add_argument("--reset", action="store_true", help="give the admin a new password and key")
        parser.add_argument(
            "--keep-file", type=Path, help="a connection.json; what still works in it is printed again"
        )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        known = _read(options["keep_file"]) if options["keep_file"] else None
        made = bootstrap(email=options["email"], known=known, reset=options["reset"])
        if options["json"]:
            self.stdout.write(json.dumps(asdict(made)))
            return
        self.stdout.write(f"Admin:    {made.admin_user}")
        self.stdout.write(f"Password: {made.admin_password or '(unchanged; --reset makes a new one)'}")
        self.stdout.write(f"API key:  {made.api_key or '(unchanged; --reset makes a new one)'}")


def _read(path: Path) -> Credentials:
    """Credentials of an earlier start; an absent or empty file knows none."""
    if not path.exists() or not path.read_text().strip():
        return Credentials("", None, None)
    try:
        found = json.loads(path.read_text())
    except ValueError as exc:
        raise CommandError(f"{path} is not JSON") from exc
    return Credentials(str(found.get("admin_user", "")), found.get("admin_password"), found.get("api_key"))
