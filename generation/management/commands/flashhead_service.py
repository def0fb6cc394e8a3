"""`manage.py flashhead_service --device cuda:0`: FlashHead on this machine's GPU, for others over HTTP."""

import secrets
import signal
import threading
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from workers.adapters.avatar.base import I420
from workers.adapters.avatar.flashhead.native import FlashHead
from workers.adapters.avatar.flashhead.service import Desk, Server
from workers.adapters.avatar.flashhead.studio import Studio
from workers.adapters.avatar.flashhead.wishes import Reader
from workers.adapters.avatar.models import BUILT_IN, ModelConfig, read_model
from workers.adapters.avatar.runtime import Runtime
from workers.adapters.errors import AdapterError
from workers.gpu.devices import open_device
from workers.gpu.host import RenderHost
from workers.rendering.encode import encode_fragment

MODEL = "flashhead"


class Command(BaseCommand):
    help = "Serve FlashHead over HTTP: POST /v1/generate, one film at a time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="Where it listens; loopback unless said")
        parser.add_argument("--port", type=int, default=8766, help="0 takes a free one")
        parser.add_argument("--device", default="cuda:0", help="cuda:0 (the first it sees) or cpu")
        parser.add_argument("--shared-dir", default="", help="A folder whose files requests may name")
        parser.add_argument("--output-dir", default="", help="Where films are written; else a new folder")
        parser.add_argument("--wait-seconds", type=float, default=5.0, help="Before a request hears 409")
        parser.add_argument("--open", action="store_true", help="Serve without a key beyond loopback as well")

    def handle(self, *_: Any, **options: Any) -> None:
        config = local_config()
        key = settings.MODEL_SETTINGS.get("FLASHHEAD_API_KEY", "")
        if not key and options["host"] not in ("127.0.0.1", "::1", "localhost") and not options["open"]:
            wish = secrets.token_urlsafe(24)
            raise CommandError(
                "Without FLASHHEAD_API_KEY everybody who reaches this address may use the GPU. Set one, such "
                f"as {wish}, or say --open."
            )
        host = _host(options["device"])
        try:
            renderer = FlashHead(config, Runtime(host))
            self.stdout.write(f"FlashHead {config.options['variant']} loads on {host.device}...")
            renderer.warm()
            with TemporaryDirectory(prefix="flashhead-") as own:
                self._serve(config, renderer, options, key, Path(options["output_dir"] or own))
        except AdapterError as error:
            raise CommandError(f"{error} ({error.code})") from error
        finally:
            host.close()

    def _serve(
        self, config: ModelConfig, renderer: FlashHead, options: dict[str, Any], key: str, folder: Path
    ) -> None:
        profile = config.profile
        shared = Path(options["shared_dir"]) if options["shared_dir"] else None
        folder.mkdir(parents=True, exist_ok=True)
        studio = Studio(renderer.speaker, encode, folder.resolve(), options["wait_seconds"])
        reader = Reader(shared, profile.width or 512, profile.height or 512)
        desk = Desk(reader, studio, profile.chunk_frames, key)
        with Server((options["host"], options["port"]), desk) as server:
            _stop_with(server)
            address = f"http://{options['host']}:{server.server_address[1]}"
            self.stdout.write(f"FlashHead is ready at {address}")
            self.stdout.flush()
            server.serve_forever(poll_interval=0.2)


def local_config() -> ModelConfig:
    """The model as it is drawn here, whichever backend the rest of the installation uses."""
    told = {**settings.MODEL_SETTINGS, "FLASHHEAD_BACKEND": "local"}
    try:
        return read_model(BUILT_IN / f"{MODEL}.yaml", told)
    except ValueError as error:
        raise CommandError(str(error)) from error


def encode(pictures: Iterator[I420], width: int, height: int) -> bytes:
    """As fragments are encoded, so that films pass into clips and sessions as they are."""
    return encode_fragment(pictures, width=width, height=height).data


def _host(device: str) -> RenderHost:
    try:
        return RenderHost(open_device(device), weights=Path(settings.MODEL_WEIGHTS_DIR))
    except AdapterError as error:
        raise CommandError(f"{device}: {error} ({error.code})") from error


def _stop_with(server: Server) -> None:
    """`shutdown` waits for the loop that the signal interrupted: another thread has to call it."""

    def stop(*_: object) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
