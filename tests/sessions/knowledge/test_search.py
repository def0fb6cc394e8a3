"""Searching a persona's documents, on both databases."""

from collections.abc import Callable

import pytest

from project.accounts.models import User
from sessions.knowledge import index
from sessions.knowledge.models import KnowledgeDocument, Passage
from sessions.knowledge.search import search, together
from sessions.models import Persona

pytestmark = pytest.mark.postgres
Make = Callable[..., KnowledgeDocument]


def texts(persona: Persona, owner: User, question: str, limit: int = 4) -> list[str]:
    return [found.text for found in search(persona.pk, owner.pk, question, limit=limit)]


FACTS = (
    "A refund is paid within ten days after the goods came back.",
    "The shop opens at nine o'clock on weekdays.",
    "Café crème and crêpes are served on the terrace.",
    "Orders above fifty euros are shipped free of charge.",
)


def test_the_passage_with_the_rarest_words_comes_first(alice, persona, document: Make):
    document(persona, *FACTS)
    assert texts(persona, alice, "How do I get a refund for the goods?")[0] == FACTS[0]
    assert texts(persona, alice, "When does the shop open on weekdays?")[0] == FACTS[1]


@pytest.mark.parametrize("question", ["creme crepe", "CRÈME CRÊPES", "ｃｒｅｍｅ"])
def test_accents_case_and_width_do_not_count(alice, persona, document: Make, question):
    document(persona, *FACTS)
    assert texts(persona, alice, question) == [FACTS[2]]


@pytest.mark.parametrize("question", ["who are you?", "the of and", "", "?!", "ですか", "谢谢"])
def test_small_talk_finds_nothing(alice, persona, document: Make, question):
    document(persona, *FACTS)
    assert texts(persona, alice, question) == []


@pytest.mark.parametrize(
    ("passage", "other", "question"),
    [
        ("東京本店の営業時間は午前九時からです。", "返品は十日以内に承ります。", "営業時間を教えてください"),
        ("我们在北京的商店提供免费退货服务。", "咖啡是每天早上现磨的。", "请问可以退货吗？"),
        ("환불은 십 일 이내에 처리됩니다.", "매장은 아홉 시에 엽니다.", "환불 받을 수 있나요?"),
        ("ร้านเปิดเวลาเก้าโมงเช้าทุกวัน", "คืนสินค้าได้ภายในสิบวัน", "ร้านเปิดกี่โมง"),
        ("猫のえさは二階にあります。", "犬の散歩は朝だけです。", "猫"),
        ("दुकान सुबह नौ बजे खुलती है।", "वापसी दस दिन में होती है।", "दुकान कब खुलती है"),
        ("Магазин открыт с девяти часов.", "Возврат в течение десяти дней.", "магазин открыт?"),
        ("المتجر يفتح في الساعة التاسعة", "الإرجاع خلال عشرة أيام", "متى يفتح المتجر"),
    ],
)
def test_every_script_is_searched(persona, document: Make, passage, other, question):
    document(persona, other, passage)
    assert texts(persona, persona.owner, question)[0] == passage


@pytest.mark.parametrize(
    "question",
    ['refund"', "refund' | 'x", "refund) OR (", "refund NEAR/2 x", "terms:refund", "refund*", "-refund",
     "refund & !", "^refund", "refund:*", "refund \\' x", "{refund}", "refund\x00", "%s refund",
     "refund ; DROP TABLE x"],
)  # fmt: skip
def test_what_people_type_is_never_a_query(alice, persona, document: Make, question):
    document(persona, *FACTS)
    assert texts(persona, alice, question) == [FACTS[0]]


def test_only_ones_own_and_everybodys_personas_are_searched(alice, mallory, persona, document: Make):
    document(persona, *FACTS)
    shared = Persona.objects.create(owner=None, slug="shared", name="Shared")
    document(shared, "Refunds are never paid.")
    assert texts(persona, mallory, "refund") == []
    assert texts(shared, mallory, "refund") == ["Refunds are never paid."]
    assert texts(persona, alice, "refund") == [FACTS[0]]
    assert texts(shared, alice, "refund") == ["Refunds are never paid."]


def test_what_is_deleted_is_found_no_more(alice, persona, document: Make):
    from django.db import connection

    kept = document(persona, FACTS[1], name="kept.txt")
    gone = document(persona, FACTS[0], name="gone.txt")
    gone.delete()
    assert texts(persona, alice, "refund") == []
    assert texts(persona, alice, "shop opens") == [FACTS[1]]
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM live_passage_terms")
        assert cursor.fetchone()[0] == Passage.objects.count() == 1
    persona.delete()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM live_passage_terms")
        assert cursor.fetchone()[0] == 0
    assert not KnowledgeDocument.objects.filter(pk=kept.pk).exists()


def test_a_question_of_common_words_is_answered_all_the_same(alice, persona, document: Make):
    document(persona, *(f"Article {n} of the price list costs {n} euros." for n in range(200)))
    assert texts(persona, alice, "What is the price of article 137?")[0].startswith("Article 137 ")


def test_words_too_common_to_look_for_still_tell_the_best(alice, persona, document: Make, monkeypatch):
    monkeypatch.setattr(index, "RANKED", 5)
    traits = ("price", "weight", "noise", "size")
    document(persona, *(f"Product {n}: the {what} is known." for n in range(40) for what in traits))
    assert texts(persona, alice, "What is the noise of product 7?")[0].startswith("Product 7: the noise")


def test_two_rankings_are_put_together():
    assert [found for found, _ in together([1, 2, 3], [3, 4])] == [3, 1, 2, 4]
    assert together([], []) == []
