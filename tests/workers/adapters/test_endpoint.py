"""Addresses of providers."""

import pytest

from workers.adapters.endpoint import Endpoint


@pytest.mark.parametrize(
    ("base_url", "path", "url"),
    [
        ("https://api.example.com", "", "wss://api.example.com"),
        ("https://api.example.com/", "/v1/speak", "wss://api.example.com/v1/speak"),
        ("http://127.0.0.1:8000/v1", "speak?model=a", "ws://127.0.0.1:8000/v1/speak?model=a"),
        ("http://127.0.0.1:8000/v1/", "?model=a", "ws://127.0.0.1:8000/v1?model=a"),
        ("wss://api.example.com/ws", "speak", "wss://api.example.com/ws/speak"),
    ],
)
def test_a_websocket_lies_below_the_same_address(base_url: str, path: str, url: str):
    assert Endpoint(base_url).ws_url(path) == url


def test_who_has_no_key_says_nothing_of_one():
    assert Endpoint("https://api.example.com").headers == {}
    assert Endpoint("https://api.example.com", "k").headers == {"Authorization": "Bearer k"}
