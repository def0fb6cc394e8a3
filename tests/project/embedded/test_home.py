import stat
import subprocess
import sys
from pathlib import Path

import pytest

from project.embedded.errors import StackError
from project.embedded.home import SECRETS, Home


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_made_once(home: Home) -> None:
    made = home.secrets()
    assert set(made) == set(SECRETS)
    assert len(set(made.values())) == len(SECRETS)
    assert Home(home.path).secrets() == made


def test_a_newer_version_adds_the_secrets_it_needs(home: Home) -> None:
    home.write(home.path / "secrets.json", '{"secret_key": "kept"}')
    made = home.secrets()
    assert made["secret_key"] == "kept"
    assert set(made) == set(SECRETS)


def test_nobody_else_may_look(home: Home) -> None:
    home.secrets()
    assert _mode(home.path) == _mode(home.run) == _mode(home.logs) == 0o700
    assert _mode(home.path / "secrets.json") == 0o600
    assert _mode(home.folder("seaweed")) == 0o700


def test_a_folder_that_was_open_is_closed(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o755)
    with Home(tmp_path / "home").held():
        assert _mode(tmp_path / "home") == 0o700


def test_two_supervisors_do_not_share_a_home(home: Home) -> None:
    with pytest.raises(StackError, match="already running"), Home(home.path).held():
        pass


def test_the_lock_goes_with_its_process(tmp_path: Path) -> None:
    program = (
        "import os; from pathlib import Path; from project.embedded.home import Home\n"
        f"with Home(Path({str(tmp_path)!r}) / 'home').held(): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 9
    with Home(tmp_path / "home").held():
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StackError, match=r"Cannot write to .*file/home"), Home(tmp_path / "file/home").held():
        pass


def test_damaged_secrets_are_not_replaced(home: Home) -> None:
    home.write(home.path / "secrets.json", "{")
    with pytest.raises(StackError, match="damaged"):
        home.secrets()


def test_a_file_is_replaced_whole(home: Home) -> None:
    path = home.write(home.path / "connection.json", "one")
    home.write(path, "two")
    assert path.read_text() == "two"
    assert _mode(path) == 0o600
    assert [p.name for p in home.path.iterdir() if p.name.startswith(".")] == []
