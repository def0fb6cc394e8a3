from collections.abc import Iterator
from pathlib import Path

import pytest

from project.embedded.home import Home
from project.embedded.ports import Ports


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "home")
    with home.held():
        yield home


@pytest.fixture
def ports(home: Home) -> Iterator[Ports]:
    ports = Ports(home)
    yield ports
    ports.release()
