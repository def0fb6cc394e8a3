import io
import json

import pytest
from django.core.management import CommandError, call_command

from project.accounts import keys
from project.accounts.models import ApiKey, User
from project.accounts.scopes import SCOPES


def run(*arguments):
    out = io.StringIO()
    call_command("bootstrap", "--json", *arguments, stdout=out)
    return json.loads(out.getvalue())


@pytest.fixture
def kept(tmp_path):
    """Runs the command as `make up` does: with the file of the run before."""
    path = tmp_path / "connection.json"

    def again(*arguments):
        made = run("--keep-file", str(path), *arguments)
        path.write_text(json.dumps({"url": "http://127.0.0.1:8000", **made}))
        return made

    return again


def test_a_fresh_service_gets_an_admin_and_a_key(db):
    made = run()
    admin = User.objects.get(email=made["admin_user"])
    assert admin.is_superuser
    assert admin.check_password(made["admin_password"])
    assert keys.find(made["api_key"]).scopes == list(SCOPES)


def test_the_second_run_changes_and_tells_nothing(db):
    first = run()
    assert run() == {"admin_user": first["admin_user"], "admin_password": None, "api_key": None}
    assert keys.find(first["api_key"])
    assert (User.objects.count(), ApiKey.objects.count()) == (1, 1)


def test_what_still_works_is_told_again(db, kept):
    assert kept() == kept() == kept()


def test_a_password_that_was_changed_is_not_told(db, kept):
    first = kept()
    admin = User.objects.get()
    admin.set_password("my own choice")
    admin.save()
    second = kept()
    assert second["admin_password"] is None
    assert second["api_key"] == first["api_key"]


def test_a_key_that_was_revoked_is_replaced(db, kept):
    first = kept()
    keys.revoke(ApiKey.objects.get())
    second = kept()
    assert second["api_key"] != first["api_key"]
    assert keys.find(second["api_key"])


def test_a_lost_file_gets_a_new_key_and_the_lost_one_dies(db, kept, tmp_path):
    first = kept()
    (tmp_path / "connection.json").unlink()
    second = kept()
    assert keys.find(second["api_key"])
    assert keys.find(first["api_key"]) is None


def test_reset_makes_both_anew(db):
    first, second = run(), run("--reset")
    admin = User.objects.get()
    assert admin.check_password(second["admin_password"])
    assert keys.find(second["api_key"])
    assert keys.find(first["api_key"]) is None


def test_a_damaged_file_is_refused(db, tmp_path):
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(CommandError):
        run("--keep-file", str(tmp_path / "c.json"))


def test_people_read_words(db):
    out = io.StringIO()
    call_command("bootstrap", stdout=out)
    assert "Password: " in out.getvalue()
    assert "API key:  parley_" in out.getvalue()
