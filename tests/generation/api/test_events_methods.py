import pytest
from django.test import AsyncClient


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
async def test_other_methods_hear_405_also_where_csrf_is_checked(method: str) -> None:
    client = AsyncClient(enforce_csrf_checks=True)
    answer = await getattr(client, method)("/api/v1/clips/clip_0/events")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET"
