"""Requests are counted by route; addresses, ids and made-up methods are no labels."""

import pytest

from project.metrics import instruments

pytestmark = pytest.mark.django_db


def count(method: str, route: str, status: int) -> float:
    return instruments.http_requests.labels(method, route, str(status))._value.get()


def test_requests_are_counted_by_their_route(client):
    before = count("GET", "livez", 200)
    client.get("/livez?some=thing")
    assert count("GET", "livez", 200) == before + 1


def test_ids_stay_out_of_the_figures(client):
    client.get("/api/v1/clips/clip_00000000000000000000000000000001")
    samples = [sample for family in instruments.http_requests.collect() for sample in family.samples]
    assert not any("0000" in sample.labels.get("route", "") for sample in samples)
    assert any("<" in sample.labels.get("route", "") for sample in samples)


def test_what_is_nowhere_has_one_name(client):
    before = count("GET", "none", 404)
    for address in ("/no/such/page", "/neither/this"):
        client.get(address)
    assert count("GET", "none", 404) == before + 2


def test_made_up_methods_have_one_name(client):
    before = count("other", "livez", 405)
    client.generic("MAKEUP", "/livez")
    assert count("other", "livez", 405) == before + 1
