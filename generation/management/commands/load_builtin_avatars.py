"""Bring the avatars that come with the product into the catalogue. Safe to run at every start."""

from typing import Any

from django.core.management.base import BaseCommand

from generation.avatars import builtin_loader


class Command(BaseCommand):
    help = "Create or refresh the built-in avatars, and have what changed prepared."

    def handle(self, *_args: Any, **_options: Any) -> None:
        for slug, outcome in builtin_loader.load():
            self.stdout.write(f"{slug}: {outcome}")
