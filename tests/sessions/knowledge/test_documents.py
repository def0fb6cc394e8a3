"""A document from its upload to its removal, over REST, with the worker's part run by hand."""

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.utils import timezone

from project.accounts.models import Role, User
from sessions.knowledge import preparing, upkeep
from sessions.knowledge.models import Knowledge, KnowledgeDocument, Passage
from sessions.models import Persona
from storage import keys
from storage.errors import StorageError
from tests.support import pdfs
from tests.support.clips import Broker
from workers import dispatch

pytestmark = pytest.mark.postgres
HANDBOOK = "# Returns\n\nA refund is paid within ten days.\n\n# Hours\n\nThe shop opens at nine.\n"


def path(persona: Persona, rest: str = "documents") -> str:
    return f"/api/v1/personas/{persona.pk}/{rest}"


@pytest.fixture
def give(api, alice, objects, broker, persona):
    def given(text=HANDBOOK, name="handbook.md", prepared=True, status=201):
        answer = api(alice).post(path(persona), {"name": name, "text": text}, format="json")
        assert answer.status_code == status, answer.json()
        if prepared:
            preparing.prepare(answer.json()["id"])
        return answer.json()

    return given


def terms() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM live_passage_terms")
        return int(cursor.fetchone()[0])


def test_a_text_becomes_passages_that_are_found(give, api, alice, persona, broker: Broker):
    made = give(prepared=False)
    assert (made["status"], made["kind"], made["passages"]) == ("preparing", "markdown", 0)
    assert api(alice).get(path(persona, "search"), {"q": "refund"}).json()["results"] == []
    preparing.prepare(made["id"])
    shown = api(alice).get(path(persona, f"documents/{made['id']}")).json()
    assert (shown["status"], shown["passages"], shown["failure"]) == ("ready", 2, None)
    found = api(alice).get(path(persona, "search"), {"q": "When is the refund paid?"}).json()["results"]
    assert found[0]["text"] == "A refund is paid within ten days."
    assert (found[0]["heading"], found[0]["name"], found[0]["passage"]) == ("Returns", "handbook.md", 0)
    assert found[0]["document"] == made["id"]


def test_a_file_keeps_its_pages(api, alice, objects, broker, persona):
    data = pdfs.pdf(["Nothing of interest stands on this page.", "The guarantee lasts for three years."])
    file = SimpleUploadedFile("../../guarantee.pdf", data, "text/plain")
    made = api(alice).post(path(persona), {"file": file}, format="multipart").json()
    assert (made["name"], made["kind"]) == ("guarantee.pdf", "pdf")
    preparing.prepare(made["id"])
    found = api(alice).get(path(persona, "search"), {"q": "guarantee"}).json()["results"]
    assert (found[0]["page"], found[0]["name"]) == (2, "guarantee.pdf")
    assert KnowledgeDocument.objects.get().pages == 2


def test_the_same_bytes_change_nothing(give, broker: Broker):
    first = give()
    sent = len(broker.messages)
    assert give(name="another name.md", prepared=False, status=200)["id"] == first["id"]
    assert KnowledgeDocument.objects.count() == 1
    assert len(broker.messages) == sent


def test_what_cannot_be_read_says_why_and_is_tried_again(api, alice, objects, broker, persona):
    file = SimpleUploadedFile("locked.pdf", pdfs.locked(["Secret."]))
    made = api(alice).post(path(persona), {"file": file}, format="multipart").json()
    preparing.prepare(made["id"])
    shown = api(alice).get(path(persona, f"documents/{made['id']}")).json()
    assert shown["status"] == "failed"
    assert shown["failure"]["code"] == "document_encrypted"
    preparing.prepare(made["id"])  # a second message finds nothing to do
    file.seek(0)
    again = api(alice).post(path(persona), {"file": file}, format="multipart")
    assert (again.status_code, again.json()["id"], again.json()["status"]) == (200, made["id"], "preparing")


