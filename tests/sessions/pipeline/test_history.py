"""What the language model is told of the conversation so far."""

from sessions.pipeline.history import History
from sessions.pipeline.ports import PastTurn, PersonaSetup
from workers.adapters.llm.base import Message


def _told(history: History) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in history.messages()]


def test_the_prompt_comes_first_and_the_turns_in_order():
    history = History(
        PersonaSetup(system_prompt="Be kind.\n"), [PastTurn("user", "Hi"), PastTurn("avatar", "Hello")]
    )
    history.add("user", "How are you?")
    assert history.messages() == [
        Message("system", "Be kind."),
        Message("user", "Hi"),
        Message("assistant", "Hello"),
        Message("user", "How are you?"),
    ]


def test_without_a_prompt_there_is_no_empty_one():
    history = History(PersonaSetup())
    history.add("user", "Hi")
    assert _told(history) == [("user", "Hi")]


def test_an_answer_that_nobody_heard_is_no_turn():
    history = History(PersonaSetup())
    history.add("user", "I wanted to know")
    history.add("avatar", "  ")
    history.add("user", "when you open.")
    assert _told(history) == [("user", "I wanted to know when you open.")]


def test_old_turns_are_forgotten():
    history = History(PersonaSetup(max_history_turns=2))
    for number in range(5):
        history.add("user", f"q{number}")
        history.add("avatar", f"a{number}")
    history.add("user", "q5")
    assert _told(history) == [("user", "q4"), ("assistant", "a4"), ("user", "q5")]


def test_long_turns_push_out_old_ones_but_never_the_last():
    history = History(PersonaSetup(max_history_characters=30))
    history.add("user", "a" * 20)
    history.add("avatar", "b" * 20)
    history.add("user", "c" * 25)
    assert _told(history) == [("user", "c" * 25)]
    history.add("avatar", "d")
    history.add("user", "e" * 100)
    assert _told(history) == [("user", "e" * 100)]


def test_a_greeting_alone_in_front_is_kept_out():
    """Many models insist that the user speaks first."""
    history = History(PersonaSetup(system_prompt="Be kind."))
    history.add("avatar", "Hello!")
    history.add("user", "Hi")
    assert _told(history) == [("system", "Be kind."), ("user", "Hi")]
