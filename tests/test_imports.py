"""The import contracts hold, and each one fails when it is broken."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("project", "generation", "sessions", "rtc", "workers", "storage")

VIOLATIONS = [
    ("Layers", "storage/sneaky.py", "from generation import models\n"),
    ("Layers", "rtc/sneaky.py", "import workers.dispatch\n"),
    ("Layers", "project/accounts/sneaky.py", "import project.webhooks\n"),
    ("Media, models and providers know no Django", "workers/rendering/sneaky.py", "import django\n"),
    ("Media, models and providers know no Django", "rtc/sneaky.py", "import project.errors\n"),
    ("Only storage talks S3", "generation/sneaky.py", "import boto3\n"),
    ("The web never loads torch or a speech engine", "generation/sneaky.py", "import torch\n"),
]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    script = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [script, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imports")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package,
            folder / package,
            ignore=lambda _, names: [
                n for n in names if n == "__pycache__" or ("." in n and not n.endswith(".py"))
            ],
        )
    return folder


def test_the_contracts_hold(copy):
    result = lint(copy)
    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout


@pytest.mark.parametrize(("contract", "path", "line"), VIOLATIONS)
def test_a_contract_fails_when_it_is_broken(copy, contract, path, line):
    sneaky = copy / path
    sneaky.write_text(line)
    try:
        result = lint(copy)
    finally:
        sneaky.unlink()
    assert result.returncode != 0
    assert f"{contract} BROKEN" in result.stdout
