"""The parts of Parley, as the supervisor sees them."""

import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from project.embedded import probes, seaweed, valkey
from project.embedded.environment import FIGURES_PORT, LOOPBACK, Plan, loopback_of
from project.embedded.parts import Part

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = (
    "valkey",
    "storage",
    "speech",
    "migrate",
    "prepare",
    "web",
    "live",
    "render",
    "models",
    "general",
    "avatars",
    "scheduler",
)
GENERAL_QUEUES = "speech,media,webhooks,maintenance"
RENDER_QUEUES = "batch.viseme,batch.mock"
LIVE_QUEUES = "live.viseme,live.mock"
GENERAL_THREADS = 6
# One thread per render worker: there is one worker per core, and more threads only get in each
# other's way.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), "1"
)


def parts(plan: Plan, wanted: tuple[str, ...] = NAMES) -> list[Part]:
    """Every wanted part that is not replaced by a setting."""
    made: list[Part] = []
    if plan.redis_port is not None:
        made.append(_valkey(plan, plan.redis_port))
    if plan.s3 is not None:
        made.append(_storage(plan))
    if plan.speech_port is not None:
        made.append(_speech(plan, plan.speech_port))
    made += [
        _migrate(),
        _prepare(plan),
        *_web(plan),
        *_live(plan),
        *_render(plan),
        *_models(plan),
        _general(plan),
        _avatars(plan),
        _scheduler(plan),
    ]
    return [part for part in made if part.name.rstrip("0123456789") in wanted]


def result_file(plan: Plan) -> Path:
    """Where the preparation leaves the logins that it made."""
    return plan.home.run / "bootstrap.json"


def _valkey(plan: Plan, port: int) -> Part:
    def repair() -> str | None:
        aside = valkey.set_aside(plan.home)
        return f"could not read its data, which is now in {aside}" if aside else None

    return Part(
        "valkey",
        valkey.command(plan.home, port, plan.secrets["redis_password"]),
        cwd=plan.home.folder("valkey"),
        probe=probes.redis(port, plan.secrets["redis_password"]),
        repair=repair,
    )


def _storage(plan: Plan) -> Part:
    front = plan.s3
    if front is None:
        raise AssertionError("asked for only where the S3 server is ours")
    return Part(
        "storage",
        seaweed.command(plan.home, plan.ports, plan.secrets, front),
        cwd=plan.home.folder("seaweed"),
        # An anonymous caller is refused once identities are loaded; before that nobody answers.
        probe=probes.http(front.port, "/", statuses={403}, host=loopback_of(front.host)),
        before=_removing(seaweed.sockets(plan.ports)),
        after=_removing(seaweed.sockets(plan.ports)),
        # Asked to stop, it first writes down what it holds, and then waits 15 s for its own parts to
        # let go of each other.
        stop_seconds=2.0,
    )


def _speech(plan: Plan, port: int) -> Part:
    key = plan.home.write(plan.home.run / "speech.key", plan.secrets["speech_api_key"])
    command = [sys.executable, "-m", "workers.speechd", "--host", LOOPBACK, "--port", str(port)]
    return Part(
        "speech",
        [
            *command,
            "--api-key-file",
            str(key),
            *(("--sensevoice", plan.sensevoice) if plan.sensevoice else ()),
            *("--log-format", plan.given.get("LOG_FORMAT") or "line"),
            *(("--log-spoken-text",) if _is_on(plan, "LOG_SPOKEN_TEXT") else ()),
        ],
        cwd=ROOT,
        probe=probes.http(port, "/health", statuses={200}, bearer=plan.secrets["speech_api_key"]),
        start_seconds=120.0,
        nice=4,
    )


def _migrate() -> Part:
    """The tables are there before anybody asks for them; needs none of the other parts."""
    command = [sys.executable, "manage.py", "migrate", "--no-input", "--skip-checks"]
    return Part("migrate", command, cwd=ROOT)


def _prepare(plan: Plan) -> Part:
    return Part(
        "prepare",
        [
            *(sys.executable, "-m", "project.embedded.prepare"),
            *(str(result_file(plan)), str(plan.home.connection_file)),
        ],
        cwd=ROOT,
        needs=("migrate", "valkey", "storage"),
        before=_removing([result_file(plan)]),
    )


def _web(plan: Plan) -> list[Part]:
    """Web processes that share one listening socket: each may die and come back alone."""
    # The supervisor listens, so that callers wait instead of being refused while no process is there.
    listening = plan.ports.listen("web").fileno()
    if plan.certificate is None:
        endpoint = ["--fd", str(listening)]
    else:
        certificate, key = plan.certificate
        told = {"fileno": listening, "certificate": str(certificate), "key": str(key)}
        endpoint = ["-e", f"tlsfd:{urlencode(told)}"]
    if _is_on(plan, "TRUST_PROXY"):
        endpoint.append("--proxy-headers")
    return [_web_process(plan, number, listening, endpoint) for number in range(1, plan.web_processes + 1)]


