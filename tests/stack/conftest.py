from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stack import EmbeddedStack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """The whole stack, with one render worker."""
    with EmbeddedStack(tmp_path_factory.mktemp("stack"), render_workers=1) as stack:
        yield stack


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"
