"""The speech sidecar: `python -m workers.speechd --port 8600 --api-key-file key`.

A program of its own that speaks OpenAI's protocol on loopback, so that the service reaches local
speech the way it reaches any provider, and the models live in one process however many workers ask.
"""

import argparse
import asyncio
import logging
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiohttp import web

from workers import logs
from workers.speechd.app import application
from workers.speechd.ears import Ears
from workers.speechd.mouth import Mouth
from workers.speechd.sensevoice import SenseVoice
from workers.speechd.speaking import Speaking
from workers.speechd.turnstile import BATCH, Turnstile
from workers.speechd.voices import engines, front_ends, warm
from workers.strangers import StrangersFilter

log = logging.getLogger("speechd")


def main() -> int:
    options = _options()
    logs.configure(
        options.log_level,
        form=options.log_format,
        discreet=not options.log_spoken_text,
        process=options.process_name,
    )
    logging.getLogger("faster_whisper").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.server").addFilter(StrangersFilter())
    key = Path(options.api_key_file).read_bytes().strip()
    if not key:
        print("the API key file is empty", file=sys.stderr)  # noqa: T201
        return 2
    asyncio.run(_serve(options, key))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m workers.speechd", description="Local speech")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8600)
    parser.add_argument("--api-key-file", required=True, help="a path, or /dev/fd/N for an inherited pipe")
    parser.add_argument("--threads", type=int, default=1, help="threads of one synthesis")
    parser.add_argument("--hearing-threads", type=int, default=2, help="threads of one recognition")
    parser.add_argument(
        "--sensevoice", type=Path, help="a folder with model.onnx (or model.int8.onnx) and tokens.txt"
    )
    parser.add_argument("--warm", default="en-heart,en-joe", help="voices to load at start, or nothing")
    parser.add_argument("--most-waiting", type=int, default=64, help="requests that may wait for a turn")
    parser.add_argument("--log-level", default="INFO")
    parser.add_argument("--log-format", default="line", choices=("line", "json"))
    parser.add_argument("--log-spoken-text", action="store_true", help="tell what is spoken where it breaks")
    parser.add_argument("--process-name", default="speech", help="what it is called in its logs")
    return parser.parse_args()


async def _serve(options: argparse.Namespace, key: bytes) -> None:
    mouth = Mouth(engines(options.threads), front_ends())
    thread = ThreadPoolExecutor(1, "mouth")
    speaking = Speaking(mouth, thread, Turnstile(most_waiting=options.most_waiting))
    app = application(
        api_key=key,
        mouth=mouth,
        speaking=speaking,
        ears=Ears(threads=options.hearing_threads),
        sensevoice=SenseVoice(options.sensevoice, threads=options.hearing_threads),
    )
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, options.host, options.port).start()
    log.info("listening on %s", ", ".join(f"{host}:{port}" for host, port, *_ in runner.addresses))
    warming = asyncio.create_task(warm(speaking, [v for v in options.warm.split(",") if v], BATCH))
    await _until_told()
    warming.cancel()
    await runner.cleanup()
    thread.shutdown(wait=False, cancel_futures=True)


async def _until_told() -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    await told.wait()


if __name__ == "__main__":
    sys.exit(main())
