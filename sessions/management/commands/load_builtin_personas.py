"""Bring the personas that come with the product into the table. Safe to run at every start."""

from typing import Any

from django.core.management.base import BaseCommand

from sessions import builtin_personas


class Command(BaseCommand):
    help = "Create or refresh the built-in personas."

    def handle(self, *_args: Any, **_options: Any) -> None:
        for slug, outcome in builtin_personas.load():
            self.stdout.write(f"{slug}: {outcome}")
