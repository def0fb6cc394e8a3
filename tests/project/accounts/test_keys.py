from datetime import timedelta

import pytest
from django.utils import timezone

from project.accounts import keys
from project.accounts.models import ApiKey
from project.accounts.scopes import SCOPES
from project.errors import Conflict, InvalidInput


def test_a_key_finds_its_owner(alice):
    key, text = keys.create(alice, name="CI")
    found = keys.find(text)
    assert found == key
    assert found.owner == alice


def test_the_secret_is_not_stored(alice):
    key, text = keys.create(alice, name="CI")
    secret = text.split("_")[2]
    row = ApiKey.objects.filter(pk=key.pk).values().get()
    assert secret not in str(row)
    assert len(bytes.fromhex(secret)) * 8 == 256


@pytest.mark.parametrize("text", ["", "parley", "parley__", "parley_a_b_c", "Bearer x", "pärley_a_b"])
def test_nonsense_is_no_key(db, text):
    assert keys.find(text) is None


def test_another_secret_with_the_right_prefix_is_no_key(alice):
    key, _ = keys.create(alice, name="CI")
    assert keys.find(f"parley_{key.prefix}_{'0' * 64}") is None


def test_an_expired_key_stops_working(alice, later):
    _, text = keys.create(alice, name="CI", expires_at=timezone.now() + timedelta(hours=1))
    assert keys.find(text)
    later(timedelta(hours=1))
    assert keys.find(text) is None


def test_a_revoked_key_stops_working(alice):
    key, text = keys.create(alice, name="CI")
    keys.revoke(key)
    assert keys.find(text) is None


def test_the_keys_of_a_locked_account_stop_working(alice):
    _, text = keys.create(alice, name="CI")
    alice.is_active = False
    alice.save()
    assert keys.find(text) is None


def test_use_is_written_down_once_a_minute(alice, later, django_assert_num_queries):
    key, text = keys.create(alice, name="CI")
    keys.find(text)
    first = ApiKey.objects.get(pk=key.pk).last_used_at
    assert first is not None
    with django_assert_num_queries(1):
        keys.find(text)
    later(timedelta(seconds=61))
    keys.find(text)
    assert ApiKey.objects.get(pk=key.pk).last_used_at > first


def test_rotation_lets_both_keys_work_for_a_while(alice, later):
    key, old = keys.create(alice, name="CI", scopes=["clips:read"])
    fresh, new = keys.rotate(key, overlap=timedelta(hours=1))
    assert fresh.scopes == ["clips:read"]
    assert keys.find(old)
    assert keys.find(new)
    later(timedelta(hours=1, seconds=1))
    assert keys.find(old) is None
    assert keys.find(new)


def test_rotation_never_lengthens_a_life(alice):
    end = timezone.now() + timedelta(minutes=5)
    key, _ = keys.create(alice, name="CI", expires_at=end)
    keys.rotate(key, overlap=timedelta(days=1))
    assert ApiKey.objects.get(pk=key.pk).expires_at == end


def test_a_key_is_rotated_once(alice):
    key, _ = keys.create(alice, name="CI")
    keys.rotate(key)
    with pytest.raises(Conflict) as caught:
        keys.rotate(key)
    assert caught.value.code == "api_key_already_rotated"


def test_a_revoked_key_cannot_be_rotated(alice):
    key, _ = keys.create(alice, name="CI")
    keys.revoke(key)
    with pytest.raises(Conflict):
        keys.rotate(key)


def test_a_customer_gets_no_staff_scope(alice, olga):
    with pytest.raises(InvalidInput) as caught:
        keys.create(alice, name="CI", scopes=["clips:read", "admin"])
    assert (caught.value.code, caught.value.pointer) == ("scope_not_allowed", "/scopes/1")
    assert "admin" not in keys.create(alice, name="CI")[0].scopes
    assert keys.create(olga, name="CI")[0].scopes == list(SCOPES)
