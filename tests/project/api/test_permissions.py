"""Every view under /api/ says who may call it."""

import pytest
from django.urls import URLPattern, get_resolver
from django.urls.resolvers import URLResolver
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from project.accounts.permissions import IsStaff
from project.accounts.scopes import SCOPES


def views(resolver, prefix=""):
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from views(pattern, prefix + str(pattern.pattern))
        elif isinstance(pattern, URLPattern) and (view := getattr(pattern.callback, "view_class", None)):
            yield prefix + str(pattern.pattern), view


API = [(path, view) for path, view in views(get_resolver()) if issubclass(view, APIView)]


@pytest.mark.parametrize(("path", "view"), API, ids=[path for path, _ in API])
def test_each_method_declares_a_known_scope(path, view):
    if not view.permission_classes:
        return  # open on purpose, with a token of its own
    methods = {m.upper() for m in ("get", "post", "put", "patch", "delete") if hasattr(view, m)}
    declared = getattr(view, "required_scopes", {})
    assert methods <= set(declared), f"{path} leaves out {methods - set(declared)}"
    assert {scope for scope in declared.values() if scope} <= set(SCOPES)


class StaffOnly(APIView):
    permission_classes = [IsStaff]
    required_scopes = {"GET": "admin"}

    def get(self, request):
        return Response({})


class Forgotten(APIView):
    def get(self, request):
        return Response({})


def call(view, client):
    request = APIRequestFactory().get(
        "/api/v1/x", headers={"Authorization": client._credentials["HTTP_AUTHORIZATION"]}
    )
    return view.as_view()(request)


def test_staff_views_refuse_customers_and_keys_without_the_scope(alice, olga, as_user):
    assert call(StaffOnly, as_user(alice)).data["code"] == "staff_only"
    assert call(StaffOnly, as_user(olga, scopes=["clips:read"])).data["code"] == "missing_scope"
    assert call(StaffOnly, as_user(olga)).status_code == 200


def test_a_view_that_forgot_its_scopes_is_closed(olga, as_user):
    assert call(Forgotten, as_user(olga)).status_code == 403
