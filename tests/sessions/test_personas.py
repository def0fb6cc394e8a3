import pytest

from project.accounts.models import Role, User
from sessions import builtin_personas, personas, services
from sessions.models import Persona, Session
from tests.support.sessions import create
from workers.adapters.llm.base import Message
from workers.adapters.llm.scripted.model import answer

pytestmark = pytest.mark.postgres


@pytest.fixture
def builtin(transactional_db):
    builtin_personas.load()
    return Persona.objects.get(slug="support")


def test_the_built_in_ones_are_loaded_and_loading_again_changes_nothing(builtin) -> None:
    assert set(Persona.objects.values_list("slug", flat=True)) == {"support", "concierge", "tutor"}
    assert {outcome for _, outcome in builtin_personas.load()} == {"unchanged"}


def test_a_changed_file_is_taken_over_but_not_over_what_staff_changed(builtin, tmp_path) -> None:
    (tmp_path / "a.yaml").write_text("slug: support\nname: Newer\n")
    (tmp_path / "b.yaml").write_text("slug: tutor\nname: Newer\n")
    personas.persona_update(Persona.objects.get(slug="tutor"), {"name": "Our own"})
    assert dict(builtin_personas.load(tmp_path)) == {"support": "updated", "tutor": "left as it is"}
    assert Persona.objects.get(slug="support").name == "Newer"
    assert Persona.objects.get(slug="tutor").name == "Our own"


def test_one_that_staff_took_away_stays_away(builtin) -> None:
    personas.persona_archive(builtin)
    builtin_personas.load()
    assert Persona.objects.filter(slug="support", archived_at=None).count() == 0


def test_only_those_that_are_wanted_are_loaded(transactional_db, settings) -> None:
    settings.BUILTIN_PERSONAS = ["tutor"]
    assert builtin_personas.load() == [("tutor", "created")]


def test_a_file_with_something_else_in_it_is_named(tmp_path) -> None:
    (tmp_path / "odd.yaml").write_text("slug: odd\nname: Odd\nmood: good\n")
    with pytest.raises(ValueError, match=r"odd\.yaml"):
        builtin_personas.read(tmp_path)


@pytest.mark.parametrize(
    ("slug", "question", "told"),
    [
        ("support", "What is Parley?", "makes avatars talk"),
        ("support", "Do I need a GPU?", "plain processor"),
        ("support", "How do I make a video?", "Studio"),
        ("support", "can i interrupt you while you are talking", "stops at once"),
        ("support", "How long are recordings kept?", "thirty days"),
        ("support", "How do I put the avatar on my website?", "token"),
        ("support", "Which voices do you have?", "Twelve voices"),
        ("support", "Can I make an avatar from my own photo?", "portrait"),
        ("support", "Is there an API?", "REST"),
        ("concierge", "When is breakfast?", "winter garden"),
        ("concierge", "What is the wifi password?", "Harbour Guest"),
        ("concierge", "May I bring my dog?", "Dogs are welcome"),
        ("tutor", "What is the difference between make and do?", "homework"),
        ("tutor", "How do I pronounce the th sound?", "tongue"),
    ],
)
def test_without_a_language_model_they_answer_from_what_they_know(slug, question, told) -> None:
    persona = next(one for one in builtin_personas.read() if one["slug"] == slug)
    said = answer([Message("user", question)], persona["knowledge"], persona["language"])
    assert told in said


def test_a_greeting_that_can_be_listened_to() -> None:
    for persona in builtin_personas.read():
        assert 20 < len(persona["greeting"]) < 160
        assert persona["system_prompt"]
        assert persona["apology"]


# --- Which one a session gets ---------------------------------------------------------------


def test_the_default_answers_where_nobody_is_named(builtin, alice, avatar) -> None:
    session = create(alice, avatar).session
    assert session.persona == builtin
    assert session.persona_snapshot["greeting"] == builtin.greeting


def test_an_avatar_may_bring_its_own(builtin, alice, avatar) -> None:
    avatar.metadata = {"persona": "tutor"}
    avatar.save()
    assert create(alice, avatar).session.persona.slug == "tutor"
    assert create(alice, avatar, persona="concierge").session.persona.slug == "concierge"


def test_without_any_persona_there_still_is_a_session(alice, avatar) -> None:
    session = create(alice, avatar).session
    assert session.persona is None
    assert session.persona_snapshot["knowledge"] == ""
    assert session.language == "en-US"


def test_a_change_does_not_reach_into_a_conversation(builtin, alice, avatar) -> None:
    session = create(alice, avatar).session
    personas.persona_update(builtin, {"greeting": "Other"})
    personas.persona_archive(Persona.objects.get(pk=builtin.pk))
    assert Session.objects.get(pk=session.pk).persona_snapshot["greeting"] != "Other"


def test_the_voice_speaks_the_language_of_the_persona(alice, avatar) -> None:
    mine = Persona.objects.create(owner=alice, slug="guide", name="Guide", language="ja")
    session = create(alice, avatar, persona="guide").session
    assert session.voice.startswith("ja-")
    assert session.language == "ja"
    Persona.objects.filter(pk=mine.pk).update(voice="en-joe")
    assert create(alice, avatar, persona="guide").session.voice == "en-joe"
    assert create(alice, avatar, persona="guide", voice="en-iris").session.voice == "en-iris"


def test_ones_own_comes_before_everybodys_and_a_strangers_never(builtin, alice, mallory, avatar) -> None:
    Persona.objects.create(owner=mallory, slug="support", name="Mallory's")
    assert create(alice, avatar, persona="support").session.persona == builtin
    mine = Persona.objects.create(owner=alice, slug="support", name="Alice's")
    assert create(alice, avatar, persona="support").session.persona == mine
    staff = User.objects.create_user("staff@example.com", role=Role.OPERATOR)
    assert personas.find(staff, "support") == builtin
    services.session_end(Session.objects.filter(owner=alice).first().pk, "api_ended")
