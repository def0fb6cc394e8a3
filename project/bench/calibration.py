"""How fast this machine is: fixed work that has nothing to do with the service, timed beside each run.

Machines differ, and one machine differs from hour to hour. So every run measures this as well, and
runs are compared by what they took in relation to it (`project.bench.comparing`). None of it uses
code of the service: a slower service must not make its own yardstick longer.
"""

import contextlib
import secrets
import socket
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import av
import numpy as np
from numpy.typing import NDArray

from project.embedded.errors import StackError
from project.embedded.valkey import binary

REPEATS = 7
LOOPS = 60_000
COPY_BYTES = 32 * 2**20  # well above any cache of a core
FRAMES, WIDTH, HEIGHT = 25, 320, 240
ROUND_TRIPS = 200
COMMITS = 20
START_SECONDS = 10.0

Taken = dict[str, list[float]]
BOUNDARIES: Mapping[str, str] = MappingProxyType(
    {
        "calibration_cpu_ms": "CPU time of a fixed loop of Python's own arithmetic, one thread",
        "calibration_copy_ms": "copying 32 MB from one place in memory to another",
        "calibration_x264_ms": f"CPU time of x264 for {FRAMES} pictures of {WIDTH}x{HEIGHT}, one thread",
        "calibration_round_trip_ms": "from asking an idle Valkey over loopback to its answer, median of 200",
        "calibration_commit_ms": "one commit of SQLite in a temporary folder, mean of 20",
    }
)


def take(repeats: int = REPEATS) -> Taken:
    """Measure each of `BOUNDARIES`, in ms, so often; in turn, so that a disturbance meets all of them.

    Takes about two seconds. What cannot be measured here (no Valkey) is left out.
    """
    taken: dict[str, list[float]] = {}
    with contextlib.ExitStack() as exits:
        yardsticks = _yardsticks(exits)
        for _ in range(repeats):
            for name, measure in yardsticks.items():
                taken.setdefault(name, []).append(round(measure(), 5))
    return taken


def joined(*takes: Taken) -> Taken:
    """One take of several: of the beginning and the end of a run."""
    names = {name: None for one in takes for name in one}
    return {name: [value for one in takes for value in one.get(name, ())] for name in names}


def _yardsticks(exits: contextlib.ExitStack) -> dict[str, Callable[[], float]]:
    pictures = _pictures()
    source, target = np.ones((2, COPY_BYTES), dtype=np.uint8)  # touched: fresh memory costs its faults
    database = exits.enter_context(_database())
    yardsticks: dict[str, Callable[[], float]] = {
        "calibration_cpu_ms": _arithmetic,
        "calibration_copy_ms": lambda: _copy(source, target),
        "calibration_x264_ms": lambda: _encode(pictures),
        "calibration_commit_ms": lambda: _commit(database),
    }
    with contextlib.suppress(StackError):
        server = exits.enter_context(_server())
        yardsticks["calibration_round_trip_ms"] = lambda: _round_trip(server)
    return yardsticks


# --- Processor and memory ----------------------------------------------------------------------


def _arithmetic() -> float:
    began = time.thread_time()
    found: dict[int, float] = {}
    state = 1
    for number in range(LOOPS):
        state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
        found[state % 997] = found.get(state % 997, 0.0) * 0.5 + number
    return 1000 * (time.thread_time() - began)


def _copy(source: NDArray[np.uint8], target: NDArray[np.uint8]) -> float:
    began = time.perf_counter()
    np.copyto(target, source)
    return 1000 * (time.perf_counter() - began)


def _pictures() -> list[av.VideoFrame]:
    """A bright square that moves over fixed noise."""
    noise = np.random.default_rng(7).integers(90, 130, (HEIGHT * 3 // 2, WIDTH), dtype=np.uint8)
    pictures = []
    for number in range(FRAMES):
        picture = noise.copy()
        left = 8 * number
        picture[80:160, left : left + 80] = 220
        pictures.append(av.VideoFrame.from_ndarray(picture, format="yuv420p"))
    return pictures


def _encode(pictures: list[av.VideoFrame]) -> float:
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    codec.framerate, codec.thread_count = Fraction(25), 1
    codec.options = {"preset": "veryfast", "crf": "23", "tune": "zerolatency"}
    began = time.process_time()
    for number, picture in enumerate(pictures):
        picture.pts = number
        codec.encode(picture)
    codec.encode(None)
    return 1000 * (time.process_time() - began)


# --- Other processes and the disk ----------------------------------------------------------------


@contextlib.contextmanager
def _server() -> Iterator[socket.socket]:
    """A connection to a Valkey server of our own. Raises `StackError` where none is installed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    password = secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory(prefix="parley-calibration-") as folder:
        lines = [f"bind 127.0.0.1\nport {port}\nrequirepass {password}", f'dir "{folder}"', 'save ""', ""]
        # Its settings go through a pipe: a command line, and so a password in it, can be read by everybody.
        process = subprocess.Popen(
            [binary(), "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            assert process.stdin is not None
            process.stdin.write("\n".join(lines).encode())
            process.stdin.close()
            with _connected(port) as connection:
                _ask(connection, f"AUTH {password}")
                yield connection
        finally:
            process.kill()
            process.wait()


def _connected(port: int) -> socket.socket:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS)
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection


def _ask(connection: socket.socket, command: str) -> None:
    connection.sendall(command.encode() + b"\r\n")
    answer = connection.recv(64)
    if not answer.startswith(b"+"):
        raise RuntimeError(f"Valkey answered {answer!r}")


def _round_trip(connection: socket.socket) -> float:
    taken = []
    for _ in range(ROUND_TRIPS):
        began = time.perf_counter()
        _ask(connection, "PING")
        taken.append(time.perf_counter() - began)
    return 1000 * statistics.median(taken)


@contextlib.contextmanager
def _database() -> Iterator[sqlite3.Connection]:
    with tempfile.TemporaryDirectory(prefix="parley-calibration-") as folder:
        database = sqlite3.connect(Path(folder) / "rows.sqlite3", isolation_level=None)
        try:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("CREATE TABLE row (number INTEGER, text TEXT)")
            yield database
        finally:
            database.close()


def _commit(database: sqlite3.Connection) -> float:
    began = time.perf_counter()
    for number in range(COMMITS):
        database.execute("INSERT INTO row VALUES (?, ?)", (number, "x" * 200))
    return 1000 * (time.perf_counter() - began) / COMMITS
