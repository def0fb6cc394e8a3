"""What a conversation finds while somebody speaks: in time, by words and by meaning."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError

from sessions.knowledge import embeddings, preparing, retrieval, search, upkeep, vectors
from sessions.knowledge.models import KnowledgeDocument, Passage
from sessions.knowledge.retrieval import Retriever
from tests.support.embedding_server import KEY, MODEL, Server, embedding_server
from workers.adapters import breaker, retry
from workers.adapters.embedding import openai_compatible
from workers.adapters.endpoint import Endpoint

Make = Callable[..., KnowledgeDocument]
FACTS = ("A refund is paid within ten days.", "The shop opens at nine.", "Every bicycle has a bell.")


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setattr(retry, "BACKOFF_SECONDS", 0.001)
    breaker.reset()
    with embedding_server() as running:
        made = openai_compatible.make(Endpoint(running.url, KEY), {"model": MODEL, "provider": "test"})
        monkeypatch.setattr(embeddings, "embedder", lambda: made)
        monkeypatch.setattr(vectors, "cache", vectors.Cache())
        yield running
    breaker.reset()


@pytest.fixture
def retriever(persona) -> Iterator[Callable[..., Retriever]]:
    return lambda **options: Retriever(
        persona.pk, persona.owner_id, embedder=embeddings.embedder(), **options
    )


def embedded(document: KnowledgeDocument) -> KnowledgeDocument:
    preparing.prepare(document.pk)
    document.refresh_from_db()
    return document


async def test_a_question_is_answered_with_its_passages(persona, document: Make):
    await sync_to_async(document)(persona, *FACTS)
    found = await Retriever(persona.pk, persona.owner_id).passages("When is a refund paid?")
    assert [(passage.text, passage.index) for passage in found] == [(FACTS[0], 0)]


async def test_what_was_begun_with_a_partial_serves_the_question(persona, document: Make, monkeypatch):
    await sync_to_async(document)(persona, *FACTS)
    asked = []
    by_words = search.by_words
    monkeypatch.setattr(search, "by_words", lambda scope, text: asked.append(text) or by_words(scope, text))
    looking = Retriever(persona.pk, persona.owner_id)
    looking.prefetch("When is a")
    looking.prefetch("When is a refund paid")
    found = await looking.passages("when is a refund  paid?")
    assert [passage.text for passage in found] == [FACTS[0]]
    assert asked.count("When is a refund paid") == 1
    assert "when is a refund  paid?" not in asked
    looking.close()


async def test_a_slow_database_costs_the_deadline_and_no_more(persona, document: Make, monkeypatch):
    await sync_to_async(document)(persona, *FACTS)
    looking = Retriever(persona.pk, persona.owner_id)
    assert len(await looking.passages("refund")) == 1
    looking.prefetch("When is a refund")
    await looking._looking.whole
    hold = asyncio.Event()

    async def never(work, *threads):
        await hold.wait()

    monkeypatch.setattr(retrieval, "in_database", never)
    found = await looking.passages("When is a refund paid?", deadline_seconds=0.01)
    assert [passage.text for passage in found] == [FACTS[0]]  # what its beginning found
    # What answers another question is no source of this one.
    assert await looking.passages("When does the shop open?", deadline_seconds=0.01) == []
    assert await Retriever(persona.pk, persona.owner_id).passages("shop", deadline_seconds=0.01) == []
    looking.close()


async def test_a_database_that_is_away_costs_the_passages_alone(persona, monkeypatch, caplog):
    def away(*_):
        raise OperationalError("away")

    monkeypatch.setattr(search, "scope_of", away)
    assert await Retriever(persona.pk, persona.owner_id).passages("refund") == []
    assert "could not be searched" in caplog.text


async def test_a_mistake_in_a_search_costs_the_passages_alone(persona, monkeypatch, caplog):
    def wrong(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(search, "scope_of", wrong)
    assert await Retriever(persona.pk, persona.owner_id).passages("refund") == []
    assert "A search failed" in caplog.text


async def test_headings_stand_above_what_a_model_is_told(persona, document: Make):
    await sync_to_async(document)(persona, *FACTS)
    await Passage.objects.aupdate(heading="Shop › Money")
    told = await Retriever(persona.pk, persona.owner_id).passages("refund")
    shown = await Retriever(persona.pk, persona.owner_id, headed=False).passages("refund")
    assert told[0].text == f"Shop › Money:\n{FACTS[0]}"
    assert shown[0].text == FACTS[0]


# --- By meaning ------------------------------------------------------------------------------------


async def test_other_words_of_the_same_meaning_are_found(persona, document: Make, server, retriever):
    made = await sync_to_async(document)(persona, *FACTS)
    assert (await sync_to_async(embedded)(made)).embedding_model == f"test:{MODEL}"
    found = await retriever().passages("reimbursement", deadline_seconds=5)
    assert found[0].text == FACTS[0]
    assert (await Retriever(persona.pk, persona.owner_id).passages("reimbursement")) == []
    both = await retriever().passages("Is a bike sold with a bell?", deadline_seconds=5)
    assert both[0].text == FACTS[2]


async def test_a_late_vector_is_not_waited_for(persona, document: Make, server, retriever):
    made = await sync_to_async(document)(persona, *FACTS)
    await sync_to_async(embedded)(made)
    server.delay_seconds = 3.0
    looking = retriever()
    found = await looking.passages("refund and reimbursement", deadline_seconds=0.3)
    assert [passage.text for passage in found] == [FACTS[0]]
    looking.close()
    server.delay_seconds = 0.0


async def test_the_vector_of_what_was_heard_first_serves_in_time(persona, document: Make, server, retriever):
    made = await sync_to_async(document)(persona, *FACTS)
    await sync_to_async(embedded)(made)
    looking = retriever()
    looking.prefetch("reimbursement please")
    await asyncio.wait([looking._looking.whole])
    server.delay_seconds = 3.0
    found = await looking.passages("reimbursement please, how long", deadline_seconds=1.0)
    assert found[0].text == FACTS[0]
    looking.close()
    server.delay_seconds = 0.0


async def test_nobody_asks_for_vectors_where_nothing_is_known(persona, server, retriever):
    assert await retriever().passages("refund", deadline_seconds=5) == []
    assert not server.requests


def test_a_provider_that_fails_leaves_a_document_found_by_its_words(persona, document: Make, server):
    made = document(persona, *FACTS)
    server.misbehave("401")
    assert embedded(made).embedding_model == ""
    assert made.status == "ready"
    assert upkeep.KnowledgeDocument.objects.filter(upkeep.free() & upkeep._unfinished()).count() == 0
    KnowledgeDocument.objects.update(next_attempt_at=None)
    assert upkeep.KnowledgeDocument.objects.filter(upkeep.free() & upkeep._unfinished()).count() == 1
    assert embedded(made).embedding_model == f"test:{MODEL}"
    assert upkeep.KnowledgeDocument.objects.filter(upkeep.free() & upkeep._unfinished()).count() == 0


def test_changed_documents_are_read_again_and_old_personas_forgotten(persona, document: Make, server, alice):
    scope = lambda: search.scope_of(persona.pk, alice.pk)  # noqa: E731
    model = f"test:{MODEL}"
    first = embedded(document(persona, *FACTS))
    assert len(vectors.cache.get(scope(), model).ids) == 3
    assert vectors.cache.get(scope(), model) is vectors.cache.get(scope(), model)
    embedded(document(persona, "Another umbrella.", name="b.txt"))
    assert len(vectors.cache.get(scope(), model).ids) == 4
    preparing.documents.remove_passages(first.pk)
    first.delete()
    preparing.passages.counted(persona.pk)
    assert len(vectors.cache.get(scope(), model).ids) == 1
    small = vectors.Cache(kept_bytes=1)
    small.get(scope(), model)
    small.get(search.Scope("psn_other", 999, 1, 1), model)
    assert list(small._matrices) == [(999, model)]
