"""`manage.py render_worker --models wav2lip,musetalk --device cuda:0`: draws on one device until stopped."""

import os
import re
import signal
import socket
import uuid
from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis
from celery import current_app
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from generation.clips import actors
from workers import presence, profiles
from workers.adapters.avatar.models import ModelConfig
from workers.adapters.errors import AdapterError
from workers.gpu import current, serving
from workers.gpu.devices import CPU, open_device, use_cores
from workers.gpu.host import RenderHost
from workers.gpu.queues import live_first, ordered
from workers.gpu.serving import Offer
from workers.live.broker import broker

THREADS = 8  # at most, for each GPU: they hear, compose and encode, a core each
REMOTE_THREADS = 4  # they mostly wait for a server
CLAIM = "names:"
CLAIM_SECONDS = 900  # longer than the slowest models take to load


class Command(BaseCommand):
    help = "Draw clips and live sessions with some models, on one device."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--models", required=True, help="Ids by comma, as in configs/models")
        parser.add_argument("--device", default=CPU, help="cpu, or cuda:0, cuda:1...: one process for each")
        parser.add_argument("--threads", type=int, default=0, help="Fragments drawn at once")
        parser.add_argument("--cores", type=int, default=0, help="Cores that networks use; all, of a CPU")
        parser.add_argument("--memory-mb", type=int, default=0, help="For networks; most of what is free")
        parser.add_argument(
            "--half", action=BooleanOptionalAction, help="Compute in 16 bits; the rule on a GPU"
        )
        parser.add_argument("--no-batch", action="store_true", help="Take no clips")
        parser.add_argument("--no-live", action="store_true", help="Take no sessions")
        parser.add_argument("--name", default="", help="What it is called, once in the whole service")

    def handle(self, *_: Any, **options: Any) -> None:
        if options["no_batch"] and options["no_live"]:
            raise CommandError("With --no-batch and --no-live nothing is left to do.")
        configs = _configs(options["models"])
        host = _host(configs, options)
        current.set_host(host)
        offers = [serving.warmed(serving.offer(config, host), actors.renderer) for config in configs]
        for made in offers:
            serving.told(made)
        self.stdout.write(f"{host.device} ({host.title}), {host.memory_mb} MB for networks")
        self.stdout.write(serving.table(offers))
        served = [config for config, made in zip(configs, offers, strict=True) if made.served]
        if not served:
            raise CommandError("Nothing can be served.")
        self._serve(served, offers, host, options)

    def _serve(
        self, served: Sequence[ModelConfig], offers: Sequence[Offer], host: RenderHost, options: Any
    ) -> None:
        name = _name(options["name"], host.device)
        threads = options["threads"] or _threads(served, host.device)
        worker = _worker(name, _queues(name, served, options), threads)
        keeper = serving.Keeper(offers, actors.renderer, host=host, give_up=self._give_up)
        keeper.start()
        self.stdout.write(f"{name} is ready: {threads} threads")
        worker.start()
        keeper.stop()
        host.close()
        if host.failure:
            raise CommandError(f"{host.device} failed: {host.failure}")
        if worker.exitcode:
            raise SystemExit(worker.exitcode)

    def _give_up(self, failure: str) -> None:
        """End after the fragments under way: a new process may find the device in order."""
        self.stderr.write(f"The device failed, this worker ends: {failure}")
        os.kill(os.getpid(), signal.SIGTERM)


def _configs(models: str) -> list[ModelConfig]:
    try:
        made = serving.chosen(profiles.configs(), [one.strip() for one in models.split(",") if one.strip()])
    except ValueError as error:
        raise CommandError(str(error)) from error
    if not made:
        raise CommandError("--models names none.")
    return made


def _host(configs: Sequence[ModelConfig], options: dict[str, Any]) -> RenderHost:
    device, cores = options["device"], options["cores"]
    try:
        opened = open_device(_only(device))
    except AdapterError as error:
        raise CommandError(f"{device}: {error} ({error.code})") from error
    on_cpu = opened.name == CPU
    if any("torch" in config.needs for config in configs):
        use_cores(cores or (len(os.sched_getaffinity(0)) if on_cpu else 1))
    half = not on_cpu if options["half"] is None else options["half"]
    weights = Path(settings.MODEL_WEIGHTS_DIR)
    return RenderHost(opened, weights=weights, half=half, memory_mb=options["memory_mb"])


def _only(device: str) -> str:
    """Have this process see one GPU, which is then its first; before anything asks which there are."""
    found = re.fullmatch(r"cuda:(\d+)", device)
    if found is None:
        return device
    seen = [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one]  # noqa: TID251 - not ours
    if seen and int(found[1]) >= len(seen):
        raise CommandError(f"{device} is not there: CUDA_VISIBLE_DEVICES names {len(seen)}.")
    os.environ["CUDA_VISIBLE_DEVICES"] = seen[int(found[1])] if seen else found[1]  # noqa: TID251 - read by torch
    return "cuda:0"


def _threads(served: Sequence[ModelConfig], device: str) -> int:
    cores = len(os.sched_getaffinity(0))
    local = any(config.backend == "local" for config in served)
    remote = any(config.backend != "local" for config in served)
    drawing = min(THREADS, cores) if device != CPU else max(1, cores // 2)
    return drawing * local + REMOTE_THREADS * remote


def _queues(name: str, served: Sequence[ModelConfig], options: dict[str, Any]) -> list[str]:
    live = [] if options["no_live"] else [config.profile.live_queue for config in served]
    batch = [] if options["no_batch"] else [config.profile.queue for config in served]
    return ordered([f"{presence.OWN}{name}", *live, *batch])


def _name(asked: str, device: str) -> str:
    """`asked` as it is; without it one that no other worker of the service has."""
    here = socket.gethostname()
    if asked:
        return asked if "@" in asked else f"{asked}@{here}"
    for number in range(1, 100):
        name = f"{device.replace(':', '')}-{number}@{here}"
        try:
            free = broker().set(f"{CLAIM}{name}", uuid.uuid4().hex, nx=True, ex=CLAIM_SECONDS)
            taken = {worker.name for worker in presence.present()}
        except redis.RedisError as error:
            raise CommandError(f"The broker does not answer: {error}") from error
        if free and name not in taken:
            return name
    raise CommandError("Say how it is called: --name")


def _worker(name: str, queues: Sequence[str], threads: int) -> Any:
    live_first(current_app, own=queues[0])
    return current_app.Worker(
        hostname=name,
        pool_cls="threads",
        concurrency=threads,
        queues=list(queues),
        loglevel=settings.LOG_LEVEL,
        without_mingle=True,
        without_gossip=True,
        without_heartbeat=True,  # nobody hears it: `presence` says that we are here
        quiet=True,
    )
