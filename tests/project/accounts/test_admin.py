import re

import pytest
from django.contrib.messages import get_messages

from project.accounts import keys
from project.accounts.models import Allowance, ApiKey, User


@pytest.fixture
def signed_in(client, admin):
    client.force_login(admin)
    return client


@pytest.mark.parametrize("path", ["user", "apikey", "dailyusage", "user/add", "apikey/add"])
def test_the_pages_open(signed_in, path):
    assert signed_in.get(f"/admin/accounts/{path}/").status_code == 200


def test_an_operator_sees_no_accounts(client, olga):
    client.force_login(olga)
    assert client.get("/admin/accounts/user/").status_code == 403


def test_a_customer_does_not_get_in(client, alice):
    client.force_login(alice)
    assert client.get("/admin/").status_code == 302


def test_a_key_is_shown_once(signed_in, alice):
    form = {"owner": alice.pk, "name": "Made by hand", "scopes": ["clips:read"]}
    answer = signed_in.post("/admin/accounts/apikey/add/", form)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    (shown,) = (str(m) for m in get_messages(answer.wsgi_request) if "Copy the key" in str(m))
    text = re.search(r"parley_\w+", shown)[0]
    key = keys.find(text)
    assert (key.owner, key.scopes) == (alice, ["clips:read"])
    assert ApiKey.objects.count() == 1
    page = signed_in.get(f"/admin/accounts/apikey/{key.pk}/change/").content.decode()
    page = signed_in.get(f"/admin/accounts/apikey/{key.pk}/change/").content.decode()
    assert text not in page


def test_a_customer_gets_no_staff_scope_here_either(signed_in, alice):
    form = {"owner": alice.pk, "name": "Too much", "scopes": ["admin"]}
    answer = signed_in.post("/admin/accounts/apikey/add/", form)
    assert answer.status_code == 200
    assert "for staff accounts" in answer.content.decode()
    assert not ApiKey.objects.exists()


def test_a_user_is_made_with_a_password_and_an_allowance(signed_in):
    form = {
        "email": "new@example.org", "role": "customer", "is_active": "on", "new_password": "long enough here",
        "allowance-TOTAL_FORMS": "1", "allowance-INITIAL_FORMS": "0", "allowance-0-clips_in_flight": "2",
    }  # fmt: skip
    answer = signed_in.post("/admin/accounts/user/add/", form)
    assert answer.status_code == 302, answer.context["errors"]
    user = User.objects.get(email="new@example.org")
    assert user.check_password("long enough here")
    assert Allowance.objects.get(owner=user).clips_in_flight == 2


def test_a_weak_password_is_refused(signed_in):
    form = {"email": "new@example.org", "role": "customer", "new_password": "short",
            "allowance-TOTAL_FORMS": "0", "allowance-INITIAL_FORMS": "0"}  # fmt: skip
    assert signed_in.post("/admin/accounts/user/add/", form).status_code == 200
    assert not User.objects.filter(email="new@example.org").exists()
