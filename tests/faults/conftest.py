"""One real stack for all fault tests: each test breaks it and leaves it healthy."""

import pytest

from project.bench.stack import EmbeddedStack
from tests.faults.batch import Receiver


@pytest.fixture(scope="session")
def receiver():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory, receiver):
    home = tmp_path_factory.mktemp("faults") / "home"
    # Callbacks go to this machine, which is refused unless a network is allowed.
    with EmbeddedStack(
        home, render_workers=2, env={"EGRESS_ALLOWED_NETWORKS": "127.0.0.1/32", "BUILTIN_AVATARS": "lena"}
    ) as stack:
        yield stack


@pytest.fixture
def stack(shared_stack):
    shared_stack.wait_healthy()
    yield shared_stack
    shared_stack.wait_healthy()
