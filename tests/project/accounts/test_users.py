import pytest
from django.contrib.auth import authenticate
from django.db import IntegrityError, transaction

from project import settings as real
from project.accounts.models import Role, User


def test_people_sign_in_with_their_address_in_any_case(alice):
    assert authenticate(username="ALICE@Example.org", password="correct horse battery") == alice
    assert authenticate(username="alice@example.org", password="wrong") is None


def test_two_accounts_cannot_share_an_address(alice):
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user("Alice@EXAMPLE.org", "whatever else")


def test_a_locked_account_cannot_sign_in(alice):
    alice.is_active = False
    alice.save()
    assert authenticate(username="alice@example.org", password="correct horse battery") is None


def test_passwords_are_kept_with_argon2(db, settings):
    settings.PASSWORD_HASHERS = real.PASSWORD_HASHERS
    alice = User.objects.create_user("alice@example.org", "correct horse battery")
    assert alice.password.startswith("argon2")


@pytest.mark.parametrize(
    ("role", "staff", "accounts", "catalogue"),
    [
        (Role.ADMIN, True, True, True),
        (Role.OPERATOR, True, False, True),
        (Role.CUSTOMER, False, False, False),
    ],
)
def test_the_role_says_what_the_admin_shows(role, staff, accounts, catalogue):
    user = User(email="x@example.org", role=role)
    assert user.is_staff is staff
    assert user.has_perm("accounts.change_user") is accounts
    assert user.has_perm("generation.change_avatar") is catalogue


def test_a_locked_admin_may_do_nothing():
    assert not User(email="x@example.org", role=Role.ADMIN, is_active=False).has_perm("generation.add_avatar")


def test_an_unknown_role_cannot_be_stored(alice):
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=alice.pk).update(role="king")
