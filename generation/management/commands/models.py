"""`manage.py models`: which models there are, and whether their files are what was published."""

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from workers import profiles
from workers.adapters.avatar import weights
from workers.adapters.avatar.models import ModelConfig, WeightFile
from workers.adapters.avatar.weights import Verdict
from workers.adapters.registry import RENDERERS

MEGABYTE = 1 << 20


class Command(BaseCommand):
    help = "List the models and where their files go, or verify that these are what was published."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", nargs="?", choices=("list", "verify"), default="list")
        parser.add_argument("model", nargs="?", default="", help="One model; without it all of them")

    def handle(self, *_: Any, **options: Any) -> None:
        models = _chosen(options["model"])
        self.stdout.write(f"Files lie in {_folder()} (MODEL_WEIGHTS_DIR).\n")
        if options["action"] == "list":
            for model in models:
                self._describe(model)
            return
        wrong = [name for model in models for name in self._verify(model, asked=bool(options["model"]))]
        if wrong:
            raise CommandError(f"Not as they should be: {', '.join(wrong)}")
        self.stdout.write(self.style.SUCCESS("No file differs from what was published."))

    def _describe(self, model: ModelConfig) -> None:
        self.stdout.write(f"\n{self.style.MIGRATE_HEADING(model.id)}  {model.name}: {model.summary}")
        others = [name for name in model.backends if name != model.backend]
        more = f" (or {', '.join(others)}: {model.id.upper()}_BACKEND)" if others else ""
        self.stdout.write(f"  backend   {model.backend}{more}")
        self.stdout.write(f"  licence   {model.licence}")
        self.stdout.write(f"  state     {_state(model)}")
        for file in model.weights:
            self._file(file)

    def _file(self, file: WeightFile) -> None:
        path = _folder() / file.path
        here = f"{path.stat().st_size / MEGABYTE:.1f} MB here" if path.is_file() else "not here"
        self.stdout.write(f"  file      {file.path}: {file.what}; {here}{_need(file)}")
        self.stdout.write(f"            from {file.source}; licence: {file.licence}")
        known = [f"{file.bytes} bytes"] if file.bytes else []
        known += [f"SHA-256 {file.sha256}"] if file.sha256 else []
        if known:
            self.stdout.write(f"            published: {', '.join(known)}")

    def _verify(self, model: ModelConfig, *, asked: bool) -> list[str]:
        """Say what each file is like; return those that are wrong, and a model asked for that lacks some."""
        if not model.weights:
            if asked:
                self.stdout.write(f"{model.id} on {model.backend} needs no files.")
            return []
        self.stdout.write(f"\n{self.style.MIGRATE_HEADING(model.id)}")
        wrong = []
        for file in model.weights:
            verdict = self._judge(file)
            self.stdout.write(f"  {self._mark(verdict)} {file.path}: {verdict.detail}{_need(file)}")
            wrong += [file.path] if verdict.state in ("changed", "refused") else []
        lacking = weights.lacking(_folder(), model.weights)
        if lacking:
            self.stdout.write(self.style.WARNING(f"  {lacking}"))
        return wrong + ([model.id] if lacking and asked else [])

    def _judge(self, file: WeightFile) -> Verdict:
        try:
            verdict = weights.verify(_folder(), file, progress=self._progress(file))
            return weights.readable(_folder(), verdict) if find_spec("torch") else verdict
        except OSError as exc:
            return Verdict(file, "changed", f"it cannot be read: {exc.strerror}")
        finally:
            self._progress_over()

    def _progress(self, file: WeightFile) -> Callable[[int], None]:
        if not self._interactive():
            return lambda _: None
        return lambda read: self._overwrite(f"  ... {file.path}: {read // MEGABYTE} MB", read)

    def _overwrite(self, line: str, read: int) -> None:
        if read % (64 * MEGABYTE) == 0:
            self.stdout.write(f"\r{line}", ending="")
            self.stdout.flush()

    def _progress_over(self) -> None:
        if self._interactive():
            self.stdout.write("\r\x1b[K", ending="")

    def _interactive(self) -> bool:
        return bool(self.stdout.isatty()) and sys.platform != "win32"

    def _mark(self, verdict: Verdict) -> str:
        styles = {"ok": self.style.SUCCESS, "changed": self.style.ERROR, "refused": self.style.ERROR}
        return str(styles.get(verdict.state, self.style.WARNING)(f"{verdict.state:8}"))


def _chosen(name: str) -> list[ModelConfig]:
    models = profiles.configs()
    if name and name not in models:
        raise CommandError(f"There is no model {name}. There are: {', '.join(models)}")
    return [models[name]] if name else list(models.values())


def _folder() -> Path:
    return Path(settings.MODEL_WEIGHTS_DIR)


def _state(model: ModelConfig) -> str:
    """What hinders it on this machine; a worker elsewhere may draw with it all the same."""
    found = [model.missing] if model.missing else []
    found += [] if model.adapter in RENDERERS else [f"No adapter is called {model.adapter}."]
    absent = [need for need in model.needs if find_spec(need.partition(".")[0]) is None]
    found += [f"Packages are missing here: {', '.join(absent)}."] if absent else []
    found += [lacking] if (lacking := weights.lacking(_folder(), model.weights)) else []
    return " ".join(found) or "can be served from here"


def _need(file: WeightFile) -> str:
    if not file.required:
        return " (optional)"
    return f" (one of several: {file.layout})" if file.layout else ""
