"""The table of addresses is whole, and what it allows is little."""

import pytest
from django.urls import path
from django.urls.resolvers import URLPattern

from sessions.routing import application
from tests.bad_input import access
from tests.bad_input.access import KINDS, Caller, allowed, kind, patterns

NOBODY = Caller("nobody", {}, "unknown")
STRANGER = Caller("a stranger", {"Authorization": "Bearer x"}, "stranger")


def test_somebody_said_of_every_address_whose_it_is() -> None:
    assert [pattern for pattern in patterns() if kind(pattern) is None] == []
    assert set(KINDS) <= set(patterns()), "an address that there is no more"


def test_a_new_address_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    new: list[URLPattern] = [path("api/v1/secrets/<str:secret_id>", lambda _: None)]  # type: ignore[arg-type, return-value]
    monkeypatch.setattr(access, "get_resolver", lambda: type("Resolver", (), {"url_patterns": new}))
    assert patterns() == ["/api/v1/secrets/<secret_id>"]
    assert kind(patterns()[0]) is None


@pytest.mark.parametrize("method", access.METHODS)
def test_things_are_their_owners(method: str) -> None:
    for pattern in patterns():
        if kind(pattern) == "thing":
            assert not {200, 201, 202, 204} & allowed(NOBODY, pattern, method)
            if method != "OPTIONS":
                assert not {200, 201, 202, 204} & allowed(STRANGER, pattern, method)


# Who may open these; what everybody else is told is in tests/stack/test_live_sockets.py.
SOCKETS = {r"^ws/sessions/(?P<session_id>ses_[0-9a-f]{32})/?$": "a session's token", "": "nobody"}


def test_every_socket_was_thought_of() -> None:
    assert {str(route.pattern) for route in application.routes} == set(SOCKETS)
