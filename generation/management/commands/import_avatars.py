"""Import OpenTalking avatar folders: `manage.py import_avatars examples/avatars more.zip`."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from generation.avatars.importer import import_avatars
from project.accounts.models import User
from project.errors import InvalidInput


class Command(BaseCommand):
    help = "Import OpenTalking avatar folders (a folder, a folder of folders, or a zip)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("paths", nargs="+", type=Path)
        parser.add_argument("--owner", metavar="EMAIL", help="Without it the avatars are shared")

    def handle(self, *_args: Any, **options: Any) -> None:
        owner = _owner(options["owner"])
        refused = 0
        for path in options["paths"]:
            if not path.exists():
                raise CommandError(f"{path} does not exist")
            for name, outcome in _outcomes(path, owner):
                if isinstance(outcome, InvalidInput):
                    refused += 1
                    self.stderr.write(f"{name}: refused ({outcome.code}): {outcome}")
                else:
                    self.stdout.write(f"{name}: {outcome.slug} ({outcome.pk}) {outcome.status}")
        if refused:
            raise CommandError(f"{refused} refused")


def _owner(email: str | None) -> User | None:
    if not email:
        return None
    try:
        return User.objects.get(email=email.strip().lower())
    except User.DoesNotExist as exc:
        raise CommandError(f"No account {email}") from exc


def _outcomes(path: Path, owner: User | None) -> list[tuple[str, Any]]:
    try:
        return import_avatars(path, owner)
    except InvalidInput as error:
        raise CommandError(f"{path}: {error}") from error
