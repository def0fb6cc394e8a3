from pathlib import Path

import pytest

from project.embedded import logs
from project.embedded.logs import Logs


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Logs:
    monkeypatch.setattr(logs, "MAX_BYTES", 100)
    return Logs(tmp_path)


def test_a_full_log_is_cut_while_its_writer_goes_on(small: Logs) -> None:
    with small.open("web") as writer:
        writer.write(b"a" * 150)
        small.rotate()
        writer.write(b"after")
    assert small.path("web").read_bytes() == b"after"
    assert Path(f"{small.path('web')}.1").read_bytes() == b"a" * 150


def test_only_so_many_pieces_are_kept(small: Logs) -> None:
    for letter in b"abcdef":
        with small.open("web") as writer:
            writer.write(bytes([letter]) * 150)
        small.rotate()
    names = sorted(path.name for path in small.folder.iterdir())
    assert names == ["web.log", "web.log.1", "web.log.2", "web.log.3"]
    assert Path(f"{small.path('web')}.1").read_bytes()[:1] == b"f"
    assert Path(f"{small.path('web')}.3").read_bytes()[:1] == b"d"


def test_a_short_log_is_left_alone(small: Logs) -> None:
    with small.open("web") as writer:
        writer.write(b"short")
    small.rotate()
    assert [path.name for path in small.folder.iterdir()] == ["web.log"]


def test_the_tail_is_the_end(tmp_path: Path) -> None:
    kept = Logs(tmp_path)
    with kept.open("web") as writer:
        writer.write(b"".join(b"line %d\n" % number for number in range(5000)))
    assert kept.tail("web").splitlines()[-1] == "line 4999"
    assert len(kept.tail("web").splitlines()) == logs.TAIL_LINES
    assert kept.tail("never-started") == ""
