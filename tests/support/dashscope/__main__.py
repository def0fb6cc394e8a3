import argparse
import asyncio
from contextlib import suppress

from tests.support.dashscope import KEY, Settings
from tests.support.dashscope.server import run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.dashscope")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8710)
    parser.add_argument("--key", default=KEY)
    options = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(run(options.host, options.port, Settings(key=options.key)))


main()
