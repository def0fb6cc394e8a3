from dataclasses import dataclass

from sessions.pipeline.monitor import KEPT_MS, Monitor

SECOND = bytes(2 * 48_000)


@dataclass
class From:
    """Where an utterance began."""

    begin_ms: int

    def at_ms(self, ms: int) -> int:
        return self.begin_ms + ms


class Hearer:
    def __init__(self) -> None:
        self.heard: list[int] = []
        self.speaking = False

    def avatar_audio(self, pcm: bytes, at_ms: int) -> None:
        self.heard.append(at_ms)

    def avatar_cut(self, at_ms: int) -> None:
        pass

    def set_avatar_speaking(self, speaking: bool) -> None:
        self.speaking = speaking


def test_who_begins_to_listen_hears_what_may_still_come_back():
    monitor, hearer = Monitor(), Hearer()
    for second in range(30):
        monitor.pushed(1, 25 * second, SECOND, None if second == 0 else From(1000))
        if second == 0:
            monitor.started(1, From(1000))
    monitor.listens(hearer)
    assert hearer.speaking
    assert hearer.heard == [1000 * second for second in range(30 - KEPT_MS // 1000, 31)]
    monitor.pushed(1, 750, SECOND, From(1000))
    assert hearer.heard[-1] == 31_000


def test_nothing_of_a_reply_that_is_over_is_kept():
    monitor, hearer = Monitor(), Hearer()
    monitor.pushed(1, 0, SECOND, None)
    monitor.started(1, From(0))
    monitor.stopped(1000, cut=False)
    monitor.listens(hearer)
    assert (hearer.speaking, hearer.heard) == (False, [])
