from collections.abc import Iterator
from pathlib import Path

import pytest

from project.bench.stack import EmbeddedStack
from storage.s3 import Endpoint, ObjectStore
from tests.support.objects import MemoryStore


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A real S3 server, started as `make up` starts it."""
    home: Path = tmp_path_factory.mktemp("s3")
    with EmbeddedStack(home, parts=["storage"]) as stack:
        told = stack.environment()
        yield Endpoint(
            url=told["S3_ENDPOINT_URL"],
            public_url=told["S3_PUBLIC_ENDPOINT_URL"],
            region="us-east-1",
            bucket="tests",
            access_key_id=told["S3_ACCESS_KEY_ID"],
            secret_access_key=told["S3_SECRET_ACCESS_KEY"],
        )


@pytest.fixture
def real(s3: Endpoint) -> ObjectStore:
    """The real store, empty at first."""
    store = ObjectStore(s3)
    store.ensure_bucket()
    store.delete([found.key for found in store.list("")])
    return store


@pytest.fixture(params=["real", "memory"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    """Both stores in turn: what holds for one has to hold for the other."""
    if request.param == "memory":
        return MemoryStore()
    found: ObjectStore = request.getfixturevalue("real")
    return found
