import pytest

from project.webhooks import services


@pytest.mark.parametrize("page", ["webhookendpoint", "delivery"])
def test_the_pages_open(client, olga, endpoint, page):
    services.publish(endpoint.owner, "clip.failed", {"id": "c"})
    client.force_login(olga)
    assert endpoint.url in client.get(f"/admin/webhooks/{page}/").content.decode()
