"""Installs what the tests need from Debian where that is possible, and says what will be skipped.

Run before the tests: `python -m tests.support.system_packages`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FONTS = ("fonts-noto-core",)


def have_chromium() -> bool:
    return any(shutil.which(name) for name in CHROMIUM)


def have_postgres() -> bool:
    return bool(shutil.which("initdb")) or any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


def missing() -> list[str]:
    packages = []
    if not have_chromium():
        packages.append("chromium")
    if not have_postgres():
        packages.append("postgresql")
    if not shutil.which("turnserver"):
        packages.append("coturn")
    return packages


def main() -> int:
    packages = missing()
    if packages and os.geteuid() == 0 and shutil.which("apt-get"):
        print("Installing", ", ".join(packages), flush=True)
        quiet = {"stdout": subprocess.DEVNULL}
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-q"], check=False, env=environment, **quiet)
        subprocess.run(
            ["apt-get", "install", "-qy", "--no-install-recommends", *packages],
            check=False,
            env=environment,
            **quiet,
        )
    for package in missing():
        print(f"SKIPPED: the tests that need {package} (install it with: apt-get install {package})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
