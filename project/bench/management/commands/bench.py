"""`manage.py bench live|clip|...`: measures a stack through its public contracts."""

import signal
import sys
import threading
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from project import collector
from project.bench import commands, config
from project.bench.errors import BenchError


def found() -> dict[str, ModuleType | ImportError]:
    """Every subcommand by its name; where a package is missing that it needs, what says so."""
    names = sorted(module.name for module in iter_modules(commands.__path__))
    return {name: _module(name) for name in names}


def _module(name: str) -> ModuleType | ImportError:
    try:
        return import_module(f"{commands.__name__}.{name}")
    except ImportError as error:
        return error


class Command(BaseCommand):
    help = "Measure a stack of this command's own, or a running one; docs/benchmarks/README.md tells how."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        chosen = parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
        for name, module in found().items():
            if isinstance(module, ImportError):
                chosen.add_parser(name, help=f"cannot be used: {module}")
                continue
            told = (module.__doc__ or "").strip().partition("\n")[0]
            one = chosen.add_parser(name, help=told.replace("%", "%%"), description=told.replace("%", "%%"))
            _common(one)
            module.add_arguments(one)

    def handle(self, *_: Any, **options: Any) -> None:
        module = found()[options["subcommand"]]
        if isinstance(module, ImportError):
            raise CommandError(f"{module}; `make bench` installs what measurements need")
        collector.settle()  # what holds this process up looks like a pause of the service
        try:
            with _ending_in_order():
                status: int = module.run(Namespace(**options))
        except (BenchError, ValueError) as error:
            raise CommandError(str(error)) from error
        sys.exit(status)


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """Have a request to end (`kill`, a closed terminal) stop all that was started, as Ctrl-C does."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _common(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=_config,
        default=config.path("short"),
        help="a YAML file, or the name of one in configs/benchmark (default: short)",
    )
    parser.add_argument("--out", type=Path, help="folder of the results (default: one below outputs/bench)")
    parser.add_argument(
        "--attach",
        nargs="?",
        const="",
        metavar="URL|HOME",
        help="measure a running service: its address, or the folder of a `make up` (default: .parley)",
    )
    parser.add_argument(
        "--api-key", default="", help="key for --attach URL; PARLEY_API_KEY keeps it out of process lists"
    )


def _config(told: str) -> Path:
    try:
        return config.path(told)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error