def test_removing_removes_passages_index_and_file(give, api, alice, persona, objects):
    kept = give("The kept umbrella.\n\nA second one.", "kept.txt")
    gone = give()
    address = path(persona, f"documents/{gone['id']}")
    assert api(alice).delete(address).status_code == 204
    assert api(alice).get(address).status_code == 404
    assert api(alice).delete(address).status_code == 404
    assert not [key for key in objects.objects if key.startswith(keys.document(gone["id"]))]
    assert Passage.objects.filter(document=gone["id"]).count() == 0
    assert terms() == Passage.objects.count() == Knowledge.objects.get().passages == 1
    assert api(alice).get(path(persona, "search"), {"q": "refund"}).json()["results"] == []
    assert [d["id"] for d in api(alice).get(path(persona)).json()["results"]] == [kept["id"]]
    assert give()["id"] != gone["id"]  # the same bytes are welcome again


def test_deleting_a_persona_erases_its_documents(give, api, alice, persona, objects):
    give()
    assert api(alice).delete(f"/api/v1/personas/{persona.pk}").status_code == 204
    assert terms() == KnowledgeDocument.objects.count() == 0
    assert not [key for key in objects.objects if key.startswith(keys.DOCUMENTS)]


def test_strangers_meet_nothing(give, api, mallory, persona):
    made = give()
    stranger = api(mallory)
    body = {"name": "a.txt", "text": "x"}
    assert stranger.get(path(persona)).status_code == 404
    assert stranger.post(path(persona), body, format="json").status_code == 404
    assert stranger.get(path(persona, "search"), {"q": "refund"}).status_code == 404
    assert stranger.get(path(persona, f"documents/{made['id']}")).status_code == 404
    assert stranger.delete(path(persona, f"documents/{made['id']}")).status_code == 404
    own = Persona.objects.create(owner=mallory, slug="own", name="Own")
    assert stranger.get(path(own, f"documents/{made['id']}")).status_code == 404


def test_everybodys_personas_are_for_staff(api, alice, objects, broker):
    shared = Persona.objects.create(owner=None, slug="shared", name="Shared")
    body = {"name": "a.txt", "text": "The shared umbrella is red."}
    assert api(alice).get(path(shared)).status_code == 404
    assert api(alice).post(path(shared), body, format="json").status_code == 404
    staff = User.objects.create_user("ada@example.com", role=Role.ADMIN)
    made = api(staff).post(path(shared), body, format="json")
    assert made.status_code == 201
    preparing.prepare(made.json()["id"])
    found = api(staff).get(path(shared, "search"), {"q": "umbrella"}).json()["results"]
    assert [passage["text"] for passage in found] == [body["text"]]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [(b"PK\x03\x04\x00\x00binary", 415, "unsupported_document"), (b" \n", 400, "file_empty"),
     (b"x" * 2_000, 413, "too_large")],
)  # fmt: skip
def test_what_is_no_document_is_refused(give, api, persona, settings, content, status, code):  # noqa: PLR0917
    settings.MAX_DOCUMENT_BYTES = 1_000
    file = SimpleUploadedFile("a.txt", content)
    answer = api(persona.owner).post(path(persona), {"file": file}, format="multipart")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not KnowledgeDocument.objects.exists()


def test_limits_hold(give, api, alice, persona, settings):
    settings.PERSONA_MAX_DOCUMENTS = 1
    give()
    body = {"name": "b.txt", "text": "Another one."}
    answer = api(alice).post(path(persona), body, format="json")
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_documents")
    settings.PERSONA_MAX_DOCUMENTS = 9
    settings.ACCOUNT_MAX_DOCUMENT_BYTES = 90
    answer = api(alice).post(path(persona), body, format="json")
    assert (answer.status_code, answer.json()["code"]) == (429, "documents_full")
    settings.ACCOUNT_MAX_DOCUMENT_BYTES = 10_000
    settings.PERSONA_MAX_PASSAGES = 2
    made = give("Another one.", "b.txt")
    shown = api(alice).get(path(persona, f"documents/{made['id']}")).json()
    assert shown["failure"]["code"] == "too_many_passages"