def _web_process(plan: Plan, number: int, listening: int, endpoint: list[str]) -> Part:
    name = f"web{number}"
    figures = {one: plan.given[one] for one in FIGURES_PORT if one in plan.given}
    # Whoever asks the shared port is answered by any of them; this socket tells whether it is this one.
    own = plan.home.socket(name)
    command = [
        *(sys.executable, "-m", "project.server", "-v", "0", "--no-server-name"),
        *("--application-close-timeout", "3", "-e", f"unix:{_escaped(own)}:mode=600", *endpoint),
        "project.asgi:application",
    ]
    return Part(
        name,
        command,
        env=figures if number == 1 else {},
        cwd=ROOT,
        needs=("migrate", "valkey"),
        probe=probes.http(own, "/livez", statuses={200}),
        before=_removing([own]),
        pass_fds=(listening,),
    )


def _escaped(path: Path) -> str:
    """A path inside a description of an endpoint, where a colon parts the arguments."""
    return str(path).replace("\\", "\\\\").replace(":", "\\:")


def _live(plan: Plan) -> list[Part]:
    """Render workers of live sessions; they go before everything that can wait."""
    return [
        _worker(plan, f"live{i}", ["-P", "solo", "-Q", LIVE_QUEUES], nice=0, env=ONE_THREAD, quiet=True)
        for i in range(1, plan.live_workers + 1)
    ]


def _render(plan: Plan) -> list[Part]:
    return [
        _worker(plan, f"render{i}", ["-P", "solo", "-Q", RENDER_QUEUES], nice=15, env=ONE_THREAD)
        for i in range(1, plan.render_workers + 1)
    ]


def _models(plan: Plan) -> list[Part]:
    """Render workers of networks and of other servers' models: one for each device."""
    return [
        _model_worker(plan, f"models{number}", device, models)
        for number, (device, models) in enumerate(plan.model_workers, 1)
    ]


def _model_worker(plan: Plan, name: str, device: str, models: list[str]) -> Part:
    ready = plan.home.run / f"{name}.ready"
    command = [sys.executable, "manage.py", "render_worker", "--models", ",".join(models)]
    return Part(
        name,
        [*command, "--device", device, "--name", f"{name}@parley"],
        env={"READY_FILE": str(ready)},
        cwd=ROOT,
        needs=("migrate", "valkey", "storage"),
        probe=probes.file(ready),
        start_seconds=600.0,  # large networks are read from a slow disk
        stop_seconds=30.0,  # for the fragments under way
        before=_removing([ready]),
    )


def _general(plan: Plan) -> Part:
    return _worker(
        plan, "general", ["-P", "threads", "-c", str(GENERAL_THREADS), "-Q", GENERAL_QUEUES], nice=8
    )


def _avatars(plan: Plan) -> Part:
    """Preparing takes seconds of a core each: in a process of its own it keeps no clip waiting."""
    return _worker(plan, "avatars", ["-P", "solo", "-Q", "prepare"], nice=15, env=ONE_THREAD)


def _worker(
    plan: Plan,
    name: str,
    options: list[str],
    *,
    nice: int,
    env: dict[str, str] | None = None,
    quiet: bool = False,
) -> Part:
    """A Celery worker; a quiet one does not write two lines for each task."""
    ready = plan.home.run / f"{name}.ready"
    celery = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "project",
        "-q",  # no banner among the lines of the log
        "worker",
        "-l",
        "WARNING" if quiet and _level(plan) == "INFO" else _level(plan),
        "-n",
        f"{name}@parley",
    ]
    return Part(
        name,
        [*celery, *options, "--without-mingle", "--without-gossip", "--without-heartbeat"],
        env={**(env or {}), "READY_FILE": str(ready)},
        cwd=ROOT,
        needs=("migrate", "valkey"),
        probe=probes.file(ready),
        # Whoever steps back gets a core late on a busy machine; ended too soon, it would never start.
        start_seconds=180.0 + 8 * nice,
        before=_removing([ready]),
        nice=nice,
    )


def _scheduler(plan: Plan) -> Part:
    ready = plan.home.run / "scheduler.ready"
    schedule = plan.home.folder("scheduler") / "schedule"
    return Part(
        "scheduler",
        [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "project",
            "-q",
            "beat",
            "-l",
            _level(plan),
            "-s",
            str(schedule),
            "--pidfile=",
        ],
        env={"READY_FILE": str(ready)},
        cwd=ROOT,
        needs=("migrate", "valkey"),
        probe=probes.file(ready),
        before=_removing([ready]),
    )


def _is_on(plan: Plan, name: str) -> bool:
    return plan.given.get(name, "0").lower() in ("1", "true")


def _level(plan: Plan) -> str:
    return plan.given.get("LOG_LEVEL") or "INFO"


def _removing(paths: list[Path]) -> Callable[[], None]:
    def remove() -> None:
        for path in paths:
            path.unlink(missing_ok=True)

    return remove
