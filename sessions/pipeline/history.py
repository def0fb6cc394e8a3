"""What was said so far, as the language model is told it: of the avatar's words only those heard."""

from __future__ import annotations

from collections.abc import Iterable

from sessions.pipeline.ports import PastTurn, PersonaSetup, Who
from workers.adapters.llm.base import Message


class History:
    """Keeps the end of a conversation, cut to the persona's limits."""

    def __init__(self, persona: PersonaSetup, past: Iterable[PastTurn] = ()) -> None:
        self._persona = persona
        self._turns: list[PastTurn] = []
        for turn in past:
            self.add(turn.who, turn.text)

    def add(self, who: Who, text: str) -> None:
        """Note what was said, or heard; silence is no turn.

        Who speaks twice in a row, because the answer was never heard, has said one thing.
        """
        text = text.strip()
        if not text:
            return
        if self._turns and self._turns[-1].who == who:
            text = f"{self._turns.pop().text} {text}"
        self._turns.append(PastTurn(who, text))
        del self._turns[: -2 * self._persona.max_history_turns]

    def messages(self) -> list[Message]:
        """The prompt and as many of the last turns as fit, the first of them the user's."""
        kept = self._turns[-2 * self._persona.max_history_turns :]
        while len(kept) > 1 and sum(len(turn.text) for turn in kept) > self._persona.max_history_characters:
            kept = kept[1:]
        while len(kept) > 1 and kept[0].who == "avatar":
            kept = kept[1:]
        prompt = self._persona.system_prompt.strip()
        system = [Message("system", prompt)] if prompt else []
        return [*system, *(_message(turn) for turn in kept)]


def _message(turn: PastTurn) -> Message:
    return Message("user" if turn.who == "user" else "assistant", turn.text)