@pytest.mark.parametrize(
    "query", [{}, {"q": " "}, {"q": "x" * 501}, {"q": "a", "limit": "0"}, {"q": "a", "limit": "x"}]
)
def test_a_search_has_to_ask_something(api, alice, persona, query):
    assert api(alice).get(path(persona, "search"), query).status_code == 400


# --- The worker's part -----------------------------------------------------------------------------


def test_a_second_worker_leaves_a_document_alone(give):
    made = give(prepared=False)
    lease = preparing._take(made["id"])
    assert lease is not None
    preparing.prepare(made["id"])
    assert KnowledgeDocument.objects.get().status == "preparing"
    lease.release()
    preparing.prepare(made["id"])
    assert KnowledgeDocument.objects.get().status == "ready"


def test_a_worker_that_lost_its_lease_publishes_nothing(give, monkeypatch):
    made = give(prepared=False)
    written = preparing.passages.write

    def overtaken(document, pieces, check):
        written(document, pieces, check)
        KnowledgeDocument.objects.filter(pk=document.pk).update(lease_token="another")

    monkeypatch.setattr(preparing.passages, "write", overtaken)
    preparing.prepare(made["id"])
    assert KnowledgeDocument.objects.get().status == "preparing"
    monkeypatch.setattr(preparing.passages, "write", written)
    KnowledgeDocument.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    preparing.prepare(made["id"])
    assert KnowledgeDocument.objects.get().status == "ready"
    assert Passage.objects.count() == terms() == 2


def test_a_document_that_is_removed_while_it_is_read_leaves_nothing(give, monkeypatch, api, alice, persona):
    made = give(prepared=False)
    written = preparing.passages.write

    def removed(document, pieces, check):
        written(document, pieces, check)
        assert api(alice).delete(path(persona, f"documents/{made['id']}")).status_code == 204

    monkeypatch.setattr(preparing.passages, "write", removed)
    preparing.prepare(made["id"])
    assert KnowledgeDocument.objects.count() == Passage.objects.count() == terms() == 0


def test_a_lost_message_is_sent_again(give, broker: Broker):
    made = give(prepared=False)
    broker.messages.clear()
    assert upkeep.reconcile() == 0  # it was sent a moment ago
    KnowledgeDocument.objects.update(enqueued_at=timezone.now() - timedelta(minutes=1))
    assert upkeep.reconcile() == 1
    assert upkeep.reconcile() == 0
    KnowledgeDocument.objects.update(enqueued_at=timezone.now() - timedelta(minutes=1))
    assert dispatch.identity(dispatch.DOCUMENT, made["id"]) in dispatch.waiting(dispatch.MEDIA_QUEUE)
    assert upkeep.reconcile() == 0  # it still waits


def test_storage_that_is_away_is_waited_for(give, objects):
    made = give(prepared=False)
    objects.failure = StorageError("away")
    preparing.prepare(made["id"])
    row = KnowledgeDocument.objects.get()
    assert (row.status, row.lease_token) == ("preparing", "")
    assert row.next_attempt_at > timezone.now()
    objects.failure = None
    KnowledgeDocument.objects.update(next_attempt_at=None)
    preparing.prepare(made["id"])
    assert KnowledgeDocument.objects.get().status == "ready"


def test_what_lost_its_row_is_collected(give, objects, monkeypatch):
    made = give()
    monkeypatch.setattr(upkeep, "ORPHAN_AGE", timedelta(0))
    assert upkeep.collect_orphans() == 0
    KnowledgeDocument.objects.all().delete()
    assert upkeep.collect_orphans() == 1
    assert keys.document_original(made["id"]) not in objects.objects


def test_a_removal_that_was_cut_short_is_finished(give, objects):
    give()
    KnowledgeDocument.objects.update(status="failed", failure_code="removing")
    upkeep.collect_orphans()
    assert KnowledgeDocument.objects.count() == terms() == len(objects.objects) == 0
