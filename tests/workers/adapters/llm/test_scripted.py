import pytest

from workers.adapters import registry
from workers.adapters.endpoint import Endpoint
from workers.adapters.llm.base import Message, Tool, ToolCall
from workers.adapters.llm.scripted import Scripted
from workers.adapters.llm.scripted.model import answer, pieces
from workers.adapters.llm.scripted.phrases import phrases

KNOWLEDGE = """# Opening hours
We are open from Monday to Friday between nine and six. On Saturday we close at four. On Sunday we are closed.

## Returns
Returns are **free** within thirty days. Keep the receipt, and bring the shoes back in their box.
We pay the money back to the card you used.

Delivery:
- Standard delivery takes two working days and costs four euros.
- Express delivery arrives the next day and costs nine euros.

# Contact
Q: How can I reach a person?
A: Call us on 555 0100 or write to [the team](mailto:help@example.com).
"""


def asked(*questions: str, knowledge: str = KNOWLEDGE, language: str = "en-US") -> str:
    return answer([Message("user", question) for question in questions], knowledge, language)


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("Are you open on Sunday?", "We are open from Monday"),
        ("Hello, when do you close?", "We are open from Monday"),
        ("What are your opening hours", "We are open from Monday"),
        ("Can I return the shoes I bought last week?", "Returns are free within thirty days."),
        ("How do I get my money back?", "Returns are free"),
        ("I want a refund.", "Returns are free"),
        ("How much does express delivery cost?", "Express delivery arrives the next day"),
        ("And the standard shipping?", "Standard delivery takes two working days"),
        ("Can I talk to a person?", "Call us on 555 0100 or write to the team."),
    ],
)
def test_questions_are_answered_from_the_text(question, told):
    assert asked(question).startswith(told)


@pytest.mark.parametrize(
    "question",
    ["What is the capital of France?", "Do you sell cars?", "Tell me a joke.", "Who won the game?"],
)
def test_it_does_not_make_things_up(question):
    told = asked(question)
    assert "no language model is set up here" in told
    assert "opening hours, returns, delivery and contact" in told


def test_without_knowledge_it_says_so_too():
    assert asked("Are you open on Sunday?", knowledge="") == phrases("en").unknown


def test_a_short_question_leans_on_the_one_before_it():
    assert asked("How much is express delivery?", "And standard?").startswith("Standard delivery")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Hello!", phrases("en").greeting),
        ("Good morning.", phrases("en").greeting),
        ("Thank you very much.", phrases("en").thanks),
        ("Bye-bye!", phrases("en").goodbye),
        ("Who are you?", phrases("en").identity),
        ("Okay.", phrases("en").acknowledged),
        ("", phrases("en").greeting),
    ],
)
def test_it_is_polite(said, told):
    assert asked(said) == told


def test_it_tells_what_it_can_be_asked():
    assert asked("What can you do?").startswith("I can tell you about opening hours, returns,")
    assert asked("Help", knowledge="") == phrases("en").help_without_topics


def test_it_says_again_what_it_said():
    history = [
        Message("user", "Are you open?"),
        Message("assistant", "Until six."),
        Message("user", "Pardon?"),
    ]
    assert answer(history, KNOWLEDGE, "en") == "Until six."
    assert asked("Could you repeat that, please?") == phrases("en").nothing_to_repeat


def test_a_long_passage_is_told_from_where_it_fits():
    story = " ".join(
        f"Sentence {word} tells about {word}." for word in ("apples", "pears", "plums", "figs", "nuts")
    )
    told = asked("What about plums?", knowledge=story)
    assert told.startswith("Sentence plums")
    assert told.count(".") <= 3


def test_japanese_is_understood():
    text = "# 営業時間\n平日は九時から六時まで営業しています。\n\n# 返品\n三十日以内なら無料で返品できます。"
    assert asked("営業時間を教えてください。", knowledge=text, language="ja-JP").startswith("平日は九時")
    assert asked("返品したいのですが。", knowledge=text, language="ja-JP").startswith("三十日")
    assert "言語モデルも設定されていない" in asked("天気はどうですか。", knowledge=text, language="ja-JP")
    assert asked("こんにちは。", knowledge=text, language="ja-JP") == phrases("ja").greeting


@pytest.mark.parametrize("language", ["en", "ja"])
def test_pieces_make_up_the_whole(language):
    text = phrases(language).unknown
    assert "".join(pieces(text)) == text
    assert max(map(len, pieces(text))) <= 20


async def test_it_streams_and_keeps_to_its_limit():
    model = registry.language_model("scripted", Endpoint(""), {})
    assert isinstance(model, Scripted)
    question = [Message("system", "Be nice."), Message("user", "Are you open on Sunday?")]
    parts = [part async for part in model.stream(question, max_tokens=5, knowledge=KNOWLEDGE)]
    assert "".join(parts) == "We are open from Monday"
    await model.aclose()


def test_passages_of_documents_are_answered_from_without_their_marks():
    passages = (
        "Passages of documents, the likeliest first. Do not read their numbers out.\n\n"
        "[1] handbook.pdf, page 12:\nGuarantee:\nThe guarantee lasts for three years.\n\n"
        "[2] prices.md:\nA service costs sixty euros."
    )
    knowledge = f"{KNOWLEDGE}\n\n{passages}"
    assert asked("How long is the guarantee?", knowledge=knowledge) == "The guarantee lasts for three years."
    assert asked("What does a service cost?", knowledge=passages) == "A service costs sixty euros."
    assert asked("When do you open?", knowledge=knowledge).startswith("We are open")
    assert "likeliest" not in asked("Tell me about the passages of documents.", knowledge=knowledge)


TOOLS = [Tool("end_call", "End"), Tool("handover", "A human")]


@pytest.mark.parametrize(
    ("text", "language", "wanted"),
    [
        ("Goodbye!", "en", "end_call"),
        ("さようなら", "ja", "end_call"),
        ("Can I talk to a human, please?", "en", "handover"),
        ("担当者をお願いします", "ja", "handover"),
        ("When are you open?", "en", ""),
        ("Do you say goodbye to customers?", "en", ""),
    ],
)
async def test_it_ends_calls_and_hands_over_where_it_may(text, language, wanted):
    said = [Message("user", text)]
    offered = [p async for p in Scripted().stream(said, max_tokens=99, language=language, tools=TOOLS)]
    assert [piece.name for piece in offered if isinstance(piece, ToolCall)] == ([wanted] if wanted else [])
    alone = [piece async for piece in Scripted().stream(said, max_tokens=99, language=language)]
    assert all(isinstance(piece, str) for piece in alone)


async def test_the_heads_of_passages_are_not_read_out():
    known = "[1] prices.pdf, page 2:\nA bicycle service costs 60 euros.\n\n[2] notes:\nWe open at nine."
    asked = [Message("user", "What does a service cost?")]
    told = [piece async for piece in Scripted().stream(asked, max_tokens=99, knowledge=known)]
    assert "".join(told) == "A bicycle service costs 60 euros."
