import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import flashhead

PACKAGE = Path(flashhead.__file__).parent / "flash_head"


def forget() -> None:
    """What a test imported of the stand-in, no other one shall meet."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "flash_head"]:
        del sys.modules[name]


@pytest.fixture
def package(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Puts the stand-in package into a folder of its own, with small pictures unless said otherwise."""
    before = list(sys.path)

    def put(**facts: int) -> Path:
        home = tmp_path / "repository"
        shutil.copytree(PACKAGE, home / "flash_head", ignore=shutil.ignore_patterns("__pycache__"))
        config = home / "flash_head" / "configs" / "infer_params.yaml"
        told = config.read_text()
        for name, value in {"width": 96, "height": 96, **facts}.items():
            lines = [
                f"{name}: {value}" if line.startswith(f"{name}:") else line for line in told.splitlines()
            ]
            told = "\n".join(lines) + "\n"
        config.write_text(told)
        return home

    forget()
    yield put
    forget()
    sys.path[:] = before


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The folders that the package looks into, without weights."""
    folder = tmp_path / "weights"
    checkpoints = folder / "SoulX-FlashHead-1_3B"
    for name in ("Model_Lite", "Model_Pro", "VAE_LTX", "VAE_Wan"):
        (checkpoints / name).mkdir(parents=True)
        (checkpoints / name / "config.json").write_text("{}")
    (checkpoints / "VAE_Wan" / "Wan2.1_VAE.pth").touch()
    (folder / "wav2vec2-base-960h").mkdir()
    return folder
