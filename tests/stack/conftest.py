from collections.abc import Iterator
from pathlib import Path

import pytest

from project.bench.stack import EmbeddedStack
from tests.faults.batch import ready_avatar

# Where a test may stand a server that the stack is allowed to call; 127.0.0.1 stays forbidden.
REACHABLE = "127.0.0.2"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """The whole stack, with one render worker and one avatar, for tests that leave it as it was."""
    settings = {
        "BUILTIN_AVATARS": "lena",
        "EGRESS_ALLOWED_NETWORKS": f"{REACHABLE}/32",
        "ALLOWANCE_REQUESTS_A_MINUTE": "100000",
    }
    with EmbeddedStack(tmp_path_factory.mktemp("stack"), render_workers=1, env=settings) as stack:
        yield stack


@pytest.fixture(scope="session")
def avatar(stack: EmbeddedStack) -> str:
    """The id of an avatar that is ready."""
    return ready_avatar(stack)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"
